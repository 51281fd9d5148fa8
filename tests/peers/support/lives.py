"""A sidecar that is killed under load and started again on the same spool, life after life."""

import time
from dataclasses import dataclass

from .load import Load
from .sidecar import Plan, Sidecar
from .waiting import DEADLINE, eventually

CLIENTS = 4
MOST = 100_000
"""Requests of a life at most."""


@dataclass
class Life:
    """What is known of a life that was ended by `kill -9`."""

    answered_at: dict
    """When each request was answered, by path."""
    asked: set
    """The requests that were in flight when it ended; they may have left a span or not."""
    killed_at: float
    books: object
    """The last reading of its books."""

    def missing(self, found):
        """How long before its end those were answered that left no span."""
        return {
            path: self.killed_at - at
            for path, at in self.answered_at.items()
            if path not in found
        }


class Lives:
    """The lives of one sidecar."""

    def __init__(self, binary, folder, loop, receiver, app, settings):
        self._binary, self._folder, self._loop = binary, folder, loop
        self._receiver, self._app, self._settings = receiver, app, settings
        self.spool = folder / "spool"
        self.all = []

    def start(self, has_spool=True, **more):
        """A sidecar on the spool, to be used as a context manager."""
        spool = {"export.spool.directory": str(self.spool)} if has_spool else {}
        settings = {**spool, **self._settings, **more}
        protocol = settings["export.otlp.protocol"]
        plan = Plan(service="shop", app=self._app, protocol=protocol, settings=settings)
        return Sidecar(self._binary, plan, self._receiver, self._folder)

    def load(self, proxy, most=MOST, clients=CLIENTS, pause=0.0):
        """Load on a sidecar, of paths that no other life is asked for."""
        url = proxy.inbound_url(f"/status/200/{len(self.all)}-")
        return Load(self._loop, url, clients, most, pause)

    def live(self, requests, meanwhile=lambda: None, is_ready=None):
        """A life that ends at its so many-th request, and not before its books are as told; gives
        the books that it began with.
        """
        proxy = self.start()
        with proxy:
            begin = proxy.books()
            load = self.load(proxy, pause=0.001)
            try:
                meanwhile()
                eventually(lambda: len(load.answers) >= requests, "enough requests", 3 * DEADLINE)
                books = proxy.wait_for_books(is_ready) if is_ready else proxy.books()
                assert load.is_faultless, load.failed
                killed_at = time.monotonic()
                proxy.crash()
            finally:
                load.close()
            self.all.append(Life(dict(load.answered_at), set(load.failed), killed_at, books))
        return begin

    def assert_kept(self, paths, tail):
        """Nothing is missing but what was answered within `tail` seconds of a kill."""
        for number, life in enumerate(self.all):
            missing = life.missing(paths)
            earliest = max(missing.values(), default=0.0)
            what = f"life {number}: {len(missing)} missing, up to {earliest:.2f} s"
            assert earliest <= tail, what
