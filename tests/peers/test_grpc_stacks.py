"""gRPC of three stacks, each calling each: both ends see what they would see connected directly."""

import base64
import json
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import product

import pytest

from support.ports import free_port
from support.rpc.meeting import Meeting
from support.rpc.routes import CALLER, DIRECT, INBOUND, ROUTES, Traces, Ways
from support.rpc.scenarios import (
    ANSWERED,
    BROKEN,
    CONTROL,
    DIFFERENT,
    ECHOED,
    FLOOD,
    FLOOD_DOWN,
    FLOOD_UP,
    HEAVY,
    KEPT_ALIVE,
    KINDS,
    LIGHT,
    MANY,
    ODD,
    SHORT,
    UNSERVED,
)
from support.rpc.stack import NAMES, Stack
from support.rpc.wire import PLAIN, Tap, WireApp, ask
from support.waiting import eventually

SOON = {"OTEL_BSP_SCHEDULE_DELAY": "5"}
MEMORY = 100 * 1024**2
"""Bytes that a sidecar may have needed at most after everything."""

CANCELLED, INTERNAL, UNAVAILABLE = 1, 13, 14

PAIRS = list(product(NAMES, NAMES))


@pytest.fixture(scope="module")
def clients(ways, traces):
    """The stacks as clients; they end before the spans are counted, and with them their calls."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(Stack(name)) for name in NAMES}


@pytest.fixture(scope="module")
def servers():
    """The stacks as servers."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(Stack(name)) for name in NAMES}


@pytest.fixture(scope="module")
def ways(module_sidecar, servers):
    """The ways to a server of each stack that stays, and to one that a test starts and stops."""
    ways = Ways(module_sidecar(free_port(), service=CALLER, environment=SOON))
    for name, server in servers.items():
        for app in (name, f"leaving-{name}"):
            port = free_port()
            ways.add(app, port, module_sidecar(port, service=app, environment=SOON))
            if app == name:
                server.serve(port)
    yield ways


@pytest.fixture(scope="module")
def traces(module_collector):
    """The spans of all calls; in the end, there is none too many and none too few."""
    traces = Traces(module_collector)
    yield traces
    traces.assert_complete()


@pytest.fixture
def pair(request, clients, servers, ways, traces):
    """A client and a server."""
    client, server = request.param
    return Meeting(clients[client], servers[server], ways, traces, app=server)


def each_pair(scenarios):
    """Every scenario with each client and server that it is for."""
    cases = [(pair, one) for one in scenarios for pair in PAIRS if pair in (one.pairs or PAIRS)]
    names = [f"{one} from {client} to {server}" for (client, server), one in cases]
    return pytest.mark.parametrize(("pair", "scenario"), cases, ids=names, indirect=["pair"])


def assert_same(pair, scenario):
    """Both ends see the same by every route."""
    seen = pair.run(scenario)
    for route in ROUTES:
        assert seen[route] == seen[DIRECT], route


@each_pair(LIGHT)
def test_both_ends_see_what_they_see_connected_directly(pair, scenario):
    assert_same(pair, scenario)


@each_pair(HEAVY)
def test_large_and_many_messages_arrive_as_they_do_directly(pair, scenario):
    assert_same(pair, scenario)
    for sidecar in pair.ways.sidecars():
        assert sidecar.peak_memory() < MEMORY, sidecar.service


every_pair = pytest.mark.parametrize("pair", PAIRS, ids="-to-".join, indirect=True)
to_go = pytest.mark.parametrize(
    "pair", [(name, "go") for name in NAMES], ids="-to-".join, indirect=True
)
every_route = pytest.mark.parametrize("route", ROUTES)


@every_pair
@every_route
def test_a_hundred_calls_at_once_on_one_channel_are_all_answered(pair, route):
    calls = [pair.begin(MANY, route) for _ in range(100)]
    for call, _ in calls:
        pair.server.told(call)
    for _, asked in calls:
        pair.client.go(asked)
    for one in calls:
        assert pair.end(MANY, route, *one)["client"]["received"]["count"] == 2


