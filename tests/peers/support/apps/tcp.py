"""A server of bare TCP: what is at the other end of a tunnel."""

import asyncio

from ..ports import HOST
from .web import reset


class TcpApp:
    """Echoes lines; does what some of them say, and keeps how each connection ended."""

    def __init__(self, loop, host=HOST, port=0):
        self._loop = loop
        self.peers = []
        """The addresses that connections came from."""
        self.endings = []
        """For each connection that is over, `end` or `reset`, and what had come."""
        self._server, self.port = loop.run(self._start(host, port))

    def close(self):
        """Ends the server."""
        self._loop.call(self._server.close)

    async def _start(self, host, port):
        server = await asyncio.start_server(self._handle, host, port)
        return server, server.sockets[0].getsockname()[1]

    async def _handle(self, reader, writer):
        got = b""
        self.peers.append(writer.get_extra_info("peername")[0])
        try:
            while line := await reader.readline():
                got += line
                if line == b"reset\n":
                    reset(writer.transport)
                    return
                if not writer.transport.is_closing() and b"end\n" not in got[: -len(line)]:
                    writer.write(line)
                if line == b"end\n":
                    writer.write_eof()
            self.endings.append(("end", got))
            if b"end\n" not in got:
                writer.write(b"goodbye\n")
        except ConnectionError:
            self.endings.append(("reset", got))
        finally:
            writer.close()
