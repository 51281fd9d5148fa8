"""What is excluded goes by spandrel: its own counters do not move, and the peers see each other."""

from contextlib import closing

import pytest

from support.apps.tcp import TcpApp
from support.apps.web import WebApp
from support.collector import PROTOCOLS
from support.pods import APP, bare
from support.talk import say

PORT, ANOTHER_PORT = 8080, 8081
ANOTHER_USER = 4242


class Passed:
    """What a sidecar has counted since the last look."""

    _COUNTERS = ("spandrel_requests_total", "spandrel_opaque_connections_total")

    def __init__(self, sidecar):
        self._sidecar = sidecar
        self._last = self._read()

    def since(self):
        """How many requests, and how many connections of something else."""
        last, self._last = self._last, self._read()
        return tuple(now - then for now, then in zip(self._last, last, strict=True))

    def _read(self):
        metrics = self._sidecar.metrics()
        return [int(metrics.sum(name)) for name in self._COUNTERS]


def web_in(pod, port=PORT):
    """A web application at every address of a pod."""
    return pod.keep(closing(WebApp(pod.loop, None, port)))


def echo_in(pod, port):
    """A server of bare TCP at every address of a pod."""
    return pod.keep(closing(TcpApp(pod.loop, None, port)))


def test_calls_to_excluded_ports_go_by(mesh, family):
    near = mesh.service("near", {"outbound.exclude_ports": [PORT]})
    far = mesh.pod("far")
    web_in(far), web_in(far, ANOTHER_PORT)
    passed = Passed(near.sidecar)
    assert near.curl(f"http://{far.host(family)}:{PORT}/status/200").status == 200
    assert passed.since() == (0, 0)
    near.curl(f"http://{far.host(family)}:{ANOTHER_PORT}/status/200")
    assert passed.since() == (1, 0)
    assert mesh.spans(1)[0]["server.port"] == ANOTHER_PORT


def test_only_calls_to_included_ports_are_redirected(mesh, family):
    near = mesh.service("near", {"outbound.include_ports": [ANOTHER_PORT]})
    far = mesh.pod("far")
    web_in(far), web_in(far, ANOTHER_PORT)
    for port in (PORT, ANOTHER_PORT):
        near.curl(f"http://{far.host(family)}:{port}/status/200")
    assert mesh.spans(1)[0]["server.port"] == ANOTHER_PORT


def test_calls_to_excluded_networks_go_by(mesh, family):
    far, another = mesh.pod("far"), mesh.pod("another")
    web_in(far), web_in(another)
    excluded = [f"{far.ip4}/32", f"{far.ip6}/128"]
    near = mesh.service("near", {"outbound.exclude_cidrs": excluded})
    for pod in (far, another):
        near.curl(f"http://{pod.host(family)}:{PORT}/status/200")
    assert mesh.spans(1)[0]["network.peer.address"] == another.ip(family)


def test_calls_of_excluded_users_go_by(mesh, family):
    near = mesh.service("near", {"outbound.exclude_uids": [ANOTHER_USER]})
    far = mesh.pod("far")
    web_in(far)
    for user in (ANOTHER_USER, APP):
        near.curl(f"http://{far.host(family)}:{PORT}/status/200/{user}", user=user)
    assert mesh.spans(1)[0]["url.full"].endswith(f"/{APP}")


def test_requests_to_excluded_ports_come_straight_to_the_application(mesh, family):
    far = mesh.service("far", {"inbound.exclude_ports": [PORT]})
    near = mesh.pod("near")
    web, another_web = web_in(far), web_in(far, ANOTHER_PORT)
    for port in (PORT, ANOTHER_PORT):
        near.curl(f"http://{far.host(family)}:{port}/status/200")
    assert bare(web.seen[0].peer) == near.ip(family)
    assert bare(another_web.seen[0].peer) != near.ip(family)
    assert mesh.spans(1)[0]["server.port"] == ANOTHER_PORT


def test_requests_from_excluded_networks_come_straight_to_the_application(mesh, family):
    near, another = mesh.pod("near"), mesh.pod("another")
    excluded = [f"{near.ip4}/32", f"{near.ip6}/128"]
    far = mesh.service("far", {"inbound.exclude_cidrs": excluded})
    web = web_in(far)
    for pod in (near, another):
        pod.curl(f"http://{far.host(family)}:{PORT}/status/200")
    peers = [bare(seen.peer) == near.ip(family) for seen in web.seen]
    assert peers == [True, False]
    assert mesh.spans(1)[0]["client.address"] == another.ip(family)


def test_connections_of_other_protocols_go_by_too(mesh, family):
    near = mesh.service("near", {"outbound.exclude_ports": [7000]})
    far = mesh.service("far", {"inbound.exclude_ports": [7000]})
    app = echo_in(far, 7000)
    both = [Passed(pod.sidecar) for pod in (near, far)]
    assert say(near, far.ip(family), 7000, b"hello\n") == b"hello\n"
    assert [bare(peer) for peer in app.peers] == [near.ip(family)]
    assert [passed.since() for passed in both] == [(0, 0), (0, 0)]
    assert mesh.spans(0) == []


def test_spandrels_own_probes_and_metrics_are_not_requests_to_the_application(mesh, family):
    far = mesh.service("far", {"metrics.listen": "[::]:16020"})
    near = mesh.pod("near")
    answer = near.curl(f"http://{far.host(family)}:16020/metrics")
    assert b"spandrel_spans_created_total" in answer.body
    assert Passed(far.sidecar)._read() == [0, 0]
    assert mesh.spans(0) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_exports_are_not_captured(mesh, protocol):
    near, far = mesh.service("near", protocol=protocol), mesh.pod("far")
    web_in(far)
    passed = Passed(near.sidecar)
    near.curl(f"http://{far.ip4}:{PORT}/status/200")
    near.sidecar.wait_for_books(lambda books: books.exported == 1)
    assert passed.since() == (1, 0)
    assert mesh.spans(1)[0].kind == "CLIENT"
