"""The origins of Python: aiohttp, hypercorn (HTTP/1.1 and HTTP/2), and the library's http.server.

The first line of standard input holds the answers by path; every request seen is told as a line.
`python -m support.makes.python_origin`; it ends with its input.
"""

import asyncio
import base64
import collections
import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from hypercorn.asyncio import serve
from hypercorn.config import Config

from ..ports import HOST, free_port
from .messages import byte_lines, message, numbered, text_lines

ANSWERS = {}
_telling = threading.Lock()


def tell(told):
    """Prints one line of JSON."""
    with _telling:
        print(json.dumps(told), flush=True)


def answer_to(target):
    """What is said to a path."""
    return ANSWERS.get(urlsplit(target).path, ANSWERS["/404"])


def body_of(answer):
    """The body of an answer."""
    if answer.get("base64"):
        return base64.b64decode(answer["base64"])
    return numbered(answer.get("size", 0))


def lengths(answer):
    """The line with the length of an answer, if it is to have one."""
    open_ended = any(answer.get(key) for key in ("chunked", "events", "end", "trailers"))
    if open_ended or answer["status"] in (204, 304):
        return []
    return [["Content-Length", str(len(body_of(answer)))]]


# ---- aiohttp


class Aiohttp:
    """aiohttp, on its own protocol stack."""

    def __init__(self):
        self._acks = collections.defaultdict(lambda: asyncio.Semaphore(0))

    async def start(self):
        """Listens; gives the port."""
        server = web.Server(self._answer, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        return site._server.sockets[0].getsockname()[1]

    async def _answer(self, request):
        answer = answer_to(request.raw_path)
        seen = {
            "scenario": request.headers.get("X-Scenario"),
            "method": request.method,
            "target": request.raw_path,
            "version": f"HTTP/{request.version.major}.{request.version.minor}",
            "headers": text_lines(request.raw_headers),
            "trailers": [],
            "peer": str(request.transport.get_extra_info("peername")),
        }
        if answer.get("websocket"):
            return await self._converse(request, seen)
        if request.headers.get("Expect") and request.version >= (1, 1):
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            seen |= {"body": message(await request.read()), "ended": "whole"}
        except Exception:
            seen |= {"body": None, "ended": "cut short"}
        if request.raw_path.startswith("/ack"):
            self._acks[seen["scenario"]].release()
        if answer.get("end") != "hang":
            tell(seen)
        try:
            return await self._reply(request, answer, seen)
        finally:
            if answer.get("end") == "hang":
                tell(seen | {"ended": "left"})

    async def _reply(self, request, answer, seen):
        headers = [*answer["headers"], *lengths(answer)]
        response = web.StreamResponse(status=answer["status"])
        response.headers.extend(headers)
        if dict(headers).get("Connection") == "close":
            response.force_close()
        if answer.get("chunked"):
            response.enable_chunked_encoding()
        await response.prepare(request)
        body = body_of(answer)
        if body and request.method != "HEAD":
            await response.write(body)
        for left in reversed(range(answer.get("events", 0))):
            await self._acks[seen["scenario"]].acquire()
            await response.write(body if left else b"")
        if answer.get("end") == "break":
            request.transport.close()
        if answer.get("end") == "hang":
            await asyncio.Event().wait()
        await response.write_eof()
        return response

    async def _converse(self, request, seen):
        """A WebSocket that gives back what it is given, and tells how it was closed."""
        socket = web.WebSocketResponse(protocols=["spoken"])
        await socket.prepare(request)
        heard = []
        async for one in socket:
            heard.append(one.data if one.type == WSMsgType.TEXT else one.data.decode("latin-1"))
            send = socket.send_str if one.type == WSMsgType.TEXT else socket.send_bytes
            await send(one.data)
        tell(seen | {"body": {"messages": heard}, "ended": f"closed {socket.close_code}"})
        return socket


# ---- hypercorn


class Hypercorn:
    """hypercorn, which speaks HTTP/1.1 by h11 and HTTP/2 by h2 on one port."""

    def __init__(self):
        self._acks = collections.defaultdict(lambda: asyncio.Semaphore(0))
        self.port = free_port()

    async def run(self):
        """Serves until cancelled."""
        config = Config()
        config.bind = [f"{HOST}:{self.port}"]
        config.accesslog = config.errorlog = None
        config.h11_max_incomplete_size = 1 << 17
        await serve(self._application, config, shutdown_trigger=asyncio.Event().wait, mode="asgi")

    async def _application(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        answer = answer_to(target)
        headers = text_lines(scope["headers"])
        seen = {
            "scenario": dict((name.lower(), value) for name, value in headers).get("x-scenario"),
            "method": scope.get("method", "GET"),
            "target": target,
            "version": f"HTTP/{scope['http_version']}",
            "headers": headers,
            "trailers": [],
            "peer": str(scope["client"]),
        }
        if scope["type"] == "websocket":
            await self._converse(receive, send, seen)
            return
        body = await self._take(receive, seen)
        if target.startswith("/ack"):
            self._acks[seen["scenario"]].release()
        seen |= {"body": message(body)}
        if answer.get("end") != "hang":
            tell(seen)
        await self._reply(receive, send, answer, seen)

    async def _take(self, receive, seen):
        body, seen["ended"] = b"", "whole"
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                seen["ended"] = "cut short"
                return body
            body += event.get("body", b"")
            if not event.get("more_body"):
                return body

    async def _reply(self, receive, send, answer, seen):
        if answer.get("early"):
            links = [value.encode() for _, value in answer["early"]]
            await send({"type": "http.response.early_hint", "links": links})
        headers = [(name.lower(), v) for name, v in [*answer["headers"], *lengths(answer)]]
        head = {"status": answer["status"], "headers": byte_lines(headers)}
        trailers = bool(answer.get("trailers"))
        await send({"type": "http.response.start", "trailers": trailers} | head)
        body = b"" if seen["method"] == "HEAD" else body_of(answer)
        piece = {"type": "http.response.body", "body": body, "more_body": True}
        await send(piece)
        for left in reversed(range(answer.get("events", 0))):
            await self._acks[seen["scenario"]].acquire()
            if left:
                await send(piece)
        if answer.get("end") == "break":
            raise RuntimeError("it breaks off, as asked")
        if answer.get("end") == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
            tell(seen | {"ended": "left"})
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if trailers:
            lines = byte_lines([(name.lower(), value) for name, value in answer["trailers"]])
            await send({"type": "http.response.trailers", "headers": lines})

    async def _converse(self, receive, send, seen):
        """A WebSocket that gives back what it is given, and tells how it was closed."""
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "spoken"})
        heard = []
        while (event := await receive())["type"] == "websocket.receive":
            said = {key: event[key] for key in ("text", "bytes") if event.get(key) is not None}
            heard += [said.get("text") or said["bytes"].decode("latin-1")]
            await send({"type": "websocket.send"} | said)
        tell(seen | {"body": {"messages": heard}, "ended": f"closed {event['code']}"})


