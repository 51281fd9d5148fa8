"""An ASGI application on hypercorn that keeps the headers it receives, over HTTP/1.1 and HTTP/2."""

import asyncio

from hypercorn.asyncio import serve
from hypercorn.config import Config

from ..ports import HOST, free_port
from ..waiting import eventually


class EchoApp:
    """Answers 200 to everything, and echoes to WebSockets; `headers_of` tells what came with a
    request."""

    def __init__(self, loop, hosts=(HOST,), port=None):
        self._loop = loop
        self._hosts = hosts
        self._headers, self._peers = {}, {}
        self._ended = asyncio.Event()
        self.port = port or free_port()
        self._task = loop.start(self._serve())
        eventually(lambda: self._is_listening(), "hypercorn to listen")

    def headers_of(self, path):
        """The headers of the request for a path, as pairs of bytes, and its HTTP version."""
        return self._headers[path]

    def peer_of(self, path):
        """The address that a path was asked for from."""
        return self._peers[path]

    def paths(self):
        """The paths that were asked for."""
        return set(self._headers)

    def close(self):
        """Ends the application."""
        self._loop.call(self._ended.set)
        self._task.result(10)

    async def _serve(self):
        config = Config()
        config.bind = [f"{host}:{self.port}" for host in self._hosts]
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 1
        await serve(self._application, config, shutdown_trigger=self._ended.wait, mode="asgi")

    async def _application(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            await self._echo(receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        self._headers[scope["path"]] = (list(scope["headers"]), scope["http_version"])
        self._peers[scope["path"]] = scope["client"][0]
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"echo\n"})

    async def _echo(self, receive, send):
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})

    def _is_listening(self):
        assert not self._task.done(), self._task.exception()

        async def connects():
            try:
                _, writer = await asyncio.open_connection(HOST, self.port)
            except OSError:
                return False
            writer.close()
            await writer.wait_closed()
            return True

        return self._loop.run(connects())
