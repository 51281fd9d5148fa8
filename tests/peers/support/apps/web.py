"""A web application on aiohttp, which can also misbehave."""

import asyncio
import collections
import hashlib
import socket
import struct
import time
from dataclasses import dataclass

from aiohttp import ClientSession, web

from ..ports import HOST
from ..waiting import eventually

PART = b"part of the body" * 8
"""What is sent before something goes wrong."""
PROMISED = 100_000
"""The length that is promised where the whole body never comes."""


@dataclass(frozen=True)
class Seen:
    """A request as the application saw it."""

    method: str
    path: str
    headers: list
    peer: str = None
    """The address that the application was called from."""

    def values(self, name):
        """The values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name]


class WebApp:
    """The application; `seen` holds what was asked of it."""

    def __init__(self, loop, host=HOST, port=0):
        """Listens at an address; at all of them if `host` is None."""
        self._loop = loop
        self.seen = []
        self.in_flight = 0
        self.written = 0
        self.call = None
        self._written_at = 0.0
        self._arrivals = collections.defaultdict(asyncio.Event)
        self._released = asyncio.Event()
        self._runner = web.AppRunner(self._application(), shutdown_timeout=1)
        self.port = loop.run(self._start(host, port))

    def url(self, path="/"):
        """A URL at the application itself."""
        return f"http://{HOST}:{self.port}{path}"

    def paths(self):
        """The paths that were asked for."""
        return [seen.path for seen in self.seen]

    def release(self):
        """Lets the handlers go on that hold back; gives the time before, in nanoseconds."""
        before = time.time_ns()
        self._loop.call(self._released.set)
        return before

    def wait_until(self, condition, what):
        """Waits until the application is in a certain state."""
        return eventually(lambda: condition(self), f"the application to {what}")

    def wait_until_stopped(self):
        """Waits until what is written has not been taken for a while."""

        def is_stopped():
            return self.written and time.monotonic() - self._written_at > 0.5

        return eventually(is_stopped, "the application to be stopped")

    async def arrival(self, path):
        """Waits, on the loop, until a path has been asked for."""
        await self._arrivals[path].wait()

    def close(self):
        """Ends the application."""
        self.release()
        self._loop.run(self._runner.cleanup())

    def _application(self):
        application = web.Application(middlewares=[self._watch], client_max_size=1024**2)
        application.add_routes(
            [
                web.route("*", "/status/{code}{rest:.*}", self._status),
                web.post("/upload", self._upload),
                web.get("/events", self._events),
                web.get("/flood/{mebibytes}{rest:.*}", self._flood),
                web.get("/held{rest:.*}", self._held),
                web.get("/unanswered{rest:.*}", self._unanswered),
                web.get("/pause/{milliseconds}{rest:.*}", self._pause),
                web.get("/reset-in-body{rest:.*}", self._reset_in_body),
                web.get("/close-in-body{rest:.*}", self._close_in_body),
                web.get("/onward{rest:.*}", self._onward),
            ]
        )
        return application

    async def _start(self, host, port):
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return site._server.sockets[0].getsockname()[1]

    @web.middleware
    async def _watch(self, request, handler):
        """Keeps what was asked, and counts what is being answered."""
        headers = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        self.seen.append(Seen(request.method, request.path_qs, headers, request.remote))
        self._arrivals[request.path].set()
        self.in_flight += 1
        try:
            return await handler(request)
        finally:
            self.in_flight -= 1

    async def _status(self, request):
        code = request.match_info["code"]
        return web.Response(status=int(code), text=f"status {code}\n")

    async def _upload(self, request):
        """Takes a body of any size, and answers with its length and hash."""
        digest, length = hashlib.sha256(), 0
        async for piece in request.content.iter_chunked(64 * 1024):
            digest.update(piece)
            length += len(piece)
        return web.json_response({"length": length, "sha256": digest.hexdigest()})

    async def _events(self, request):
        """A stream of server-sent events, with `silence` seconds before each of `count`."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        for number in range(int(request.query["count"])):
            await asyncio.sleep(float(request.query["silence"]))
            await response.write(f"data: {number}\n\n".encode())
        return response

    async def _flood(self, request):
        """A body of `mebibytes`, written as fast as it is taken."""
        mebibytes, piece = int(request.match_info["mebibytes"]), bytes(1024**2)
        response = web.StreamResponse()
        response.content_length = mebibytes * len(piece)
        await response.prepare(request)
        for _ in range(mebibytes):
            await response.write(piece)
            self.written += len(piece)
            self._written_at = time.monotonic()
        return response

    async def _held(self, request):
        """Sends the head and a part of the body, and the rest when released."""
        response = await self._begin(request, 2 * len(PART))
        await self._released.wait()
        await response.write(PART)
        return response

    async def _unanswered(self, request):
        """Sends nothing until released."""
        await self._released.wait()
        return web.Response(text="at last\n")

    async def _pause(self, request):
        """Takes its time."""
        await asyncio.sleep(int(request.match_info["milliseconds"]) / 1000)
        return web.Response(text="done\n")

    async def _reset_in_body(self, request):
        """Sends the head and a part of the body, and when released resets the connection."""
        response = await self._begin(request, PROMISED)
        await self._released.wait()
        reset(request.transport)
        return response

    async def _close_in_body(self, request):
        """Like `_reset_in_body`, but the connection is closed in the ordinary way."""
        response = await self._begin(request, PROMISED)
        await self._released.wait()
        request.transport.close()
        return response

    async def _begin(self, request, length):
        response = web.StreamResponse()
        response.content_length = length
        await response.prepare(request)
        await response.write(PART)
        return response

    async def _onward(self, request):
        """Calls where `call` says, passing on the headers it names, as applications do."""
        passed = self.call.forward
        headers = {k: v for k, v in request.headers.items() if k.lower() in passed}
        async with ClientSession() as session:
            response = await session.get(self.call.url, proxy=self.call.proxy, headers=headers)
            return web.Response(status=response.status, body=await response.read())


@dataclass(frozen=True)
class Call:
    """A call that the application makes itself."""

    url: str
    proxy: str
    forward: tuple
    """The names of the headers of its own request that it passes on."""


def reset(transport):
    """Ends a connection with RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
