"""Three services that forward nothing but `x-request-id`: one trace each, and never a wrong one."""

from contextlib import ExitStack

import pytest

from support.chain import Link, ask, check_parents, number
from support.ports import free_port

REQUESTS = 200
SETTINGS = {"workers": 2}
IDS = [f"request-{n}" for n in range(REQUESTS)]


@pytest.fixture
def chain(sidecar):
    """Starts the chain and gives its sidecars: aiohttp calls Node, and Node calls aiohttp."""
    with ExitStack() as stack:

        def start(forward=("x-request-id",), together=REQUESTS):
            settings = {"together": together, "forward": forward}
            links = [
                make(port=free_port(), **settings) for make in (Link.aiohttp, Link.node, Link.aiohttp)
            ]
            sidecars = [
                sidecar(link.port, service=name, settings=SETTINGS)
                for link, name in zip(links, "abc", strict=True)
            ]
            for link, own, following in zip(links, sidecars, sidecars[1:]):
                link.calls(following.inbound_url("").rstrip("/"), own.proxy)
            for link in links:
                stack.enter_context(link)
            return sidecars

        yield start


def spans_of(sidecars, count=REQUESTS):
    """The spans of each sidecar: of each request one, and of each call one."""
    return [s.spans(count * (2 if s is not sidecars[-1] else 1)) for s in sidecars]


def joins(sidecar):
    """What became of its calls, by result."""
    results = ("context", "key", "ambiguous", "conflict", "unknown", "background")
    metrics = sidecar.metrics()
    all_of_them = {r: int(metrics.sum("spandrel_join_total", result=r)) for r in results}
    return {result: count for result, count in all_of_them.items() if count}


def test_two_hundred_requests_at_once_are_two_hundred_traces(chain, loop):
    sidecars = chain()
    loop.run(ask(sidecars[0].inbound_url("").rstrip("/"), IDS), 90)
    assert [joins(s) for s in sidecars] == [{"key": REQUESTS}, {"key": REQUESTS}, {}]
    services = spans_of(sidecars)
    check_parents(services, REQUESTS)
    calls = [span for spans in services for span in spans if span.kind == "CLIENT"]
    assert {span["spandrel.join.key"] for span in calls} == {"x-request-id"}


def test_what_two_hundred_have_in_common_joins_none_of_them(chain, loop):
    sidecars = chain()
    loop.run(ask(sidecars[0].inbound_url("").rstrip("/"), ["same"] * REQUESTS), 90)
    assert [joins(s) for s in sidecars] == [{"ambiguous": REQUESTS}, {"ambiguous": REQUESTS}, {}]
    services = spans_of(sidecars)
    for spans in services:
        for span in spans:
            assert span["spandrel.join"] is None
            assert span.kind == "SERVER" or span.parent_id == ""
    # Each call is the caller of its own request in the next service, and of no other.
    for calling, called in zip(services, services[1:]):
        clients = {number(span): span for span in calling if span.kind == "CLIENT"}
        for span in called:
            if span.kind == "SERVER":
                client = clients[number(span)]
                assert (span.trace_id, span.parent_id) == (client.trace_id, client.span_id)


def test_half_of_them_sharing_keys_in_pairs_never_get_a_wrong_parent(chain, loop):
    sidecars = chain()
    ids = [f"pair-{n // 2}" if n < REQUESTS // 2 else f"own-{n}" for n in range(REQUESTS)]
    loop.run(ask(sidecars[0].inbound_url("").rstrip("/"), ids), 90)
    half = {"ambiguous": REQUESTS // 2, "key": REQUESTS // 2}
    assert [joins(s) for s in sidecars[:2]] == [half, half]
    for spans in spans_of(sidecars)[:2]:
        servers = {number(span): span for span in spans if span.kind == "SERVER"}
        for span in spans:
            if span.kind == "CLIENT" and span["spandrel.join"]:
                server = servers[number(span)]
                assert (span.trace_id, span.parent_id) == (server.trace_id, server.span_id)
                assert number(span) >= REQUESTS // 2


def test_services_that_forward_nothing_are_told_so(chain, loop):
    sidecars = chain(forward=(), together=1)
    loop.run(ask(sidecars[0].inbound_url("").rstrip("/"), IDS[:10]), 90)
    assert [joins(s) for s in sidecars[:2]] == [{"unknown": 10}, {"unknown": 10}]
    page = sidecars[0].page("/context")
    assert page.startswith("this service does not forward trace context: 10 of 10 "), page
    assert f"GET 127.0.0.1:{sidecars[1].inbound} (10)" in page
