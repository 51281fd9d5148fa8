"""A stack as a process: orders in, reports out."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from ..js import FOLDER as JS
from ..sidecar import PROJECT

PATIENCE = 60.0
"""Seconds that a report may take; nobody waits for it on a quiet machine."""

NAMES = ("python", "js", "go")
"""The stacks that take the steps of `__init__.py`."""
WEB = "web"
"""Connect for Node, which has orders of its own: see `js/web.mjs`."""


def _command(name):
    if name == "python":
        return [sys.executable, str(Path(__file__).with_name("peer.py"))]
    if name in ("js", WEB):
        node = shutil.which("node")
        assert node, "there is no node: install it (apt-get install nodejs)"
        assert (JS / "node_modules").is_dir(), f"run `npm ci` in {JS}"
        return [node, str(JS / ("grpc.mjs" if name == "js" else "web.mjs"))]
    program = PROJECT / "target/grpc-go"
    assert program.is_file(), f"there is no {program}: build it as tests/peers/README.md says"
    return [str(program)]


class Stack:
    """A process of one of the stacks, as client or as server; a context manager."""

    def __init__(self, name):
        self.name = name
        self._asked = 0
        self._reports = {}
        self._changed = threading.Condition()
        self._is_over = False
        no_proxy = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        self._process = subprocess.Popen(
            _command(name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=no_proxy | {"GRPC_VERBOSITY": "NONE"},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE)
        self._process.stdout.close()

    def serve(self, port, **more):
        """Begins to serve at a port."""
        self.report(self.order("serve", port=port, **more))

    def stop(self, port, graceful):
        """Takes no more calls at a port, and ends those that are open unless it is graceful."""
        self.report(self.order("stop", port=port, graceful=graceful))

    def progress(self, call):
        """How many messages a call has sent so far."""
        return self.report(self.order("progress", call=call))["sent"]

    def hang_up(self):
        """Closes every channel."""
        self.report(self.order("hang_up"))

    def go(self, call):
        """Lets a call that waits go on."""
        self._write({"do": "go", "call": call})

    def order(self, do, **how):
        """Writes an order; gives the number that its report will have."""
        with self._changed:
            self._asked += 1
            asked = self._asked
        self._write({"do": do, "ask": asked, **how})
        return asked

    def report(self, asked):
        """What an order of this number came to."""
        return self._take(("ask", asked))

    def served(self, call):
        """What the server says of a call of this id, when it is over there."""
        return self._take(("call", call))

    def told(self, call):
        """Waits until a call has come to a `tell`."""
        self._take(("told", call))

    def _take(self, key):
        with self._changed:
            self._changed.wait_for(lambda: key in self._reports or self._is_over, PATIENCE)
            assert key in self._reports, f"{self.name} does not report {key}: {self._reports}"
            return self._reports.pop(key)

    def _write(self, order):
        line = json.dumps(order).encode() + b"\n"
        with self._changed:
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self):
        for line in self._process.stdout:
            report = json.loads(line)
            field = next(field for field in ("ask", "call", "told", "complaint") if field in report)
            with self._changed:
                self._reports[field, report[field]] = report
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
