"""The programs of spandrel that show traces, as processes: what they share, and `spandrel demo`."""

import os
import re
import signal
import subprocess

import httpx

from .ports import HOST, free_port
from .sidecar import END
from .waiting import eventually

_CALL = re.compile(r"^call (\S+) -> (\S+) (\d+)$", re.MULTILINE)
_PAGE = re.compile(r"page\S*\s+(http://\S+?)/?$", re.MULTILINE)
ANSWER = 120
"""Seconds that an answer may take; nobody waits for it on a quiet machine."""
_LOAD = 120.0
"""Seconds that the demo's load may take."""


class Program:
    """A process that prints the URL of its page; a context manager that ends it."""

    def __init__(self, binary, arguments, folder):
        self._said = folder / f"{arguments[0]}-{free_port()}.out"
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "SPANDREL_"))
        }
        with self._said.open("wb") as out:
            self._process = subprocess.Popen(
                [binary, *arguments],
                env=inherited,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def __enter__(self):
        try:
            self.url = eventually(self._find_page, lambda: f"the URL of the page:\n{self.said()}")
            eventually(self._answers, lambda: f"an answer:\n{self.said()}")
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, error, *_):
        if error is None:
            self.stop()
        else:
            self._kill()
        print(f"--- it said:\n{self.said()}")

    @property
    def pid(self):
        """The process's id."""
        return self._process.pid

    def said(self):
        """Everything it has said."""
        return self._said.read_text()

    def get(self, path, **query):
        """The JSON that its API gives."""
        response = httpx.get(f"{self.url}{path}", params=query, timeout=ANSWER, trust_env=False)
        response.raise_for_status()
        return response.json()

    def stop(self):
        """Ends it, unless it has ended, and sees that it ended well."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        eventually(
            lambda: self._process.poll() is not None, lambda: f"its end:\n{self.said()}", END
        )
        assert self._process.returncode == 0, f"{self._process.returncode}:\n{self.said()}"
        assert "panicked" not in self.said(), self.said()

    def _kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(END)

    def _find_page(self):
        assert self._process.poll() is None, f"it has ended:\n{self.said()}"
        found = _PAGE.search(self.said())
        return found and found[1]

    def _answers(self):
        try:
            return self.get("/api/health")
        except httpx.TransportError:
            return None


class Demo(Program):
    """`spandrel demo` with a load that ends, and a page that stays."""

    def __init__(self, binary, folder, requests):
        self._requests = requests
        super().__init__(binary, ["demo", "--requests", str(requests)], folder)

    def wait_for_load(self):
        """Waits for the last request and its spans; gives the calls that the shop counted."""
        eventually(lambda: _CALL.search(self.said()), lambda: f"the calls:\n{self.said()}", _LOAD)
        calls = {(found[1], found[2]): int(found[3]) for found in _CALL.finditer(self.said())}
        eventually(lambda: self._edges() == calls, lambda: f"{calls}; it has {self._edges()}")
        return calls

    def _edges(self):
        return {
            (edge["from"], edge["to"]): edge["calls"] for edge in self.get("/api/graph")["edges"]
        }
