"""Real WebSocket clients and servers, with either side closing."""

import pytest
from websockets.exceptions import ConnectionClosedOK

from support.clients import websocket_client
from support.expect import OWN, server_attributes
from support.spans import assert_attributes

TUNNEL = {
    "spandrel.tunnel.request.size": int,
    "spandrel.tunnel.response.size": int,
    "http.request.body.size": 0,
    "http.response.body.size": 0,
    "spandrel.request.messages": int,
    "spandrel.response.messages": int,
    "spandrel.websocket.close_code": int,
}
"""Attributes that the span of an upgraded connection may have."""


def assert_fine(span, sidecar):
    """The span tells of a connection that was upgraded and ended well."""
    assert (span.kind, span.name, span.status) == ("SERVER", "GET", "UNSET")
    expected = server_attributes(sidecar, "/socket", {"http.response.status_code": 101})
    assert_attributes(span, expected, optional=TUNNEL | OWN)


@pytest.mark.parametrize("message", ["hello", b"\x00\xff" * 100, "x" * 1_000_000])
def test_messages_pass_both_ways_and_the_client_closes(sidecar, websocket, message):
    proxy = sidecar(websocket.port)
    with websocket_client(proxy.inbound) as connection:
        for _ in range(3):
            connection.send(message)
            assert connection.recv() == message
    assert websocket.wait_for_close() == 1000
    assert_fine(proxy.span(), proxy)


def test_the_server_closes_and_the_client_hears_why(sidecar, websocket, protocol):
    proxy = sidecar(websocket.port, protocol=protocol)
    with websocket_client(proxy.inbound) as connection:
        connection.send("close 1001")
        with pytest.raises(ConnectionClosedOK) as raised:
            connection.recv()
    assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (1001, "as asked")
    assert websocket.wait_for_close() == 1001
    assert_fine(proxy.span(), proxy)


def test_the_handshake_carries_the_context_and_the_span_covers_the_connection(sidecar, websocket):
    proxy = sidecar(websocket.port)
    with websocket_client(proxy.inbound) as connection:
        connection.send("hello")
        assert connection.recv() == "hello"
        assert proxy.books().created == 0
    span = proxy.span()
    context = websocket.headers[0]["traceparent"]
    assert context == f"00-{span.trace_id}-{span.span_id}-01"


def test_the_server_may_be_silent_for_a_while(sidecar, websocket):
    proxy = sidecar(websocket.port)
    with websocket_client(proxy.inbound) as connection:
        connection.send("silence 0.5")
        assert connection.recv(timeout=10) == "awake"
    assert_fine(proxy.span(), proxy)


def test_a_client_that_is_told_to_use_a_proxy_gets_a_tunnel(sidecar, websocket):
    proxy = sidecar(websocket.port)
    with websocket_client(websocket.port, proxy=proxy.proxy) as connection:
        connection.send("hello")
        assert connection.recv() == "hello"
    assert websocket.wait_for_close() == 1000
    proxy.stop()
    [span] = [span for span in proxy.all_spans() if span["http.request.method"] == "CONNECT"]
    assert (span.kind, span.status) == ("CLIENT", "UNSET")
