"""Real gRPC clients and servers: all four kinds of call, and all the ways they fail."""

import queue

import grpc
import pytest

from support.apps.rpc import SERVICE, RpcClient
from support.expect import OWN
from support.ports import HOST
from support.spans import assert_attributes
from support.waiting import DEADLINE

SIZES = {
    "spandrel.request.body.size": int,
    "spandrel.response.body.size": int,
    "spandrel.request.messages": int,
    "spandrel.response.messages": int,
}
"""Attributes that the span of a call may have."""

CALLS = {
    "Unary": lambda client: client.unary("Unary", b"abc")[0],
    "ServerStream": lambda client: list(client.server_stream("ServerStream", b"abc")),
    "ClientStream": lambda client: client.client_stream("ClientStream", iter([b"a", b"b"])),
    "Bidirectional": lambda client: list(client.bidirectional("Bidirectional", iter([b"a", b"b"]))),
}
RESULTS = {
    "Unary": b"ABC",
    "ServerStream": [b"a", b"b", b"c"],
    "ClientStream": b"ab",
    "Bidirectional": [b"A", b"B"],
}


def inbound(sidecar):
    """A client that reaches the application through the inbound side."""
    return RpcClient(sidecar.inbound)


def outbound(sidecar, port):
    """A client that reaches `port` through the outbound side."""
    return RpcClient(sidecar.outbound, authority=f"{HOST}:{port}")


def server_attributes(sidecar, method, code, **others):
    """The attributes of the span of a call at the inbound side."""
    return {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/{method}",
        "rpc.response.status_code": code,
        "server.address": HOST,
        "server.port": sidecar.inbound,
        "network.peer.address": HOST,
        "network.peer.port": int,
    } | others


def client_attributes(port, method, code):
    """The attributes of the span of a call at the outbound side."""
    return {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/{method}",
        "rpc.response.status_code": code,
        "server.address": HOST,
        "server.port": port,
        "network.peer.address": HOST,
        "network.peer.port": port,
    }


def unnamed(attributes, raw):
    """The same attributes where the method is not known to exist."""
    return attributes | {"rpc.method": "_OTHER", "rpc.method_original": raw}


def assert_span(span, kind, name, status, attributes):
    """The span of a call is this one, and has no attributes of HTTP."""
    assert (span.kind, span.name, span.status) == (kind, name, status)
    optional = SIZES | OWN | {"client.address": HOST, "network.protocol.version": "2"}
    assert_attributes(span, attributes, optional)


@pytest.mark.parametrize("method", CALLS)
def test_a_call_of_each_kind_works_and_makes_a_server_span(sidecar, rpc, protocol, method):
    proxy = sidecar(rpc.port, protocol=protocol)
    with inbound(proxy) as client:
        assert CALLS[method](client) == RESULTS[method]
    attributes = server_attributes(proxy, method, "OK")
    assert_span(proxy.span(), "SERVER", f"{SERVICE}/{method}", "UNSET", attributes)


@pytest.mark.parametrize("method", CALLS)
def test_a_call_of_each_kind_works_and_makes_a_client_span(sidecar, rpc, method):
    proxy = sidecar(rpc.port)
    with outbound(proxy, rpc.port) as client:
        assert CALLS[method](client) == RESULTS[method]
    attributes = client_attributes(rpc.port, method, "OK")
    assert_span(proxy.span(), "CLIENT", f"{SERVICE}/{method}", "UNSET", attributes)


def test_metadata_and_trailers_pass_and_the_context_is_added(sidecar, rpc):
    proxy = sidecar(rpc.port)
    metadata = (("user-key", "one"), ("user-key", "two"), ("raw-bin", b"\x00\xff"))
    with inbound(proxy) as client:
        _, call = client.unary("Unary", b"abc", metadata=metadata)
    assert ("trailer", "kept") in [tuple(item) for item in call.trailing_metadata()]
    received = [tuple(item) for item in rpc.metadata[0]]
    assert [item for item in received if item[0] in ("user-key", "raw-bin")] == list(metadata)
    span = proxy.span()
    contexts = [value for key, value in received if key == "traceparent"]
    assert contexts == [f"00-{span.trace_id}-{span.span_id}-01"]


def test_messages_of_a_stream_pass_as_they_come_and_are_not_gathered(sidecar, rpc):
    proxy = sidecar(rpc.port)
    answers = queue.SimpleQueue()

    def one_after_the_other():
        for number in range(5):
            yield b"%d" % number
            assert answers.get(timeout=DEADLINE) == b"%d" % number

    with inbound(proxy) as client:
        for answer in client.bidirectional("Bidirectional", one_after_the_other()):
            answers.put(answer)
    assert proxy.span()["rpc.response.status_code"] == "OK"


