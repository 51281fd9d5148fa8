"""The connections of a receiver: a relay to the server behind, which refuses, swallows, resets."""

import asyncio
import os
import socket
import struct

PART = 6
"""Bytes of an answer that are sent before the connection is reset; no answer is as short."""

PASS, SWALLOW = "pass", "swallow"
RESET, GARBAGE = "reset", "garbage"


class Front:
    """Listens on a port, and relays to a server on another one."""

    def __init__(self, port, behind):
        self.port, self._behind = port, behind
        self._listener = None
        self._open = {}
        self.way = PASS
        self.accepted = 0
        self.generation = 0
        """Rises whenever connections are ended, so that handlers know that nobody listens."""

    async def listen(self, tls=None):
        """Begins to accept connections."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Client(self), "127.0.0.1", self.port, ssl=tls, reuse_address=True, backlog=512
        )

    async def refuse(self):
        """Ends the listener and every connection."""
        if self._listener:
            self._listener.close()
            self._listener = None
        self.end_all()

    def end_all(self):
        """Resets every connection."""
        self.generation += 1
        for client in list(self._open.values()):
            client.reset()

    def has(self, peer):
        """Whether a connection is open, by its port at the server behind."""
        return peer in self._open

    def doom(self, peer, fate):
        """What becomes of the answer on a connection, by its port at the server behind."""
        if client := self._open.get(peer):
            client.fate = fate

    async def quiet(self):
        """Waits until no byte has passed for a moment."""
        while True:
            before = sum(client.passed for client in self._open.values())
            await asyncio.sleep(0.03)
            if before == sum(client.passed for client in self._open.values()):
                return

    def _entered(self, client):
        self._open[client.key] = client

    def _left(self, client):
        self._open.pop(client.key, None)


class _Client(asyncio.Protocol):
    """A connection that was accepted, and the one to the server behind."""

    def __init__(self, front):
        self._front = front
        self._waiting = []
        self._server = None
        self.fate = None
        self.passed = 0
        self.key = self

    def connection_made(self, transport):
        self._transport = transport
        self._front.accepted += 1
        self._front._entered(self)
        self._is_swallowed = self._front.way == SWALLOW
        if not self._is_swallowed:
            self._dialling = asyncio.ensure_future(self._dial())

    async def _dial(self):
        loop = asyncio.get_running_loop()
        try:
            server, _ = await loop.create_connection(
                lambda: _Server(self), "127.0.0.1", self._front._behind
            )
        except OSError:
            self.reset()
            return
        self._front._left(self)
        self.key = server.get_extra_info("sockname")[1]
        self._server = server
        if self._transport.is_closing():
            server.abort()
            return
        self._front._entered(self)
        for data in self._waiting:
            server.write(data)

    def data_received(self, data):
        if self._is_swallowed or self._front.way == SWALLOW:
            self._is_swallowed = True
            return
        self.passed += len(data)
        if self._server:
            self._server.write(data)
        else:
            self._waiting.append(data)

    def eof_received(self):
        if self._server and self._server.can_write_eof():
            self._server.write_eof()
        # Where there is TLS the connection cannot stay half open.
        return self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, _):
        self._front._left(self)
        if self._server:
            self._server.abort()

    def answer(self, data):
        """Passes on what the server behind says, unless it is doomed."""
        if self._is_swallowed or self._front.way == SWALLOW:
            self._is_swallowed = True
            return
        self.passed += len(data)
        if self.fate == RESET:
            self._transport.write(data[:PART])
            self.reset()
        elif self.fate == GARBAGE:
            self._transport.write(b"\x15\x03\x01\x00" + os.urandom(64) + b"\r\n\r\n")
            self._transport.close()
            self._server.abort()
        else:
            self._transport.write(data)

    def reset(self):
        """Ends it with RST."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            linger = struct.pack("ii", 1, 0)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()


class _Server(asyncio.Protocol):
    """The connection to the server behind."""

    def __init__(self, client):
        self._client = client

    def data_received(self, data):
        self._client.answer(data)

    def connection_lost(self, _):
        self._client._transport.close()
