"""gRPC-Web and Connect, by the same library at either end: the same results as directly."""

import json

import pytest

from support.ports import free_port
from support.rpc.routes import CALLER, DIRECT, ROUTES, Traces, Ways
from support.rpc.stack import WEB, Stack

VERSIONS = ("1.1", "2")
PROTOCOLS = ("grpc-web", "connect", "grpc")
HEADERS = [["repeated", "one"], ["repeated", "two"], ["raw-bin", "AAH/"], ["empty", ""]]
TRAILERS = [["late", "1"], ["late-bin", "/wA"]]

REQUESTS = {
    "an answer": {"send": ["späte Grüße ☃"], "headers": HEADERS, "trailers": TRAILERS},
    "an empty answer": {"send": [""]},
    "a large answer": {"send": ["x" * 3_000_000]},
    "an error": {"code": 13, "message": "100 % späte\nGrüße"},
    "an error with metadata": {"code": 5, "message": "", "headers": HEADERS, "trailers": TRAILERS},
    "an error of the caller's": {"code": 3, "message": "wrong"},
}
STREAMS = {
    "messages": {"send": [str(number) for number in range(500)], "trailers": TRAILERS},
    "no messages": {"headers": HEADERS, "trailers": TRAILERS},
    "an error after messages": {"send": ["a", "b"], "code": 14, "message": "gone"},
    "an error alone": {"code": 7, "message": "no"},
}


def cases():
    """Protocol, version, method and what is asked for."""
    for protocol in PROTOCOLS:
        for version in VERSIONS:
            methods = {"unary": REQUESTS, "down": STREAMS}
            if version == "2":
                methods["both"] = STREAMS
            for method, requests in methods.items():
                for name, request in requests.items():
                    # The client of Connect speaks gRPC over HTTP/2 alone, as does all the world.
                    if (protocol, version) != ("grpc", "1.1"):
                        label = f"{name} of {protocol} {method} over HTTP {version}"
                        yield pytest.param(protocol, version, method, request, id=label)


@pytest.fixture(scope="module")
def server():
    """The server."""
    with Stack(WEB) as server:
        yield server


@pytest.fixture(scope="module")
def ways(module_sidecar, server):
    """The ways to the server, by version."""
    ways = Ways(module_sidecar(free_port(), service=CALLER))
    for version in VERSIONS:
        port = free_port()
        server.serve(port, version=version)
        ways.add(version, port, module_sidecar(port, service=f"web-{version}"))
    yield ways


@pytest.fixture(scope="module")
def traces(module_collector):
    """The spans of all calls; in the end, there is none too many and none too few."""
    traces = Traces(module_collector)
    yield traces
    traces.assert_complete()


@pytest.fixture(scope="module")
def client(ways, traces):
    """The client; it ends before the spans are counted, and with it what it has abandoned.

    A call to which the answer has ended goes on for as long as the client's messages do.
    """
    with Stack(WEB) as client:
        yield client


def call(client, way, call, protocol, version, method, request, **more):
    """Makes a call; gives what the client sees."""
    context = [["call-id", call], ["traceparent", f"00-{call}-00000000000000aa-01"]]
    asked = client.order(
        "call",
        protocol=protocol,
        version=version,
        port=way.port,
        authority=way.authority,
        method=method,
        requests=[json.dumps(request)] * (2 if method == "both" else 1),
        headers=[*HEADERS, *context],
        **more,
    )
    return client.report(asked)


def comparable(report, way):
    """A report less what differs from call to call."""
    differ = {"traceparent", "call-id", "date"}
    found = {key: value for key, value in report.items() if key not in ("ask", "call")}
    for part in ("metadata", "initial", "failed"):
        if part in found:
            lines = [[k, "it" if v == way.authority else v] for k, v in found[part]]
            found[part] = [[k, "" if k in differ else v] for k, v in lines]
    return found


@pytest.mark.parametrize(("protocol", "version", "method", "request_"), list(cases()))
def test_a_call_comes_to_the_same_as_directly(
    client, server, ways, traces, protocol, version, method, request_
):
    seen = {}
    for route in ROUTES:
        way = ways.way(route, version)
        id = traces.begin(way, f"{protocol} {method} over HTTP {version}, {route}: {request_}")
        of_client = call(client, way, id, protocol, version, method, request_)
        of_server = server.served(id)
        assert of_server["protocol"] == protocol
        assert of_client["code"] == request_.get("code", 0)
        seen[route] = comparable(of_client, way), comparable(of_server, way)
    for route in ROUTES:
        assert seen[route] == seen[DIRECT], route
