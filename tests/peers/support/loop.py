"""One asyncio loop on a thread of its own, for the servers and clients that need one."""

import asyncio
import threading


class Loop:
    """An event loop that runs in the background."""

    _DEADLINE = 30

    def __init__(self):
        self.asyncio = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.asyncio.run_forever, name="peers", daemon=True)
        self._thread.start()

    def run(self, coroutine, deadline=_DEADLINE):
        """Runs a coroutine to its end and gives its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.asyncio).result(deadline)

    def start(self, coroutine):
        """Starts a coroutine; the future that is returned knows its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.asyncio)

    def call(self, function, *arguments):
        """Calls a function on the loop's thread and gives its result."""

        async def called():
            return function(*arguments)

        return self.run(called())

    def close(self):
        """Cancels what is left and ends the thread."""
        self.run(self._cancel_all())
        self.asyncio.call_soon_threadsafe(self.asyncio.stop)
        self._thread.join(self._DEADLINE)
        self.asyncio.close()

    async def _cancel_all(self):
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
