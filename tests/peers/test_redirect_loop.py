"""spandrel does not call itself: what would loop is refused and counted."""

import pytest

from support.apps.web import WebApp
from support.pod_sidecar import INBOUND, OUTBOUND
from support.talk import hear
from support.waiting import eventually

PORT = 8080
ANOTHER_USER = 4242
MOST = 8
"""So many connections may be refused until a loop is over: a call, and attempts to repeat it."""


def loops(pod):
    """How many connections have been refused because they would loop."""
    return int(pod.sidecar.metrics().sum("spandrel_fault_total", kind="loop"))


@pytest.fixture
def collector_spared(mesh):
    """Settings by which exports are not redirected, whoever sends them."""
    return {"outbound.exclude_cidrs": [f"{mesh.collector_pod.ip4}/32"]}


def test_a_spandrel_that_the_rules_do_not_spare_refuses_its_own_calls(
    mesh, collector_spared, family
):
    near = mesh.service("near", collector_spared, user=ANOTHER_USER)
    far = mesh.pod("far")
    web = WebApp(far.loop, None, PORT)
    near.curl(f"http://{far.host(family)}:{PORT}/status/200", check=False)
    refused = eventually(lambda: loops(near), "a loop to be refused")
    assert refused <= MOST
    assert web.paths() == []
    assert loops(near) == refused, "it goes on"
    assert near.sidecar.metrics().sum("spandrel_connections") <= MOST
    web.close()


def test_exports_that_come_back_are_refused_and_do_not_go_on_for_ever(mesh):
    near = mesh.service("near", user=ANOTHER_USER)
    far = mesh.pod("far")
    near.curl(f"http://{far.ip4}:{PORT}/", check=False)
    eventually(lambda: loops(near), "a loop to be refused")
    created = near.sidecar.books().created
    assert created <= MOST, "spans of exports make spans"
    near.sidecar.crash()


@pytest.mark.parametrize("port", [INBOUND, OUTBOUND])
def test_who_calls_a_listener_itself_is_refused(mesh, port, family):
    far, near = mesh.service("far"), mesh.pod("near")
    assert hear(near, far.ip(family), port) == b""
    assert loops(far) == 1
    assert mesh.spans(0) == []


@pytest.mark.parametrize("port", [INBOUND, OUTBOUND])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_application_that_calls_a_listener_on_loopback_is_refused(mesh, port, host):
    far = mesh.service("far")
    assert hear(far, host, port) == b""
    assert loops(far) == 1


@pytest.mark.parametrize("port", [INBOUND, OUTBOUND])
def test_an_application_that_calls_a_listener_at_its_own_address_is_refused(mesh, port, family):
    far = mesh.service("far")
    hear(far, far.ip(family), port)
    assert 1 <= loops(far) <= MOST
