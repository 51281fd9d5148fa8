"""Services that call one another in a row and forward nothing but what they are told to.

They are programs, so that each can stand in a network of its own: `within` is put before the
command, such as `ip netns exec NAME`.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from .js import FOLDER
from .ports import HOST

_AIOHTTP = Path(__file__).parent / "apps" / "link.py"
_END = 10
_PATIENCE = 60
"""Seconds that all requests of a run may take together."""


class Link:
    """One service; a context manager that ends it."""

    def __init__(self, command, *, within=(), host=HOST, port=0, together=1, forward=()):
        self._command = [*within, *command, "--host", host, "--port", str(port)]
        self._command += ["--together", str(together)]
        for name in forward:
            self._command += ["--forward", name]
        self._process = None
        self.port = port

    @classmethod
    def aiohttp(cls, **settings):
        """One on Python's aiohttp."""
        return cls([sys.executable, str(_AIOHTTP)], **settings)

    @classmethod
    def node(cls, **settings):
        """One on Node's own `http`."""
        node = shutil.which("node")
        assert node, "there is no node: install it (apt-get install nodejs)"
        return cls([node, str(FOLDER / "link.mjs")], **settings)

    def calls(self, url, proxy=None):
        """Says whom it calls, before it is started."""
        self._command += ["--next", url] + (["--proxy", proxy] if proxy else [])

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command,
            env=os.environ | {"no_proxy": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        line = self._process.stdout.readline()
        assert line, f"{self._command} says no port"
        self.port = int(line)
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END)
        self._process.stdout.close()


async def ask(url, ids):
    """Makes as many requests at once as there are ids: `/0` with the first, and so on."""
    timeout = ClientTimeout(total=_PATIENCE)
    async with ClientSession(connector=TCPConnector(limit=0), timeout=timeout) as session:

        async def one(number, request_id):
            headers = {"x-request-id": request_id}
            async with session.get(f"{url}/{number}", headers=headers) as response:
                return response.status

        statuses = await asyncio.gather(*(one(*pair) for pair in enumerate(ids)))
    assert set(statuses) == {200}, statuses


def number(span):
    """The number of the request that a span is part of, by its own path or URL."""
    return int((span["url.path"] or span["url.full"]).rsplit("/", 1)[1])


def check_parents(services, count):
    """Sees that each request is one trace through all services, each span a child of the last.

    `services` gives the spans of each service in the order in which they call.
    """
    last = {n: None for n in range(count)}
    for at, spans in enumerate(services):
        kinds = ("SERVER",) if at == len(services) - 1 else ("SERVER", "CLIENT")
        for kind in kinds:
            found = {number(span): span for span in spans if span.kind == kind}
            assert sorted(found) == list(range(count)), (at, kind)
            for n, span in found.items():
                before = last[n]
                expected = (before.trace_id, before.span_id) if before else (span.trace_id, "")
                assert (span.trace_id, span.parent_id) == expected, (at, kind, n)
            last = found
    assert len({span.trace_id for span in last.values()}) == count