@every_pair
@every_route
def test_a_server_that_leaves_gracefully_loses_no_call(pair, route):
    pair = replace(pair, app=f"leaving-{pair.app}")
    port = pair.port
    pair.server.serve(port)
    calls = [pair.begin(MANY, route) for _ in range(3)]
    for call, _ in calls:
        pair.server.told(call)
    pair.server.stop(port, graceful=True)
    pair.server.serve(port)
    for _ in range(10):
        pair.end(SHORT, route, *pair.begin(SHORT, route))
    for one in calls:
        pair.client.go(one[1])
        assert pair.end(MANY, route, *one)["client"]["received"]["count"] == 2
    pair.server.stop(port, graceful=False)


@every_pair
@every_route
def test_a_server_that_breaks_off_is_unavailable_to_the_client(pair, route):
    pair = replace(pair, app=f"leaving-{pair.app}")
    pair.server.serve(pair.port)
    call, asked = pair.begin(BROKEN, route)
    pair.client.told(asked)
    pair.server.stop(pair.port, graceful=False)
    report = pair.client.report(asked)
    codes = {UNAVAILABLE}
    if route == DIRECT and pair.client.name == "js":
        # What Node makes of the end of a connection is not always the same.
        codes |= {CANCELLED, INTERNAL}
    assert report["code"] in codes, report
    assert report["received"]["count"] == 1
    pair.traces.expect(call, {"rpc.response.status_code": ["UNAVAILABLE"]})


@to_go
@every_route
def test_a_refused_connection_is_unavailable_and_the_span_says_why(pair, route):
    pair = replace(pair, app="leaving-go")
    call, asked = pair.begin(UNSERVED, route)
    pair.end(UNSERVED, route, call, asked)
    spans = pair.traces.of(call)
    assert all(span.status == "ERROR" for span in spans.values())
    # With two sidecars, it is the second one that is refused.
    nearest = spans.get("leaving-go") or spans.get(CALLER)
    if route != DIRECT:
        assert nearest["error.type"] == "connection_refused"
        assert nearest["spandrel.fault.side"] == "upstream"


@every_pair
@every_route
@pytest.mark.parametrize("scenario", [FLOOD_DOWN, FLOOD_UP], ids=str)
def test_who_does_not_read_stops_who_writes(pair, route, scenario):
    call, asked = pair.begin(scenario, route)
    if scenario is FLOOD_DOWN:
        reader, writer, of_reader, of_writer = pair.client, pair.server, asked, call
    else:
        reader, writer, of_reader, of_writer = pair.server, pair.client, call, asked
    reader.told(of_reader)
    last = []

    def has_settled():
        last.append(writer.progress(of_writer))
        return last[-20:] == [last[-1]] * 20

    eventually(has_settled, "the writer to stop")
    assert last[-1] < FLOOD[0]
    reader.go(of_reader)
    pair.end(scenario, route, call, asked)
    for sidecar in pair.ways.sidecars():
        assert sidecar.peak_memory() < MEMORY, sidecar.service


# grpc-go sends no more than a ping in ten seconds.
@pytest.mark.parametrize("pair", [("python", "go"), ("js", "go")], ids="-to-".join, indirect=True)
def test_a_client_that_pings_all_the_time_is_not_told_to_calm_down(pair, loop):
    with ExitStack() as stack:
        begun = []
        for route in ROUTES:
            tap = stack.enter_context(closing(Tap(loop, pair.ways.way(route, pair.app).port)))
            begun.append((route, tap, pair.begin(KEPT_ALIVE, route, tap.port)))
        for route, tap, (call, asked) in begun:
            pair.server.told(call)
            eventually(lambda tap=tap: tap.pings >= 3, f"three pings, {route}")
            pair.client.go(asked)
            pair.end(KEPT_ALIVE, route, call, asked)
        pair.client.hang_up()


@every_pair
@pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_a_difference_at_either_end_does_not_escape_the_comparison(pair, other):
    same = pair.run(CONTROL, [DIRECT, INBOUND])
    assert same[DIRECT] == same[INBOUND]
    changed = pair.run(other, [INBOUND])[INBOUND]
    for seen in (same[DIRECT], changed):
        # How the steps are told to the server differs by itself.
        metadata = seen["server"]["metadata"]
        metadata[:] = [pair for pair in metadata if pair[0] != "steps-bin"]
    assert changed != same[DIRECT]


@pytest.fixture(scope="module")
def wire(loop, ways, module_sidecar):
    """A server that keeps what comes, and its sidecar."""
    with closing(WireApp(loop)) as app:
        ways.add("wire", app.port, module_sidecar(app.port, service="wire", environment=SOON))
        yield app


