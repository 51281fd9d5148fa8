"""A service of a chain on aiohttp: it takes its time, calls others, and knows nothing of tracing."""

import asyncio
import time
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

from ..ports import HOST


class HopApp:
    """The service; of what comes in it passes on nothing but `traceparent`."""

    def __init__(self, loop, pause=0.0):
        """Works for `pause` seconds on each request, before it calls anybody."""
        self.slept = []
        """Seconds of work on each request, by its own clock."""
        self.own = []
        """The same with all else that it did itself: not the waiting for others."""
        self.next = None
        """The service that it calls: a URL, and the proxy for it."""
        self._pause = pause
        self._loop = loop
        self._together = {}
        application = web.Application()
        application.add_routes(
            [
                web.get("/hop", self._hop),
                web.get("/serial/{calls}", self._serial),
                web.get("/parallel/{calls}", self._parallel),
                web.get("/together/{number}", self._meet),
            ]
        )
        self._runner = web.AppRunner(application, shutdown_timeout=1)
        self.port = loop.run(self._start())

    def close(self):
        """Ends the service."""
        self._loop.run(self._runner.cleanup())

    async def _start(self):
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        return site._server.sockets[0].getsockname()[1]

    async def _hop(self, request):
        """Works, and calls the next service if there is one."""
        begun = time.perf_counter()
        await asyncio.sleep(self._pause)
        self.slept.append(time.perf_counter() - begun)
        waited = 0.0
        if self.next:
            async with self._calls(request) as call:
                called = time.perf_counter()
                await call("/hop")
                waited = time.perf_counter() - called
        self.own.append(time.perf_counter() - begun - waited)
        return web.Response(text="done\n")

    async def _serial(self, request):
        """Calls the next service so many times, one after another."""
        async with self._calls(request) as call:
            for _ in range(int(request.match_info["calls"])):
                await call("/hop")
        return web.Response(text="done\n")

    async def _parallel(self, request):
        """Calls the next service so many times at once."""
        calls = int(request.match_info["calls"])
        async with self._calls(request) as call:
            await asyncio.gather(*(call(f"/together/{calls}") for _ in range(calls)))
        return web.Response(text="done\n")

    async def _meet(self, request):
        """Answers once so many requests are here, so that they are here at the same time."""
        number = int(request.match_info["number"])
        barrier = self._together.setdefault(number, asyncio.Barrier(number))
        await barrier.wait()
        await asyncio.sleep(self._pause)
        return web.Response(text="done\n")

    @asynccontextmanager
    async def _calls(self, request):
        url, proxy = self.next
        passed = {k: v for k, v in request.headers.items() if k.lower() == "traceparent"}
        async with ClientSession(headers=passed) as session:

            async def call(path):
                async with session.get(url + path, proxy=proxy) as response:
                    assert response.status == 200, await response.text()
                    await response.read()

            yield call
