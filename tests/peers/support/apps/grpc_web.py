"""An application on hypercorn that answers as gRPC-Web does, over HTTP/1.1 and HTTP/2."""

import asyncio
import base64

from hypercorn.asyncio import serve
from hypercorn.config import Config

from ..ports import HOST, free_port
from ..waiting import eventually

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"
_TRAILERS = 0x80


def frame(flag, content):
    """A frame of gRPC-Web."""
    return bytes([flag]) + len(content).to_bytes(4) + content


def body(form, code):
    """The body of an answer that ends with a code: a message, then the trailers as a frame."""
    status = b"grpc-status:%d\r\ngrpc-message:as asked, 100%%25\r\n" % code
    frames = [frame(0, b"\x0a\x03abc" * 1000), frame(_TRAILERS, status)]
    if form == TEXT:
        # Each frame by itself, so that there is padding in the middle.
        frames = [base64.b64encode(one) for one in frames]
    return b"".join(frames)


class GrpcWebApp:
    """Answers in the form that is asked for, with the code that the request's body names."""

    def __init__(self, loop):
        self._loop = loop
        self._ended = asyncio.Event()
        self.port = free_port()
        self._task = loop.start(self._serve())
        eventually(self._is_listening, "hypercorn to listen")

    def close(self):
        """Ends the application."""
        self._loop.call(self._ended.set)
        self._task.result(10)

    async def _serve(self):
        config = Config()
        config.bind = [f"{HOST}:{self.port}"]
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 1
        await serve(self._application, config, shutdown_trigger=self._ended.wait, mode="asgi")

    async def _application(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        asked = b""
        while True:
            part = await receive()
            asked += part.get("body", b"")
            if not part.get("more_body"):
                break
        form = dict(scope["headers"])[b"content-type"]
        headers = [(b"content-type", form)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        answer = body(form.decode(), int(asked))
        # In parts that end where no frame does.
        for part in (answer[:3], answer[3:4001], answer[4001:-7], answer[-7:]):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _connects(self):
        try:
            _, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    def _is_listening(self):
        assert not self._task.done(), self._task.exception()
        return self._loop.run(self._connects())
