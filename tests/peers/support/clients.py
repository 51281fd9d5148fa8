"""Real clients that know nothing of tracing: curl, httpx, aiohttp, websockets, plain sockets."""

import asyncio
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import httpx
from websockets.sync.client import connect

from .ports import HOST

AGENT = "peers/1"
"""The user agent of every client, where the client lets one choose."""
TIMEOUT = 20


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    body: bytes


def curl_command(*arguments):
    """The command line of a curl that nothing outside the test has a say in."""
    program = shutil.which("curl")
    assert program, "there is no curl: install it (apt-get install curl)"
    fixed = ["-q", "--silent", "--show-error", "--noproxy", "", "--max-time", str(TIMEOUT)]
    return [program, *fixed, "--user-agent", AGENT, *map(str, arguments)]


def curl(url, *arguments, proxy=None):
    """A request by curl."""
    through = ["--proxy", proxy or ""]
    command = curl_command(*through, "--write-out", "\n%{http_code}", *arguments, url)
    done = subprocess.run(command, capture_output=True, timeout=2 * TIMEOUT, env={}, check=False)
    assert done.returncode == 0, f"curl exit code {done.returncode}: {done.stderr.decode()}"
    body, _, status = done.stdout.rpartition(b"\n")
    return Answer(int(status), body)


def httpx_client(proxy=None, http2=False):
    """An httpx client that speaks HTTP/1.1, or HTTP/2 with prior knowledge."""
    return httpx.Client(
        http1=not http2,
        http2=http2,
        proxy=proxy,
        trust_env=False,
        timeout=TIMEOUT,
        headers={"user-agent": AGENT},
    )


def httpx_get(url, proxy=None, http2=False):
    """A request by httpx."""
    with httpx_client(proxy, http2) as client:
        response = client.get(url)
        assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        return Answer(response.status_code, response.content)


def httpx2_get(url):
    """A request by httpx over HTTP/2 with prior knowledge."""
    return httpx_get(url, http2=True)


def curl2_get(url):
    """A request by curl over HTTP/2 with prior knowledge."""
    return curl(url, "--http2-prior-knowledge")


def aiohttp_get(url, proxy=None):
    """A request by aiohttp."""

    async def get():
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": AGENT}) as client:
            response = await client.get(url, proxy=proxy)
            return Answer(response.status, await response.read())

    return asyncio.run(get())


def websocket_client(port, proxy=None):
    """A WebSocket by `websockets` to a port; it does not keep itself alive."""
    plain = {"ping_interval": None, "compression": None, "user_agent_header": AGENT}
    return connect(f"ws://{HOST}:{port}/socket", proxy=proxy, **plain)


class RawClient:
    """A plain socket on which a test writes HTTP/1.1 itself; a context manager."""

    def __init__(self, url, lines=(), host=None):
        """Connects, and asks for `url` with additional header lines, which are pairs."""
        parts = urlsplit(url)
        self._socket = socket.create_connection((HOST, parts.port), timeout=TIMEOUT)
        named = [("Host", host or parts.netloc), ("User-Agent", AGENT), *lines]
        head = [f"GET {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in named)]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
        self._read = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def read_until(self, text):
        """Reads until the answer so far contains `text`, and gives all of it."""
        while text not in self._read:
            piece = self._socket.recv(65536)
            assert piece, f"the answer ends before {text!r}: {self._read!r}"
            self._read += piece
        return self._read

    def count_rest(self):
        """Reads to the end of the connection without keeping it; gives the number of bytes."""
        total = len(self._read)
        while piece := self._socket.recv(1024**2):
            total += len(piece)
        return total

    def read_to_the_end(self):
        """Reads until the connection ends, in whatever way; gives everything and how it ended."""
        try:
            while piece := self._socket.recv(65536):
                self._read += piece
        except ConnectionResetError:
            return self._read, "reset"
        return self._read, "closed"

    def hang_up(self):
        """Goes away without a word."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
