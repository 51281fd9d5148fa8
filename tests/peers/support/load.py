"""Many requests from several clients at once, until told to stop."""

import asyncio
import itertools
import time
from urllib.parse import urlsplit

import aiohttp

from .clients import TIMEOUT


class Load:
    """Clients on the loop, each with a connection of its own, that ask for one path after another.

    Every path is asked for once. `answers` holds the status of every path that got a whole answer,
    `failed` what happened to the others; a client ends at its first failure. `answered_at` holds
    when the answers were whole.
    """

    def __init__(self, loop, url, clients, most, pause=0.0):
        """Asks for at most `most` paths `url` + number, each client with a pause in between."""
        self.answers, self.failed, self.answered_at = {}, {}, {}
        self._url, self._pause = url, pause
        self._numbers = iter(range(most))
        self._is_stopping = False
        self._loop = loop
        self._all = loop.start(self._run(clients))

    @property
    def is_running(self):
        """Whether any client still asks."""
        return not self._all.done()

    @property
    def is_faultless(self):
        """Whether every request so far got a whole answer with status 200."""
        return not self.failed and set(self.answers.values()) <= {200}

    def close(self):
        """Ends every client at once, if any is left."""
        self._all.cancel()

    def finish(self):
        """Lets every client end after the request it is at."""
        self._is_stopping = True
        self._all.result(2 * TIMEOUT)

    async def _run(self, clients):
        await asyncio.gather(*(self._client() for _ in range(clients)))

    async def _client(self):
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            for number in itertools.takewhile(lambda _: not self._is_stopping, self._numbers):
                if not await self._ask(session, f"{self._url}{number}"):
                    return
                await asyncio.sleep(self._pause)

    async def _ask(self, session, url):
        path = urlsplit(url).path
        try:
            async with session.get(url) as response:
                await response.read()
        except (aiohttp.ClientError, OSError) as failure:
            self.failed[path] = repr(failure)
            return False
        self.answers[path] = response.status
        self.answered_at[path] = time.monotonic()
        return True
