"""What becomes of redirected traffic while spandrel does not run, and how service is restored."""

import http.client
import socket
from contextlib import closing

import pytest

from support.apps.web import WebApp
from support.clients import TIMEOUT, curl_command
from support.waiting import eventually

PORT = 8080
REFUSED = 7
"""curl's exit code for a connection that is refused."""


@pytest.fixture
def near(mesh):
    """A pod without a spandrel."""
    near = mesh.pod("near")
    near.keep(closing(WebApp(near.loop, None, PORT)))
    return near


@pytest.fixture
def far(mesh):
    """A pod behind a spandrel."""
    far = mesh.service("far")
    far.keep(closing(WebApp(far.loop, None, PORT)))
    return far


@pytest.fixture(params=["stopped", "killed"])
def end(request):
    """Ends a sidecar."""
    return {"stopped": lambda it: it.stop(), "killed": lambda it: it.crash()}[request.param]


def codes(caller, called):
    """How curl fares from pod to pod over both families, as exit codes."""
    url = "http://{}:{}/status/200"
    urls = [url.format(called.host(family), PORT) for family in (4, 6)]
    return [caller.run(curl_command(url), check=False).returncode for url in urls]


def test_connections_are_refused_in_both_directions(near, far, end):
    end(far.sidecar)
    assert codes(near, far) == [REFUSED, REFUSED]
    assert codes(far, near) == [REFUSED, REFUSED]


def test_removing_the_rules_restores_service_without_spandrel(mesh, near, far, end):
    end(far.sidecar)
    mesh.rules(far, "remove")
    assert codes(near, far) == codes(far, near) == [0, 0]
    assert codes(far, far) == [0, 0]


def test_starting_it_again_restores_service(mesh, near, far, end):
    end(far.sidecar)
    far.sidecar = mesh.sidecar(far)
    assert codes(near, far) == codes(far, near) == [0, 0]
    far.sidecar.wait_for_books(lambda books: books.created == 4)


def test_a_connection_that_is_open_is_reset_when_it_is_killed(near, far):
    with near.inside():
        client = socket.create_connection((far.ip4, PORT), TIMEOUT)
    with client:
        client.sendall(b"GET /unanswered HTTP/1.1\r\nHost: far\r\n\r\n")
        eventually(lambda: far.sidecar.metrics().sum("spandrel_connections"), "the connection")
        far.sidecar.crash()
        try:
            assert client.recv(100) == b""
        except ConnectionResetError:
            pass


def test_a_request_in_flight_is_answered_before_it_stops(near, far):
    request = near.popen(["curl", "-q", "-sS", f"http://{far.ip4}:{PORT}/pause/500"], stdout=-1)
    eventually(lambda: far.sidecar.metrics().sum("spandrel_connections"), "the connection")
    far.sidecar.terminate()
    assert request.communicate(timeout=TIMEOUT)[0] == b"done\n"
    assert request.returncode == 0
    far.sidecar.wait()


def test_where_the_address_is_kept_callers_get_no_answer_while_it_does_not_run(mesh, near, end):
    far = mesh.service("kept", {"inbound.mode": "tproxy"})
    far.keep(closing(WebApp(far.loop, None, PORT)))
    assert codes(near, far) == [0, 0]
    end(far.sidecar)
    for family in (4, 6):
        with near.inside(), pytest.raises(TimeoutError):
            socket.create_connection((far.ip(family), PORT), timeout=0.3)
    assert codes(far, near) == [REFUSED, REFUSED]
    mesh.rules(far, "remove")
    assert codes(near, far) == codes(far, near) == [0, 0]


@pytest.mark.parametrize("mode", ["redirect", "tproxy"])
def test_rules_of_nft_refuse_while_it_does_not_run(mesh, near, end, mode):
    far = mesh.service("kept", {"inbound.mode": mode}, flags=["--nft"])
    web = far.keep(closing(WebApp(far.loop, None, PORT)))
    assert codes(near, far) == codes(far, near) == [0, 0]
    end(far.sidecar)
    assert codes(near, far) == codes(far, near) == [REFUSED, REFUSED]
    assert len(web.seen) == 2, "a request went round spandrel"
    mesh.rules(far, "remove")
    assert codes(near, far) == codes(far, near) == [0, 0]


def test_a_connection_that_is_redirected_is_reset_when_the_rules_are_removed(mesh, near, far):
    with near.inside():
        client = http.client.HTTPConnection(far.ip4, PORT, timeout=TIMEOUT)
        client.connect()
    with closing(client):
        client.request("GET", "/status/200")
        with client.getresponse() as response:
            assert response.read() == b"status 200\n"
        mesh.rules(far, "remove")
        # Nothing else here keeps track of connections, which the system needs to redirect them.
        with pytest.raises(ConnectionResetError):
            client.request("GET", "/status/200")
            client.getresponse()
