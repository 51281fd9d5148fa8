"""What goes wrong at an upstream: the answer that the client gets, and the span that tells."""

import pytest

from support.apps.scripted import (
    answer_nonsense,
    close_unanswered,
    never_answer,
    reset_unanswered,
)
from support.apps.web import PART
from support.clients import RawClient, curl
from support.expect import NO_BODY, OWN, client_attributes, fault, server_attributes
from support.ports import HOST
from support.spans import assert_attributes

PROXY_BODY = {"http.response.body.size": int}
"""The size of an answer that spandrel makes itself."""

SCRIPTS = [
    (close_unanswered, 502, "connection_closed"),
    (reset_unanswered, 502, "connection_reset"),
    (answer_nonsense, 502, "protocol_error"),
]


def test_a_refused_connection_is_a_502_and_a_span(sidecar, closed_port, protocol):
    proxy = sidecar(closed_port, protocol=protocol)
    assert curl(proxy.inbound_url("/page")).status == 502
    span = proxy.span()
    assert (span.kind, span.name, span.status) == ("SERVER", "GET", "ERROR")
    _assert_failed(span, server_attributes(proxy, "/page"), 502, "connection_refused")


def test_a_refused_connection_of_an_outbound_call_is_a_502_and_a_span_without_a_peer(
    sidecar, web, closed_port, protocol
):
    proxy = sidecar(web.port, protocol=protocol)
    assert curl(f"http://{HOST}:{closed_port}/page", proxy=proxy.proxy).status == 502
    span = proxy.span()
    assert (span.kind, span.name, span.status) == ("CLIENT", "GET", "ERROR")
    expected = client_attributes(closed_port, "/page")
    del expected["network.peer.address"], expected["network.peer.port"]
    _assert_failed(span, expected, 502, "connection_refused")


def test_a_connection_that_is_not_answered_in_time_is_a_504(sidecar, full_port, protocol):
    settings = {"limits.connect_timeout": "300ms"}
    proxy = sidecar(full_port, protocol=protocol, settings=settings)
    assert curl(proxy.inbound_url("/page")).status == 504
    _assert_failed(proxy.span(), server_attributes(proxy, "/page"), 504, "connect_timeout")


def test_a_request_that_is_not_answered_in_time_is_a_504(sidecar, scripted, protocol):
    settings = {"limits.response_timeout": "300ms"}
    proxy = sidecar(scripted(never_answer).port, protocol=protocol, settings=settings)
    assert curl(proxy.inbound_url("/page")).status == 504
    _assert_failed(proxy.span(), server_attributes(proxy, "/page"), 504, "response_timeout")


@pytest.mark.parametrize(("script", "code", "error_type"), SCRIPTS)
def test_an_application_that_fails_to_answer_is_named_by_its_span(
    sidecar, scripted, protocol, script, code, error_type
):
    proxy = sidecar(scripted(script).port, protocol=protocol)
    assert curl(proxy.inbound_url("/page")).status == code
    _assert_failed(proxy.span(), server_attributes(proxy, "/page"), code, error_type)


@pytest.mark.parametrize(("script", "code", "error_type"), SCRIPTS)
def test_an_upstream_that_fails_to_answer_is_named_by_the_span_of_the_call(
    sidecar, web, scripted, script, code, error_type
):
    upstream = scripted(script)
    proxy = sidecar(web.port)
    assert curl(f"http://{HOST}:{upstream.port}/page", proxy=proxy.proxy).status == code
    _assert_failed(proxy.span(), client_attributes(upstream.port, "/page"), code, error_type)


def _assert_failed(span, expected, code, error_type):
    assert span.status == "ERROR"
    expected = expected | {"http.response.status_code": code} | fault(error_type, "upstream")
    assert_attributes(span, expected, optional=PROXY_BODY | NO_BODY | OWN)


@pytest.mark.parametrize(
    ("ending", "error_type"), [("reset", "connection_reset"), ("close", "connection_closed")]
)
def test_a_body_that_breaks_off_reaches_the_client_broken_off(
    sidecar, web, protocol, ending, error_type
):
    proxy = sidecar(web.port, protocol=protocol)
    path = f"/{ending}-in-body"
    with RawClient(proxy.inbound_url(path)) as client:
        client.read_until(PART)
        web.release()
        answer, _ = client.read_to_the_end()
    assert answer.endswith(b"\r\n\r\n" + PART)
    span = proxy.span()
    assert (span.kind, span.name, span.status) == ("SERVER", "GET", "ERROR")
    expected = server_attributes(proxy, path, {"http.response.status_code": 200})
    expected |= fault(error_type, "upstream")
    optional = {"http.response.body.size": len(PART)} | NO_BODY | OWN
    assert_attributes(span, expected, optional)


def test_the_faults_are_counted_by_whose_they_are(sidecar, closed_port):
    proxy = sidecar(closed_port)
    for _ in range(3):
        assert curl(proxy.inbound_url("/page")).status == 502
    proxy.wait_for_books(lambda books: books.created == 3)
    assert proxy.metrics().sum("spandrel_fault_total", side="upstream") == 3
    assert len(proxy.spans(3)) == 3