@pytest.mark.parametrize(
    ("code", "server", "client"),
    [
        ("INTERNAL", "ERROR", "ERROR"),
        ("UNAVAILABLE", "ERROR", "ERROR"),
        ("NOT_FOUND", "UNSET", "ERROR"),
        ("PERMISSION_DENIED", "UNSET", "ERROR"),
    ],
)
@pytest.mark.parametrize("method", ["Abort", "AbortLate"])
def test_an_error_of_the_application_reaches_the_client_and_both_spans(
    sidecar, rpc, protocol, code, server, client, method
):
    proxy = sidecar(rpc.port, protocol=protocol)
    for reach in [inbound(proxy), outbound(proxy, rpc.port)]:
        with reach as caller, pytest.raises(grpc.RpcError) as raised:
            list(caller.server_stream(method, code.encode()))
        assert raised.value.code().name == code
        assert raised.value.details().startswith("as asked")
    of_client, of_server = sorted(proxy.spans(2), key=lambda span: span.kind)
    name, error = f"{SERVICE}/{method}", {"error.type": code}
    attributes = server_attributes(proxy, method, code)
    attributes |= error if server == "ERROR" else {}
    assert_span(of_server, "SERVER", name, server, attributes)
    attributes = client_attributes(rpc.port, method, code) | error
    assert_span(of_client, "CLIENT", name, client, attributes)


def test_a_method_that_is_not_implemented_gives_the_span_no_name(sidecar, rpc, protocol):
    proxy = sidecar(rpc.port, protocol=protocol)
    with inbound(proxy) as client, pytest.raises(grpc.RpcError) as raised:
        client.unary("NoSuchMethod", b"abc")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    attributes = server_attributes(proxy, "", "UNIMPLEMENTED") | {"error.type": "UNIMPLEMENTED"}
    attributes = unnamed(attributes, f"{SERVICE}/NoSuchMethod")
    assert_span(proxy.span(), "SERVER", "grpc", "ERROR", attributes)


@pytest.mark.parametrize("side", ["inbound", "outbound"])
def test_a_refused_connection_is_unavailable_to_a_client_of_grpc(
    sidecar, closed_port, protocol, side
):
    proxy = sidecar(closed_port, protocol=protocol)
    reach = inbound(proxy) if side == "inbound" else outbound(proxy, closed_port)
    with reach as client, pytest.raises(grpc.RpcError) as raised:
        client.unary("Unary", b"abc")
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    span = proxy.span()
    assert span.status == "ERROR"
    assert span["error.type"] == "connection_refused"
    assert span["rpc.response.status_code"] == "UNAVAILABLE"
    assert span["spandrel.fault.side"] == "upstream"
    assert [key for key in span.attributes if key.startswith("http.")] == []


def test_a_client_that_cancels_is_no_error_and_the_application_hears_of_it(sidecar, rpc, protocol):
    proxy = sidecar(rpc.port, protocol=protocol)
    with inbound(proxy) as client:
        call = client.server_stream("Held", b"")
        assert next(call) == b"one"
        call.cancel()
        assert rpc.cancelled.wait(DEADLINE), "the application does not hear of the cancellation"
        span = proxy.span()
    assert (span.kind, span.status, span["error.type"]) == ("SERVER", "UNSET", None)
    assert span["spandrel.fault.side"] == "downstream"
    assert span["rpc.method"] == f"{SERVICE}/Held"


def test_a_deadline_that_passes_at_the_client_ends_the_call_everywhere(sidecar, rpc):
    proxy = sidecar(rpc.port)
    with inbound(proxy) as client, pytest.raises(grpc.RpcError) as raised:
        list(client.server_stream("Held", b"", timeout=0.5))
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert rpc.cancelled.wait(DEADLINE), "the application does not hear of the end"
    assert proxy.span()["rpc.method"] == f"{SERVICE}/Held"


def test_many_calls_at_once_on_one_channel_each_make_a_span(sidecar, rpc):
    proxy = sidecar(rpc.port)
    with inbound(proxy) as client:
        calls = [client.server_stream("ServerStream", b"abc") for _ in range(100)]
        assert all(b"".join(call) == b"abc" for call in calls)
    spans = proxy.spans(100)
    assert {span["rpc.response.status_code"] for span in spans} == {"OK"}
