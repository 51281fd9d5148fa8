"""One service of a chain, as a program on aiohttp that knows nothing of tracing.

It waits until so many requests are here at once, calls the next service for each of them, and
forwards only the headers that it is told to.
"""

import argparse
import asyncio
import sys

from aiohttp import ClientSession, TCPConnector, web


async def _serve(arguments):
    everybody = asyncio.Barrier(arguments.together)
    async with ClientSession(connector=TCPConnector(limit=0)) as session:

        async def hop(request):
            await everybody.wait()
            if arguments.next:
                forwarded = {
                    name: request.headers[name]
                    for name in arguments.forward
                    if name in request.headers
                }
                url = arguments.next + request.path
                async with session.get(url, headers=forwarded, proxy=arguments.proxy) as response:
                    assert response.status == 200, await response.text()
            return web.Response(text="done\n")

        application = web.Application()
        application.add_routes([web.get("/{number}", hop)])
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, arguments.host, arguments.port, backlog=1024)
        await site.start()
        print(site._server.sockets[0].getsockname()[1], flush=True)
        # Whoever started it ends its input when it is to end.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await runner.cleanup()


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--next", help="where the next service is, as a URL without a path")
    parser.add_argument("--proxy", help="the proxy for it, as a URL")
    parser.add_argument("--forward", action="append", default=[], help="a header to pass on")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