@to_go
@pytest.mark.parametrize("scenario", ECHOED, ids=str)
def test_a_call_is_on_the_wire_what_it_is_directly(pair, wire, scenario):
    pair = replace(pair, app="wire")
    seen = {}
    for route in ROUTES:
        report = pair.end(scenario, route, *pair.begin(scenario, route))
        request = wire.requests.pop()
        seen[route] = report, unordered(request.headers), bytes(request.body)
        assert (b"te", b"trailers") in request.headers
        assert request.body[0] == scenario.options.get("gzip", False)
    for route in ROUTES:
        assert seen[route] == seen[DIRECT], route


@to_go
@pytest.mark.parametrize("is_trailers_only", [False, True])
@pytest.mark.parametrize(
    "text", [b"100 %", b"%zz%4", b"%E4 alone", b"\xe4\xff", b"", b"a%00b", b"+%2B+"], ids=repr
)
def test_odd_messages_of_a_status_reach_the_client_as_directly(pair, wire, text, is_trailers_only):
    pair = replace(pair, app="wire")
    wire.trailers = [(b"grpc-status", b"9"), (b"grpc-message", text), (b"a", b"1"), (b"a", b"2")]
    wire.is_trailers_only = is_trailers_only
    seen = [pair.end(ODD, route, *pair.begin(ODD, route)) for route in ROUTES]
    wire.trailers, wire.is_trailers_only = PLAIN, False
    assert seen == [seen[0]] * len(ROUTES)


@pytest.mark.parametrize(
    "timeout", [b"1H", b"99999999M", b"30S", b"30000m", b"1u", b"100n", b"+1x"]
)
def test_a_timeout_arrives_as_it_was_sent(ways, traces, wire, timeout):
    seen = []
    for route in ROUTES:
        way = ways.way(route, "wire")
        headers = head(way, traces.begin(way, f"a timeout, {route}"), (b"grpc-timeout", timeout))
        answer = ask(way.port, headers, frame(b"hello"))
        seen.append((told(wire.requests.pop().headers), answer))
    assert (b"grpc-timeout", timeout) in seen[0][0]
    assert seen == [seen[0]] * len(ROUTES)


@pytest.mark.parametrize("server", NAMES)
@pytest.mark.parametrize("scenario", ANSWERED, ids=str)
def test_an_answer_is_on_the_wire_what_it_is_directly(servers, ways, traces, server, scenario):
    seen = []
    for route in ROUTES:
        way = ways.way(route, server)
        call = traces.begin(way, f"{scenario} of {server}, {route}")
        steps = base64.b64encode(json.dumps(scenario.server).encode())
        path = f"/peers.v1.Steps/{KINDS[scenario.kind]}".encode()
        more = [(b"call-id", call.encode()), (b"steps-bin", steps)]
        more += [(b"grpc-accept-encoding", b"gzip")]
        answer = ask(way.port, head(way, call, *more, path=path), frame(b"hello"))
        servers[server].served(call)
        seen.append([(name, unordered(p) if is_head else p) for name, is_head, p in answer])
    assert seen == [seen[0]] * len(ROUTES)


def frame(message):
    """A message as gRPC frames it."""
    return b"\0" + len(message).to_bytes(4) + message


def head(way, call, *more, path=b"/peers.v1.Steps/Both"):
    """The head of a call."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", way.authority.encode()),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"traceparent", f"00-{call}-00000000000000aa-01".encode()),
        *more,
    ]


def told(headers):
    """Headers less what differs from call to call; the order of pseudo headers means nothing."""
    differ = {b"traceparent", b"call-id", b":authority", b"date"}
    found = [(k, b"" if k in differ else v) for k, v in headers]
    return sorted(pair for pair in found if pair[0][:1] == b":") + [
        pair for pair in found if pair[0][:1] != b":"
    ]


def unordered(headers):
    """Headers less what no stack keeps to: the order of names, and the rest of a deadline."""
    found = [(k, _rounded(v) if k == b"grpc-timeout" else v) for k, v in told(headers)]
    return sorted(found, key=lambda pair: pair[0])


def _rounded(timeout):
    """A deadline that is about right is so."""
    seconds = int(timeout[:-1]) * {b"S": 1, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}[timeout[-1:]]
    return b"in time" if 15 < seconds <= 20.2 else timeout
