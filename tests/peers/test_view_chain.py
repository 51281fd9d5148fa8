"""What `view` says of requests through real services, each with a sidecar and without tracing."""

from contextlib import ExitStack, closing

import pytest

from support.apps.hop import HopApp
from support.clients import curl
from support.sidecar import Plan, Sidecar
from support.waiting import eventually

PAUSES = {"gateway": 0.050, "order": 0.450, "payment": 0.010}
"""Seconds that each service of the chain works, in the order in which they call one another."""


@pytest.fixture
def chain(binary, view, loop, tmp_path):
    """Starts services that call one another, with a sidecar beside each: `chain({name: pause})`.

    Gives the applications and the sidecars by name.
    """
    with ExitStack() as stack:

        def start(pauses):
            apps, sidecars = {}, {}
            for name, pause in pauses.items():
                apps[name] = stack.enter_context(closing(HopApp(loop, pause)))
                plan = Plan(service=name, app=apps[name].port)
                sidecars[name] = stack.enter_context(Sidecar(binary, plan, view, tmp_path))
            names = list(pauses)
            for caller, callee in zip(names, names[1:]):
                apps[caller].next = (sidecars[callee].inbound_url(""), sidecars[caller].proxy)
            return apps, sidecars

        yield start


def ask(view, sidecar, path, spans):
    """Makes the only request of a test, and gives the trace that it leaves."""
    assert curl(sidecar.inbound_url(path)).status == 200

    def whole():
        traces = view.api("traces")["traces"]
        return [trace["id"] for trace in traces if trace["spans"] == spans]

    found = eventually(whole, lambda: f"{spans} spans, not {view.api('traces')['traces']}")
    assert len(found) == 1
    return view.trace(found[0])


def test_the_slow_service_of_a_chain_is_named(view, chain):
    apps, sidecars = chain(PAUSES)
    trace = ask(view, sidecars["gateway"], "/hop", 5)
    servers = {span["service"]: span for span in trace["spans"] if span["kind"] == "server"}
    for name in PAUSES:
        slept, own = apps[name].slept[0] * 1e6, apps[name].own[0] * 1e6
        found = servers[name]["self_us"]
        print(f"{name} slept {slept:.0f} us, took {own:.0f} us itself, self time {found:.0f} us")
        assert found > slept - 1_000
    assert list(servers) == list(PAUSES), "the waterfall is in the order of the calls"
    assert trace["verdict"]["service"] == "order"
    assert trace["verdict"]["span"] == servers["order"]["id"]
    assert trace["verdict"]["headline"].startswith("order is the bottleneck: `GET` spent ")
    assert max(trace["spans"], key=lambda span: span["self_us"]) == servers["order"]


def test_the_critical_path_runs_through_the_whole_chain(view, chain):
    _, sidecars = chain(PAUSES)
    trace = ask(view, sidecars["gateway"], "/hop", 5)
    on_path = {span["service"] for span in trace["spans"] if span["critical_us"] > 0}
    assert on_path == set(PAUSES)
    total = sum(span["critical_us"] for span in trace["spans"])
    assert total == pytest.approx(trace["duration_us"], abs=1)


def test_the_graph_of_a_chain_is_its_calls(view, chain):
    _, sidecars = chain(PAUSES)
    ask(view, sidecars["gateway"], "/hop", 5)
    edges = {(edge["from"], edge["to"]): edge["calls"] for edge in view.api("graph")["edges"]}
    assert edges == {("gateway", "order"): 1, ("order", "payment"): 1}


@pytest.mark.parametrize(
    ("path", "calls", "expected"),
    [
        ("serial", 4, {"serial"}),
        ("parallel", 4, {"parallel"}),
        ("serial", 5, {"serial", "repeated"}),
        ("parallel", 5, {"parallel", "repeated"}),
        ("serial", 1, set()),
    ],
)
def test_calls_at_once_are_told_from_calls_one_after_another(view, chain, path, calls, expected):
    _, sidecars = chain({"gateway": 0.0, "stock": 0.1})
    trace = ask(view, sidecars["gateway"], f"/{path}/{calls}", 1 + 2 * calls)
    notes = {note["kind"]: note for note in trace["verdict"]["notes"]}
    assert set(notes) == expected
    clients = {span["id"] for span in trace["spans"] if span["kind"] == "client"}
    for note in notes.values():
        assert set(note["spans"]) == clients, note
        assert note["text"].startswith("gateway calls stock "), note
