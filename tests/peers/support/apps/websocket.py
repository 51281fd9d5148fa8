"""A WebSocket application on the `websockets` library."""

import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from ..ports import HOST
from ..waiting import eventually


class WebSocketApp:
    """Echoes; `closed` holds the code that each connection ended with."""

    def __init__(self, loop):
        self._loop = loop
        self.headers = []
        self.closed = []
        self._server, self.port = loop.run(self._start())

    def wait_for_close(self):
        """The code that the first connection ended with."""
        eventually(lambda: self.closed, "the application to see the connection closed")
        return self.closed[0]

    def close(self):
        """Ends the application."""
        self._loop.run(self._stop())

    async def _start(self):
        server = await serve(self._handle, HOST, 0, ping_interval=None, compression=None)
        return server, server.sockets[0].getsockname()[1]

    async def _stop(self):
        self._server.close()
        await self._server.wait_closed()

    async def _handle(self, connection):
        self.headers.append(connection.request.headers)
        try:
            async for message in connection:
                if not await self._answer(connection, message):
                    break
        except ConnectionClosed:
            pass  # not cleanly; the code below tells
        finally:
            await connection.close()
            self.closed.append(connection.close_code)

    async def _answer(self, connection, message):
        """Does what a message asks; gives whether the connection goes on."""
        match message.split() if isinstance(message, str) else message:
            case ["close", code]:
                await connection.close(int(code), "as asked")
                return False
            case ["silence", seconds]:
                await asyncio.sleep(float(seconds))
                await connection.send("awake")
            case _:
                await connection.send(message)
        return True
