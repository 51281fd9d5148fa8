"""An application that never answers: it accepts WebSockets and streams, and says nothing."""

import asyncio
import base64
import hashlib

from support.h2raw import ACK, HEADERS, PING, PREFACE, SETTINGS, frame, settings
from support.ports import HOST

_MAX_CONCURRENT_STREAMS = 3
_STREAMS = 100_000
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD = 9


class Silent:
    """Listens in a loop; `held` is how many WebSockets and streams are open."""

    name = "direct"

    def __init__(self, loop):
        self._loop = loop
        self.held = 0
        self._server = loop.run(asyncio.start_server(self._hold, HOST, 0, backlog=4096))
        self.http1 = self.http2 = self._server.sockets[0].getsockname()[1]

    def close(self):
        """Ends it."""
        self._loop.run(self._stop())

    async def _stop(self):
        self._server.close()

    async def _hold(self, reader, writer):
        try:
            first = await reader.readexactly(len(PREFACE))
            if first == PREFACE:
                await self._hold_streams(reader, writer)
            else:
                await self._hold_websocket(first, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever it was has gone
        finally:
            writer.close()

    async def _hold_websocket(self, first, reader, writer):
        head = first + await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        key = next(value for name, value in lines.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.held += 1
        await reader.read()

    async def _hold_streams(self, reader, writer):
        writer.write(settings((_MAX_CONCURRENT_STREAMS, _STREAMS)))
        while True:
            head = await reader.readexactly(_HEAD)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            if kind == HEADERS:
                self.held += 1
            elif kind in (SETTINGS, PING) and not flags & ACK:
                writer.write(frame(kind, ACK, payload=payload if kind == PING else b""))
