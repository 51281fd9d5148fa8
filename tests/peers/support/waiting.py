"""Waiting for a condition with a deadline: the only way these tests wait."""

import threading
import time

DEADLINE = 10.0
"""Seconds that a condition may take unless a test says otherwise."""

_TICK = 0.01


def eventually(condition, what, deadline=DEADLINE):
    """Polls `condition` until it gives something true, which is returned; fails after `deadline`.

    `what` completes the sentence "waited in vain for ...", or is a function that gives it.
    """
    pause = threading.Event()
    until = time.monotonic() + deadline
    while True:
        if found := condition():
            return found
        if time.monotonic() > until:
            text = what() if callable(what) else what
            raise AssertionError(f"waited {deadline:g} s in vain for {text}")
        pause.wait(_TICK)