# ---- http.server


class Library(BaseHTTPRequestHandler):
    """The HTTP/1.0 server of Python's library, which closes after every response."""

    def _answer(self):
        answer = answer_to(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = {
            "scenario": self.headers.get("X-Scenario"),
            "method": self.command,
            "target": self.path,
            "version": self.request_version,
            "headers": [list(line) for line in self.headers.raw_items()],
            "body": message(body),
            "trailers": [],
            "ended": "whole",
            "peer": str(self.client_address),
        }
        if answer.get("end") != "hang":
            tell(seen)
        promised = [["Content-Length", "100000"]] if answer.get("end") == "break" else []
        self.send_response(answer["status"])
        for name, value in [*answer["headers"], *lengths(answer), *promised]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and answer["status"] not in (204, 304):
            self.wfile.write(body_of(answer))
        if answer.get("end") == "hang":
            self._wait_until_left()
            tell(seen | {"ended": "left"})

    def _wait_until_left(self):
        try:
            while self.connection.recv(1024):
                pass
        except ConnectionResetError:
            pass

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PURGE = _answer

    def log_message(self, *_):
        """Says nothing."""


class LibraryServer(ThreadingHTTPServer):
    """The server, with a queue long enough for many at once, and no word of who left."""

    request_queue_size = 128

    def handle_error(self, *_):
        """Says nothing."""


# ----


async def main():
    """Serves until the input ends."""
    logging.disable()
    loop = asyncio.get_running_loop()
    ANSWERS.update(json.loads(await loop.run_in_executor(None, sys.stdin.readline)))
    library = LibraryServer((HOST, 0), Library)
    threading.Thread(target=library.serve_forever, daemon=True).start()
    hypercorn = Hypercorn()
    serving = loop.create_task(hypercorn.run())
    ports = {"aiohttp": await Aiohttp().start(), "hypercorn": hypercorn.port}
    while not serving.done() and not await _connects(hypercorn.port):
        pass
    tell(ports | {"library": library.server_address[1]})
    await loop.run_in_executor(None, sys.stdin.read)
    serving.cancel()


async def _connects(port):
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


if __name__ == "__main__":
    asyncio.run(main())
