"""What connections cost that do nothing."""

import socket
import time

from .process import resident
from support.ports import HOST

_REQUEST = b"GET /100 HTTP/1.1\r\nHost: backend\r\n\r\n"
QUIET = 17
"""Seconds after which spandrel takes a connection to be idle, and others may have done so too."""
_MOST = 4096
"""The most bytes of an answer."""


def memory(way, connections, quiet=QUIET):
    """Bytes of memory with one, and with so many connections more that have asked once each."""
    pids = way.pids("http1")
    _ask(way.http1).close()  # what of the program answers requests is in memory now
    before = resident(pids)
    held = []
    try:
        for _ in range(connections):
            held.append(_ask(way.http1))
        time.sleep(quiet)
        return before, resident(pids)
    finally:
        for one in held:
            one.close()


def _ask(port):
    client = socket.create_connection((HOST, port), timeout=10)
    client.sendall(_REQUEST)
    answer = client.recv(_MOST)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return client
