"""The spans of HTTP requests to the letter: every attribute with its type."""

import time

import httpx
import pytest

from support.apps.web import PART
from support.clients import Answer, RawClient, curl, httpx_client
from support.expect import NO_BODY, OWN, answered, client_attributes, server_attributes
from support.spans import assert_attributes

STATUSES = [
    # status, the status of a SERVER span, the status of a CLIENT span
    (200, "UNSET", "UNSET"),
    (302, "UNSET", "UNSET"),
    (404, "UNSET", "ERROR"),
    (500, "ERROR", "ERROR"),
    (503, "ERROR", "ERROR"),
]


@pytest.mark.parametrize(("code", "status"), [(code, server) for code, server, _ in STATUSES])
def test_a_status_code_gives_exactly_these_attributes_to_a_server_span(
    sidecar, web, protocol, code, status
):
    proxy = sidecar(web.port, protocol=protocol)
    path = f"/status/{code}"
    began = time.time_ns()
    assert curl(proxy.inbound_url(path)) == Answer(code, f"status {code}\n".encode())
    span = proxy.span()
    assert (span.kind, span.name, span.status, span.parent_id) == ("SERVER", "GET", status, "")
    error = {"error.type": str(code)} if status == "ERROR" else {}
    expected = server_attributes(proxy, path, answered(code, 11), error)
    assert_attributes(span, expected, optional=NO_BODY | OWN)
    assert began <= span.start <= span.end <= time.time_ns()


@pytest.mark.parametrize(("code", "status"), [(code, client) for code, _, client in STATUSES])
def test_a_status_code_gives_exactly_these_attributes_to_a_client_span(
    sidecar, web, protocol, code, status
):
    proxy = sidecar(web.port, protocol=protocol)
    path = f"/status/{code}"
    assert curl(web.url(path), proxy=proxy.proxy).status == code
    span = proxy.span()
    assert (span.kind, span.name, span.status, span.parent_id) == ("CLIENT", "GET", status, "")
    error = {"error.type": str(code)} if status == "ERROR" else {}
    expected = client_attributes(web.port, path, answered(code, 11), error)
    assert_attributes(span, expected, optional=NO_BODY | OWN)


def test_the_resource_and_the_scope_tell_whose_span_it_is_and_who_made_it(sidecar, web, protocol):
    proxy = sidecar(web.port, service="orders", protocol=protocol)
    curl(proxy.inbound_url("/status/200"))
    span = proxy.span()
    assert (span.service, span.scope) == ("orders", "spandrel")
    assert span.resource["telemetry.distro.name"] == "spandrel"


def test_the_values_of_a_query_are_not_recorded(sidecar, web):
    proxy = sidecar(web.port)
    curl(proxy.inbound_url("/status/200?user=ann&flag&token=a=b"))
    curl(web.url("/status/200?user=ann"), proxy=proxy.proxy)
    assert web.paths() == ["/status/200?user=ann&flag&token=a=b", "/status/200?user=ann"]
    client, server = sorted(proxy.spans(2), key=lambda span: span.kind)
    assert server["url.query"] == "user=REDACTED&flag&token=REDACTED"
    assert client["url.full"] == web.url("/status/200?user=REDACTED")


def test_the_sizes_of_bodies_are_counted(sidecar, web):
    proxy = sidecar(web.port)
    with httpx_client() as client:
        lengths = [client.post(proxy.inbound_url("/upload"), content=body) for body in _bodies()]
    assert [answer.json()["length"] for answer in lengths] == [1000, 2000]
    spans = proxy.spans(2)
    assert [span["http.request.body.size"] for span in spans] == [1000, 2000]
    sizes = [len(answer.content) for answer in lengths]
    assert [span["http.response.body.size"] for span in spans] == sizes


def _bodies():
    """A body with a length, and one in chunks."""
    return b"x" * 1000, iter([b"y" * 500] * 4)


def test_forwarding_headers_name_the_first_client(sidecar, web):
    proxy = sidecar(web.port)
    forwarded = "Forwarded: for=192.0.2.7;host=public.example;proto=https"
    curl(proxy.inbound_url("/status/200"), "--header", forwarded)
    others = {
        "client.address": "192.0.2.7",
        "server.address": "public.example",
        "server.port": 443,
        "url.scheme": "https",
    }
    expected = server_attributes(proxy, "/status/200", answered(200, 11), others)
    assert_attributes(proxy.span(), expected, optional=NO_BODY | OWN)


def test_http_1_0_is_recorded_as_what_it_is(sidecar, web):
    proxy = sidecar(web.port)
    assert curl(proxy.inbound_url("/status/200"), "--http1.0").status == 200
    version = {"network.protocol.version": "1.0"}
    expected = server_attributes(proxy, "/status/200", answered(200, 11), version)
    assert_attributes(proxy.span(), expected, optional=NO_BODY | OWN)


@pytest.mark.parametrize("http2", [False, True])
def test_a_client_that_goes_away_in_the_body_is_no_error(sidecar, nginx, http2):
    (nginx.files / "large").write_bytes(bytes(64 * 1024**2))
    proxy = sidecar(nginx.port_h2 if http2 else nginx.port)
    url = proxy.inbound_url("/large")
    with httpx_client(http2=http2) as client, client.stream("GET", url) as response:
        next(response.iter_raw())
    _assert_hang_up(proxy.span(), proxy, "/large", "2" if http2 else "1.1", 200)


def test_a_client_that_resets_before_the_answer_is_no_error(sidecar, web):
    proxy = sidecar(web.port)
    with RawClient(proxy.inbound_url("/unanswered")) as client:
        web.wait_until(lambda app: app.in_flight == 1, "be asked")
        client.hang_up()
    _assert_hang_up(proxy.span(), proxy, "/unanswered", "1.1", None)


def test_a_client_that_gives_up_waiting_for_the_answer_is_no_error(sidecar, web):
    proxy = sidecar(web.port)
    with httpx_client() as client, pytest.raises(httpx.ReadTimeout):
        client.get(proxy.inbound_url("/unanswered"), timeout=0.3)
    _assert_hang_up(proxy.span(), proxy, "/unanswered", "1.1", None)


def _assert_hang_up(span, proxy, path, version, code):
    assert (span.kind, span.name, span.status) == ("SERVER", "GET", "UNSET")
    others = {
        "network.protocol.version": version,
        "spandrel.fault.side": "downstream",
        "spandrel.fault.kind": "cancelled",
    }
    if code:
        others["http.response.status_code"] = code
    expected = server_attributes(proxy, path, others)
    optional = {"http.response.body.size": int} | NO_BODY | OWN
    assert_attributes(span, expected, optional)


def test_a_body_that_is_whole_although_the_client_leaves_after_it_is_no_fault(sidecar, web):
    proxy = sidecar(web.port)
    with RawClient(proxy.inbound_url("/held")) as client:
        client.read_until(PART)
        web.release()
        client.read_until(2 * PART)
        client.hang_up()
    span = proxy.span()
    assert (span.status, span["spandrel.fault.side"]) == ("UNSET", None)
    assert span["http.response.body.size"] == 2 * len(PART)


def test_a_span_of_a_host_without_a_port_has_the_port_of_its_scheme(sidecar, web):
    proxy = sidecar(web.port)
    curl(proxy.inbound_url("/status/200"), "--header", "Host: shop.example")
    expected = {"server.address": "shop.example", "server.port": 80}
    expected = server_attributes(proxy, "/status/200", answered(200, 11), expected)
    assert_attributes(proxy.span(), expected, optional=NO_BODY | OWN)
