"""A server that does one scripted thing to every request: what no real server does on purpose."""

import asyncio

from ..ports import HOST
from .web import reset


class ScriptedApp:
    """Reads the head of a request, and then follows the script."""

    def __init__(self, loop, script):
        self._loop = loop
        self._script = script
        self._server, self.port = loop.run(self._start())

    def close(self):
        """Ends the server."""
        self._loop.call(self._server.close)

    async def _start(self):
        server = await asyncio.start_server(self._handle, HOST, 0)
        return server, server.sockets[0].getsockname()[1]

    async def _handle(self, reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            await self._script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the peer went first
        finally:
            writer.close()


async def close_unanswered(reader, writer):
    """Closes the connection without an answer."""


async def reset_unanswered(reader, writer):
    """Resets the connection without an answer."""
    reset(writer.transport)


async def never_answer(reader, writer):
    """Says nothing for as long as the peer stays."""
    await reader.read()


async def answer_nonsense(reader, writer):
    """Answers with something that is not HTTP."""
    writer.write(b"\x16\x03\x01 this is no status line\r\n\r\n")
    await writer.drain()
