"""Context leaves with calls inside the trust zone, and not with calls to strangers."""

import ipaddress
from contextlib import closing

import pytest

from support.apps.echo import EchoApp
from support.apps.web import Call, WebApp

PORT = 8080
ABROAD = {4: ("198.51.100.7", 24), 6: ("2001:db8:7::7", 64)}
"""Addresses that are nobody's own, and not in the default zone."""
SECRETS = ("traceparent", "tracestate", "baggage", "x-tenant-id")
SENT = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "other=1",
    "baggage": "customer=acme",
    "x-tenant-id": "acme",
}


@pytest.fixture
def near(mesh):
    """A pod behind a spandrel, and its application."""
    near = mesh.service("near")
    near.app = near.keep(closing(WebApp(near.loop, None, PORT)))
    for address, width in ABROAD.values():
        near.add_route(network_of(address, width))
    return near


@pytest.fixture
def stranger(mesh):
    """A pod without a spandrel, which has addresses abroad, too."""
    pod = mesh.pod("stranger")
    for address, width in ABROAD.values():
        pod.add_address(address, width)
    pod.app = pod.keep(closing(EchoApp(pod.loop, ["[::]"], PORT)))
    return pod


def network_of(address, width):
    """The network that an address is in."""
    return str(ipaddress.ip_network(f"{address}/{width}", strict=False))


def abroad(family):
    """The stranger's address abroad, as it stands in URLs."""
    address, _ = ABROAD[family]
    return f"[{address}]" if family == 6 else address


def secrets(pod):
    """What a pod was told of the context by the request for /goods."""
    headers, _ = pod.app.headers_of("/goods")
    told = [(name.decode(), value.decode()) for name, value in headers]
    return {name: value for name, value in told if name in SECRETS}


def lines(headers):
    """Headers as curl's flags."""
    return [flag for pair in headers.items() for flag in ("--header", ": ".join(pair))]


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_a_stranger_sees_nothing_of_what_the_application_sends(
    mesh, near, stranger, family, version
):
    near.curl(f"http://{abroad(family)}:{PORT}/goods", version, *lines(SENT))
    assert secrets(stranger) == {}
    span = mesh.spans(1)[0]
    assert (span.kind, span["network.peer.address"]) == ("CLIENT", ABROAD[family][0])


def test_the_same_pod_sees_it_where_it_is_called_inside(mesh, near, stranger, family):
    near.curl(f"http://{stranger.host(family)}:{PORT}/goods", *lines(SENT))
    span = mesh.spans(1)[0]
    trace = SENT["traceparent"].split("-")[1]
    assert secrets(stranger) == SENT | {"traceparent": f"00-{trace}-{span.span_id}-01"}


def test_what_a_request_brought_in_does_not_leave_with_its_calls(mesh, near, stranger, family):
    near.app.call = Call(f"http://{abroad(family)}:{PORT}/goods", None, SECRETS)
    mesh.pod("caller").curl(f"http://{near.host(family)}:{PORT}/onward", *lines(SENT))
    assert secrets(stranger) == {}
    server, client = sorted(mesh.spans(2), key=lambda span: span.kind, reverse=True)
    assert (client.kind, client.trace_id) == ("CLIENT", server.trace_id)
    assert client.parent_id == server.span_id


def test_a_zone_of_everything_lets_context_go_everywhere(mesh, stranger, family):
    near = mesh.service("near", {"propagation.trust_zone": ["*"]})
    near.add_route(network_of(*ABROAD[family]))
    near.curl(f"http://{abroad(family)}:{PORT}/goods", *lines(SENT))
    assert set(secrets(stranger)) == set(SECRETS)
    assert len(mesh.spans(1)) == 1
