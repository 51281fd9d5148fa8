"""As many spans as requests, each exactly once, however the requests end."""

import asyncio
import collections
import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import grpc
import pytest

from support.apps.rpc import RpcClient
from support.apps.web import WebApp, reset
from support.clients import TIMEOUT
from support.ports import HOST

ORDINARY = [
    "/status/200/{}",
    "/status/404/{}",
    "/status/500/{}",
    "/pause/5/{}",
    "/reset-in-body/{}",
    "/close-in-body/{}",
]
LEFT_UNANSWERED, LEFT_IN_BODY, REFUSED = "/pause/3000/{}", "/flood/64/{}", "/refused/{}"
REQUESTS = 300
AT_ONCE = 16


@dataclass(frozen=True)
class Way:
    """How a client reaches the application through a sidecar."""

    app: WebApp
    port: int
    """Where the client connects to."""
    base: str
    """What the target in a request line begins with, if it is not the path alone."""
    proxy: str | None
    kinds: list
    refused: int

    async def ask(self, session, kind, path):
        """Asks for a path of a kind, in the way that belongs to the kind."""
        if kind in (LEFT_UNANSWERED, LEFT_IN_BODY):
            await self._ask_and_leave(path, is_answer_awaited=kind == LEFT_IN_BODY)
            return
        port = self.refused if kind == REFUSED else self.app.port if self.proxy else self.port
        with contextlib.suppress(aiohttp.ClientError):  # the span will tell
            async with session.get(f"http://{HOST}:{port}{path}", proxy=self.proxy) as response:
                await response.read()

    async def _ask_and_leave(self, path, is_answer_awaited):
        """Asks, and resets the connection before the answer or in the middle of it."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        writer.write(f"GET {self.base}{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await self.app.arrival(path)
        if is_answer_awaited:
            await reader.readuntil(b"\r\n\r\n")
        reset(writer.transport)


async def ask_all(way):
    """Asks for many paths of all kinds, some at a time; gives the paths."""
    kinds = {number: way.kinds[number % len(way.kinds)] for number in range(REQUESTS)}
    paths = {number: kind.format(number) for number, kind in kinds.items()}
    limit = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def ask(number):
            async with limit:
                await way.ask(session, kinds[number], paths[number])

        await asyncio.gather(*map(ask, range(REQUESTS)))
    return collections.Counter(paths.values())


@pytest.mark.parametrize("side", ["inbound", "outbound"])
def test_every_request_makes_one_span_whatever_becomes_of_it(
    sidecar, web, closed_port, loop, protocol, side
):
    proxy = sidecar(web.port, protocol=protocol)
    kinds = [*ORDINARY, LEFT_UNANSWERED, LEFT_IN_BODY]
    if side == "inbound":
        way = Way(web, proxy.inbound, "", None, kinds, closed_port)
    else:
        base = web.url("")
        way = Way(web, proxy.outbound, base, proxy.proxy, [*kinds, REFUSED], closed_port)
    web.release()
    asked = loop.run(ask_all(way), deadline=60)
    spans = proxy.spans(REQUESTS)
    paths = [span["url.path"] or urlsplit(span["url.full"]).path for span in spans]
    assert collections.Counter(paths) == asked
    parents = [seen.values("traceparent")[0].split("-")[2] for seen in web.seen]
    others = {span.span_id for span in spans if span["error.type"] == "connection_refused"}
    assert {*parents, *others} == {span.span_id for span in spans}
    assert len(parents) + len(others) == REQUESTS


def cancel(client):
    """A call that is cancelled after its first message."""
    call = client.server_stream("Held", b"")
    assert next(call) == b"one"
    call.cancel()


CALLS = [
    lambda client: client.unary("Unary", b"abc"),
    lambda client: list(client.server_stream("ServerStream", b"abc")),
    lambda client: client.client_stream("ClientStream", iter([b"a", b"b"])),
    lambda client: list(client.bidirectional("Bidirectional", iter([b"a", b"b"]))),
    lambda client: client.unary("Abort", b"INTERNAL"),
    lambda client: list(client.server_stream("AbortLate", b"NOT_FOUND")),
    cancel,
]


def test_every_call_of_grpc_makes_one_span_whatever_becomes_of_it(sidecar, rpc, protocol):
    proxy = sidecar(rpc.port, protocol=protocol)
    with RpcClient(proxy.inbound) as client:
        for number in range(10 * len(CALLS)):
            with contextlib.suppress(grpc.RpcError):  # the span will tell
                CALLS[number % len(CALLS)](client)
        spans = proxy.spans(10 * len(CALLS))
    contexts = [dict(metadata)["traceparent"] for metadata in rpc.metadata]
    assert collections.Counter(context.split("-")[2] for context in contexts) == (
        collections.Counter(span.span_id for span in spans)
    )
    methods = collections.Counter(span["rpc.method"].rpartition("/")[2] for span in spans)
    assert set(methods.values()) == {10}
