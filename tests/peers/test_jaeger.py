"""Jaeger receives what sidecars send, and spandrel's commands read it there."""

from contextlib import closing

import pytest

from support.apps.web import Call
from support.clients import curl
from support.jaeger import Jaeger
from support.terminal import Terminal

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
UNKNOWN = "1af7651916cd43dd8448eb211c80319c"

THROUGH_ALL = 3
"""Requests that come in at the gateway, go on to the orders, and from there to the stock."""
TO_ORDERS = 2
"""Requests that come in at the orders, and go on to the stock."""


@pytest.fixture
def jaeger(tmp_path):
    """Jaeger."""
    with closing(Jaeger(tmp_path)) as jaeger:
        yield jaeger


@pytest.fixture
def terminal(binary, jaeger):
    """The commands, asking Jaeger."""
    return Terminal(binary, jaeger.url)


@pytest.fixture
def shop(jaeger, web, another_web, sidecars_of, protocol):
    """What three services did, of which the stock is slow, as their sidecars told Jaeger."""
    with sidecars_of(jaeger) as sidecar:
        gateway = sidecar(web.port, service="gateway", protocol=protocol)
        orders = sidecar(another_web.port, service="orders", protocol=protocol)
        stock = sidecar(web.port, service="stock", protocol=protocol)
        forward = ("traceparent", "tracestate")
        web.call = Call(orders.inbound_url("/onward/orders"), gateway.proxy, forward)
        another_web.call = Call(stock.inbound_url("/pause/150/stock"), orders.proxy, forward)
        context = ["--header", f"traceparent: 00-{TRACE}-{PARENT}-01"]
        assert curl(gateway.inbound_url("/onward"), *context).status == 200
        for _ in range(THROUGH_ALL - 1):
            assert curl(gateway.inbound_url("/onward")).status == 200
        for _ in range(TO_ORDERS):
            assert curl(orders.inbound_url("/onward")).status == 200
        assert curl(gateway.inbound_url("/status/503")).status == 503
    jaeger.wait_for_trace(TRACE, 5)


@pytest.mark.usefixtures("shop")
def test_what_sidecars_send_is_in_jaeger_and_on_the_terminal(terminal, jaeger):
    assert terminal.run("trace services").good().split() == ["gateway", "orders", "stock"]

    traces = terminal.run("trace list --json").json()["traces"]
    assert len(traces) == THROUGH_ALL + TO_ORDERS + 1
    assert [t["start_us"] for t in traces] == sorted((t["start_us"] for t in traces), reverse=True)
    assert sorted(t["spans"] for t in traces) == [1, 3, 3, 5, 5, 5]
    whole = {t["id"]: [s["name"] for s in t["services"]] for t in traces}[TRACE]
    assert whole == ["gateway", "orders", "stock"]
    table = terminal.run("trace list --errors").good().splitlines()
    assert len(table) == 2, table
    assert " gateway GET " in table[1], table
    slow = terminal.run("trace list --min 100ms --json").json()["traces"]
    assert len(slow) == THROUGH_ALL + TO_ORDERS
    of_gateway = terminal.run("trace list --service gateway --min 100ms --json").json()["traces"]
    assert len(of_gateway) == THROUGH_ALL

    trace = terminal.run(f"trace show {TRACE} --json").json()
    spans = trace["spans"]
    parents = [PARENT, *[span["id"] for span in spans[:-1]]]
    assert [span["parent"] for span in spans] == parents
    assert [span["service"] for span in spans] == ["gateway"] * 2 + ["orders"] * 2 + ["stock"]
    assert trace["verdict"]["service"] == "stock", trace["verdict"]
    drawn = terminal.run(f"trace show {TRACE}").good()
    assert "stock is the bottleneck" in drawn, drawn

    graph = terminal.run("graph --json").json()
    calls = {(edge["from"], edge["to"]): edge["calls"] for edge in graph["edges"]}
    assert calls == jaeger.calls()
    expected = {("gateway", "orders"): THROUGH_ALL, ("orders", "stock"): THROUGH_ALL + TO_ORDERS}
    assert calls == expected
    for form, start in [("mermaid", "flowchart LR\n"), ("dot", "digraph services {\n")]:
        assert terminal.run(f"graph --format {form}").good().startswith(start)


def test_what_is_not_in_jaeger_is_said(terminal):
    assert terminal.run("trace services").good() == ""
    assert terminal.run("trace list").good().startswith("No such traces of the last 7 days at ")
    left = terminal.run(f"trace show {UNKNOWN}")
    assert (left.code, left.out) == (1, "")
    assert f"trace {UNKNOWN} is not kept at" in left.err
    assert terminal.run("trace show abc123").code == 2
