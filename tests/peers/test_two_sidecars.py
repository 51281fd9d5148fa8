"""Two sidecars in a row, and between them an application that only passes headers on."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.apps.web import Call
from support.clients import curl
from support.collector import GRPC, HTTP

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.fixture(params=[(HTTP, HTTP), (GRPC, HTTP)], ids="-".join)
def row(request, sidecar, web, another_web):
    """Sidecars beside A and B, where A calls B; and the way to say which headers A passes on."""
    of_a, of_b = request.param
    first = sidecar(web.port, service="a", protocol=of_a)
    second = sidecar(another_web.port, service="b", protocol=of_b)

    def forward(*names):
        web.call = Call(second.inbound_url("/status/200"), first.proxy, names)
        return first.inbound_url("/onward")

    return first, second, forward


def read(row):
    """The SERVER span of A, the CLIENT span of A, and the SERVER span of B."""
    first, second, _ = row
    of_a = {span.kind: span for span in first.spans(2)}
    return of_a["SERVER"], of_a["CLIENT"], second.span()


def test_one_request_through_two_services_is_one_trace(row, another_web):
    _, _, forward = row
    assert curl(forward("traceparent", "tracestate")).status == 200
    server_a, client_a, server_b = read(row)
    assert {server_a.trace_id, client_a.trace_id, server_b.trace_id} == {server_a.trace_id}
    assert server_a.parent_id == ""
    assert client_a.parent_id == server_a.span_id
    assert server_b.parent_id == client_a.span_id
    context = f"00-{server_b.trace_id}-{server_b.span_id}-01"
    assert another_web.seen[0].values("traceparent") == [context]


def test_the_spans_of_a_trace_begin_one_after_the_other(row):
    _, _, forward = row
    curl(forward("traceparent"))
    outer, middle, inner = read(row)
    assert outer.start <= middle.start <= inner.start <= inner.end


def test_a_trace_that_the_client_began_goes_on_with_its_tracestate(row, another_web):
    _, _, forward = row
    context = ["--header", f"traceparent: 00-{TRACE}-{SPAN}-01", "--header", "tracestate: x=1,y=2"]
    curl(forward("traceparent", "tracestate"), *context)
    server_a, client_a, server_b = read(row)
    assert {server_a.trace_id, client_a.trace_id, server_b.trace_id} == {TRACE}
    assert server_a.parent_id == SPAN
    assert [s.trace_state for s in (server_a, client_a, server_b)] == ["x=1,y=2"] * 3
    assert another_web.seen[0].values("tracestate") == ["x=1,y=2"]


def test_a_call_that_passes_no_context_on_is_a_trace_of_its_own(row):
    _, _, forward = row
    curl(forward())
    server_a, client_a, server_b = read(row)
    assert client_a.trace_id != server_a.trace_id
    assert client_a.parent_id == ""
    assert (server_b.trace_id, server_b.parent_id) == (client_a.trace_id, client_a.span_id)


@pytest.mark.parametrize("names", [("traceparent",), ("traceparent", "x-tenant-id")], ids="+".join)
def test_the_tenant_reaches_the_second_service_and_every_span(row, another_web, names):
    _, _, forward = row
    curl(forward(*names), "--header", "x-tenant-id: acme")
    assert another_web.seen[0].values("x-tenant-id") == ["acme"]
    assert [span["spandrel.tenant.id"] for span in read(row)] == ["acme"] * 3


def test_tenants_of_simultaneous_requests_do_not_mix(row, another_web):
    first, second, forward = row
    url = forward("traceparent")
    tenants = [f"tenant-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as clients:
        asks = [clients.submit(curl, url, "--header", f"x-tenant-id: {name}") for name in tenants]
        assert {ask.result().status for ask in asks} == {200}
    received = [seen.values("x-tenant-id") for seen in another_web.seen]
    assert sorted(received) == sorted([name] for name in tenants)
    of_traces = {}
    for span in [*first.spans(80), *second.spans(40)]:
        of_traces.setdefault(span.trace_id, []).append(span["spandrel.tenant.id"])
    assert sorted(of_traces.values()) == sorted([name] * 3 for name in tenants)


def test_without_a_tenant_no_span_and_no_header_names_one(row, another_web):
    _, _, forward = row
    curl(forward("traceparent"))
    assert another_web.seen[0].values("x-tenant-id") == []
    assert [span["spandrel.tenant.id"] for span in read(row)] == [None] * 3


def test_a_default_tenant_is_the_tenant_of_who_names_none(sidecar, web):
    settings = {"tenants.default": "nobody", "tenants.header": "x-org"}
    proxy = sidecar(web.port, settings=settings)
    curl(proxy.inbound_url("/status/200/default"))
    curl(proxy.inbound_url("/status/200/named"), "--header", "x-org: acme")
    assert [seen.values("x-org") for seen in web.seen] == [["nobody"], ["acme"]]
    tenants = {span["url.path"]: span["spandrel.tenant.id"] for span in proxy.spans(2)}
    assert tenants == {"/status/200/default": "nobody", "/status/200/named": "acme"}
