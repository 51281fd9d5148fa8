"""HTTP and gRPC between pods whose traffic is redirected: neither side is told of it."""

from contextlib import closing

import pytest

from support.apps.echo import EchoApp
from support.apps.rpc import RpcApp
from support.apps.tcp import TcpApp
from support.apps.web import Call, WebApp
from support.clients import aiohttp_get, httpx_get
from support.pods import bare
from support.rpc.stack import Stack
from support.talk import say

PORT = 8080
LOOPBACK = {4: "127.0.0.6", 6: "::1"}
"""Where spandrel calls the application from, unless it takes the caller's address."""
CLIENTS = {
    "curl": lambda pod, url: pod.curl(url),
    "curl over HTTP/2": lambda pod, url: pod.curl(url, "--http2-prior-knowledge"),
    "aiohttp": lambda pod, url: pod.call(aiohttp_get, url),
    "httpx over HTTP/2": lambda pod, url: pod.call(httpx_get, url, http2=True),
}


@pytest.fixture(params=["redirect", "tproxy"])
def mode(request):
    """The modes of the inbound side that redirect."""
    return request.param


@pytest.fixture
def near(mesh):
    """The pod that calls."""
    return mesh.service("near")


@pytest.fixture
def far(mesh, mode):
    """The pod that is called."""
    return mesh.service("far", {"inbound.mode": mode})


def echo_in(pod):
    """hypercorn at every address of a pod."""
    return pod.keep(closing(EchoApp(pod.loop, ["[::]"], PORT)))


def on_path(spans, path):
    """The spans of requests for a path."""
    return [span for span in spans if (span["url.path"] or span["url.full"]).endswith(path)]


def assert_joined(spans, caller, called):
    """One CLIENT span of the caller is the parent of one SERVER span; gives both."""
    client, server = sorted(spans, key=lambda span: span.kind)
    assert (client.kind, client.service, client.parent_id) == ("CLIENT", caller, "")
    assert (server.kind, server.service, server.parent_id) == ("SERVER", called, client.span_id)
    assert server.trace_id == client.trace_id
    return client, server


def test_http_passes_both_proxies_and_is_one_trace(mesh, near, far, mode, family):
    app = echo_in(far)
    paths = {f"/{number}": ask for number, ask in enumerate(CLIENTS.values())}
    for path, ask in paths.items():
        assert ask(near, f"http://{far.host(family)}:{PORT}{path}").status == 200
    spans = mesh.spans(2 * len(paths))
    seen = near.ip(family) if mode == "tproxy" else LOOPBACK[family]
    assert {bare(app.peer_of(path)) for path in paths} == {seen}
    for path in paths:
        client, server = assert_joined(on_path(spans, path), "near", "far")
        assert server["client.address"] == near.ip(family)
        assert client["network.peer.address"] == far.ip(family)
        assert client["network.peer.port"] == PORT
        headers, _ = app.headers_of(path)
        context = f"00-{server.trace_id}-{server.span_id}-01".encode()
        assert [value for name, value in headers if name == b"traceparent"] == [context]


def test_the_version_of_http_is_the_clients(mesh, near, far, family):
    app = echo_in(far)
    asked = {"/1": "--http1.1", "/2": "--http2-prior-knowledge"}
    for path, version in asked.items():
        near.curl(f"http://{far.host(family)}:{PORT}{path}", version)
    assert {path: app.headers_of(path)[1] for path in asked} == {"/1": "1.1", "/2": "2"}


@pytest.mark.parametrize("stack", ["python", "js", "go"])
def test_grpc_passes_both_proxies_and_is_one_trace(mesh, near, far, stack):
    with far.inside():
        app = far.keep(closing(RpcApp("[::]")))
    with near.inside():
        client = near.keep(Stack(stack))
    for family in (4, 6):
        target = f"{far.host(family)}:{app.port}"
        how = {"kind": "down", "method": "/peers.v1.Echo/ServerStream", "metadata": []}
        plain = {"authority": target, "options": {}, "timeout": 20}
        order = client.order("call", target=target, steps=[["send", 1, 12]], **how, **plain)
        answer = client.report(order)
        assert (answer["code"], answer["received"]["count"]) == (0, 12)
    spans = mesh.spans(4)
    for trace in {span.trace_id for span in spans}:
        pair = assert_joined([s for s in spans if s.trace_id == trace], "near", "far")
        assert [span["rpc.method"] for span in pair] == ["peers.v1.Echo/ServerStream"] * 2
    assert len(app.peers) == 2


def test_a_name_is_what_was_asked_for_and_the_address_where_it_went(mesh, near, far, family):
    echo_in(far)
    there = f"shop.example:{PORT}:{far.host(family)}"
    near.curl(f"http://shop.example:{PORT}/", "--resolve", there)
    client, server = assert_joined(mesh.spans(2), "near", "far")
    assert client["server.address"] == server["server.address"] == "shop.example"
    assert client["network.peer.address"] == far.ip(family)


def test_who_names_another_host_still_goes_where_it_connected_to(mesh, near, far, family):
    app = echo_in(far)
    url = f"http://{far.host(family)}:{PORT}/meant"
    near.curl(url, "--header", f"Host: {near.host(family)}:1")
    assert app.paths() == {"/meant"}
    assert len(mesh.spans(2)) == 2


def test_an_application_that_calls_its_own_address_passes_outbound_and_inbound(mesh, far, family):
    web = far.keep(closing(WebApp(far.loop, None, PORT)))
    far.curl(f"http://{far.host(family)}:{PORT}/status/200/own")
    assert web.paths() == ["/status/200/own"]
    assert bare(web.seen[0].peer) == LOOPBACK[family]
    assert_joined(mesh.spans(2), "far", "far")


def test_a_call_of_the_application_carries_on_the_trace_of_the_request(mesh, near, far, family):
    last = mesh.service("last")
    echo_in(last)
    middle = far.keep(closing(WebApp(far.loop, None, PORT)))
    middle.call = Call(f"http://{last.host(family)}:{PORT}/end", None, ("traceparent",))
    near.curl(f"http://{far.host(family)}:{PORT}/onward")
    spans = mesh.spans(4)
    assert len({span.trace_id for span in spans}) == 1
    parents = {span.parent_id: span for span in spans}
    order, parent = [], ""
    while parent in parents:
        order.append((parents[parent].service, parents[parent].kind))
        parent = parents[parent].span_id
    assert order == [("near", "CLIENT"), ("far", "SERVER"), ("far", "CLIENT"), ("last", "SERVER")]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_the_applications_loopback_is_its_own(mesh, far, host):
    web = far.keep(closing(WebApp(far.loop, None, PORT)))
    far.curl(f"http://{host}:{PORT}/status/200")
    assert bare(web.seen[0].peer) in ("127.0.0.1", "::1")
    assert far.sidecar.metrics().sum("spandrel_requests_total") == 0
    assert mesh.spans(0) == []


def test_names_are_asked_for_by_tcp_as_if_nobody_were_there(mesh, near, family):
    names = mesh.pod("names")
    app = names.keep(closing(TcpApp(names.loop, None, 53)))
    assert say(near, names.ip(family), 53, b"who?\n") == b"who?\n"
    assert [bare(peer) for peer in app.peers] == [near.ip(family)]
    assert mesh.spans(0) == []
