"""A million spans through `view`: bounded memory, exact books, and answers meanwhile."""

import pytest

from support.flood import CALLS, SERVICES, SPANS, TENANTS, Flood
from support.view import View

MILLION = 1_000_000
LIMIT = 64 * 1024**2
PROGRAM = 24 * 1024**2
"""Bytes that the program may need beside its traces and what it has when idle: the message that it
takes apart, the answer that it makes, and what its allocator cannot give back."""
READINGS = 20


@pytest.fixture
def flooded(binary, tmp_path):
    """A `view` of 64 MiB."""
    with View(binary, tmp_path, limit="64MiB") as view:
        yield view


def test_a_million_spans_stay_within_the_memory_and_are_all_accounted_for(flooded):
    most = flooded.resident() + LIMIT + PROGRAM
    with Flood(flooded, MILLION) as flood:
        for reading in range(1, READINGS + 1):
            flood.wait_for(reading / READINGS)
            books = flooded.books()
            assert books["limit_bytes"] == LIMIT
            assert flooded.resident() < most, books
            assert_answers(flooded)
            assert flooded.resident() < most, books
    books = flooded.books()
    assert books["spans_received"] == MILLION
    assert (books["spans_refused"], books["spans_repeated"]) == (0, 0)
    assert books["spans_evicted"] == books["traces_evicted"] * len(CALLS)
    assert books["spans_kept"] == books["traces_kept"] * len(CALLS)
    assert books["bytes"] > LIMIT * 0.9, "the memory is used"
    print(f"most resident: {flooded.most_resident() / 1024**2:.0f} MiB")


def test_traces_of_one_span_stay_within_the_memory(flooded):
    most = flooded.resident() + LIMIT + PROGRAM
    with Flood(flooded, 200 * SPANS, calls=CALLS[:1]) as flood:
        flood.wait_for(1)
    assert flooded.api("traces")["matched"] == flooded.books()["traces_kept"]
    assert flooded.most_resident() < most, flooded.books()


def assert_answers(view):
    """Each answer is right for the traces that are kept at its moment, which are all alike."""
    traces = view.api("traces", limit=2_000)
    assert traces["matched"] == traces["kept"]["traces"] > 0
    shapes = {(trace["service"], trace["spans"], trace["errors"]) for trace in traces["traces"]}
    assert shapes == {("gateway", len(CALLS), 0)}
    assert all(trace["is_complete"] for trace in traces["traces"])
    assert set(traces["facets"]["tenants"]) == set(TENANTS) - {None}
    assert view.api("traces", attribute="enduser.id=nobody")["matched"] == 0
    assert_graph(view.api("graph"))
    tenants = {tenant["tenant"]: tenant for tenant in view.api("tenants")["tenants"]}
    assert set(tenants) == set(TENANTS)
    assert all(set(tenant["services"]) == set(SERVICES) for tenant in tenants.values())


def assert_graph(graph):
    """A chain, in which every service has had as many requests as the others."""
    edges = {(edge["from"], edge["to"]): edge["calls"] for edge in graph["edges"]}
    assert set(edges) == {("gateway", "order"), ("order", "payment")}
    requests = {service["name"]: service["requests"] for service in graph["services"]}
    assert set(requests) == set(SERVICES)
    assert len({*edges.values(), *requests.values()}) == 1, (edges, requests)


def test_the_newest_trace_is_always_whole(flooded):
    with Flood(flooded, 200 * SPANS) as flood:
        flood.wait_for(1)
    newest = flooded.api("traces", limit=200)["traces"]
    for trace in newest[:5]:
        whole = flooded.trace(trace["id"])
        shape = [(span["service"], span["kind"], span["depth"]) for span in whole["spans"]]
        kinds = ["server", "client", "server", "client", "server"]
        assert shape == [(call[0], kind, at) for at, (call, kind) in enumerate(zip(CALLS, kinds))]
        assert whole["verdict"]["service"] == "order"
