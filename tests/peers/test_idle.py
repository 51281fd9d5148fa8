"""Streams that fall silent: shorter than the idle timeout they live, longer they are ended."""

import grpc
import httpx
import pytest
from websockets.exceptions import ConnectionClosedError

from support.apps.rpc import RpcClient
from support.clients import httpx_client, websocket_client

IDLE = {"limits.idle_timeout": "2s"}
SHORT, LONG = 1.2, 30
"""Seconds of silence; two short ones are longer together than the timeout."""


def events(proxy, silence):
    """Reads a stream of server-sent events."""
    with httpx_client() as client:
        url = proxy.inbound_url(f"/events?count=3&silence={silence}")
        with client.stream("GET", url) as response:
            return [line for line in response.iter_lines() if line.startswith("data")]


def messages(proxy, silence):
    """Reads a stream of gRPC messages."""
    with RpcClient(proxy.inbound) as client:
        return list(client.server_stream("Silence", str(silence).encode(), timeout=None))


def ended_as_idle(span):
    """Whether the span says that the stream was ended for its silence."""
    return (span.status, span["error.type"]) == ("ERROR", "idle_timeout")


def test_events_with_short_silences_all_arrive(sidecar, web):
    proxy = sidecar(web.port, settings=IDLE)
    assert events(proxy, SHORT) == ["data: 0", "data: 1", "data: 2"]
    span = proxy.span()
    assert (span.status, span["http.response.status_code"]) == ("UNSET", 200)
    assert span.end - span.start >= 3 * SHORT * 1e9


def test_events_that_stay_away_too_long_are_ended_by_a_span_that_says_so(sidecar, web, protocol):
    proxy = sidecar(web.port, settings=IDLE, protocol=protocol)
    with pytest.raises(httpx.RemoteProtocolError):
        events(proxy, LONG)
    span = proxy.span()
    assert ended_as_idle(span), span.attributes
    assert 2e9 <= span.end - span.start < 10e9


def test_messages_of_grpc_with_short_silences_all_arrive(sidecar, rpc):
    proxy = sidecar(rpc.port, settings=IDLE)
    assert messages(proxy, SHORT) == [b"0", b"1", b"2"]
    span = proxy.span()
    assert (span.status, span["rpc.response.status_code"]) == ("UNSET", "OK")


def test_messages_of_grpc_that_stay_away_too_long_are_ended_by_a_span_that_says_so(sidecar, rpc):
    proxy = sidecar(rpc.port, settings=IDLE)
    with pytest.raises(grpc.RpcError):
        messages(proxy, LONG)
    span = proxy.span()
    assert ended_as_idle(span), span.attributes
    assert 2e9 <= span.end - span.start < 10e9


def test_a_websocket_with_short_silences_lives(sidecar, websocket):
    proxy = sidecar(websocket.port, settings=IDLE)
    with websocket_client(proxy.inbound) as connection:
        for _ in range(2):
            connection.send(f"silence {SHORT}")
            assert connection.recv(timeout=10) == "awake"
    span = proxy.span()
    assert (span.status, span["http.response.status_code"]) == ("UNSET", 101)


def test_a_websocket_that_is_silent_too_long_is_ended_by_a_span_that_says_so(sidecar, websocket):
    proxy = sidecar(websocket.port, settings=IDLE)
    with websocket_client(proxy.inbound) as connection:
        connection.send("hello")
        assert connection.recv() == "hello"
        with pytest.raises(ConnectionClosedError):
            connection.recv(timeout=10)
    span = proxy.span()
    assert ended_as_idle(span), span.attributes
    assert 2e9 <= span.end - span.start < 10e9


def test_the_idle_timeout_can_be_set_by_the_environment(sidecar, web):
    proxy = sidecar(web.port, environment={"SPANDREL_LIMITS_IDLE_TIMEOUT": "1s"})
    with pytest.raises(httpx.RemoteProtocolError):
        events(proxy, LONG)
    assert ended_as_idle(proxy.span())
