"""The collector of these tests itself, without spandrel: what it says must be right."""

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from support.apps.rpc import NO_PROXY
from support.collector import GRPC, HTTP, PROTOCOLS
from support.spans import assert_attributes

ATTRIBUTES = {"text": "a", "int": 80, "double": 80.0, "bool": True}


def one_span():
    """A request with one span that has an attribute of each type."""
    request = trace.ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = group.scope_spans.add()
    scope.scope.name = "tests"
    span = scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET", kind=2)
    span.start_time_unix_nano, span.end_time_unix_nano = 1, 2
    for (key, value), field in zip(
        ATTRIBUTES.items(), ["string_value", "int_value", "double_value", "bool_value"], strict=True
    ):
        setattr(span.attributes.add(key=key).value, field, value)
    return request


def send_by_grpc(collector):
    """Exports by the published gRPC stub."""
    target = collector.endpoint(GRPC).removeprefix("http://")
    with grpc.insecure_channel(target, [NO_PROXY]) as channel:
        trace_grpc.TraceServiceStub(channel).Export(one_span(), timeout=5)


def send_by_http(collector):
    """Exports by a POST of protobuf."""
    url = f"{collector.endpoint(HTTP)}/v1/traces"
    headers = {"content-type": "application/x-protobuf"}
    body = one_span().SerializeToString()
    httpx.post(url, content=body, headers=headers, trust_env=False).raise_for_status()


SEND = dict(zip(PROTOCOLS, [send_by_grpc, send_by_http], strict=True))


def test_a_span_is_kept_with_its_resource_and_the_types_of_its_attributes(collector, protocol):
    SEND[protocol](collector)
    [span] = collector.wait_for(1, "shop")
    assert (span.service, span.scope, span.name, span.kind) == ("shop", "tests", "GET", "SERVER")
    assert (span.trace_id, span.span_id, span.parent_id) == ("74" * 16, "73" * 8, "")
    assert_attributes(span, ATTRIBUTES)


@pytest.mark.parametrize(
    "wrong",
    [{"int": 80.0}, {"double": 80}, {"text": 1}, {"bool": 1}, {"other": 1}, {"int": str}],
)
def test_an_attribute_of_another_type_or_value_is_noticed(collector, wrong):
    send_by_http(collector)
    with pytest.raises(AssertionError):
        assert_attributes(collector.spans()[0], ATTRIBUTES | wrong)


def test_an_attribute_that_is_not_expected_is_noticed(collector):
    send_by_http(collector)
    with pytest.raises(AssertionError, match="int is not expected"):
        assert_attributes(collector.spans()[0], {k: v for k, v in ATTRIBUTES.items() if k != "int"})


def test_a_collector_that_is_stopped_refuses_and_one_that_is_started_again_receives(
    collector, protocol
):
    SEND[protocol](collector)
    collector.stop()
    with pytest.raises((httpx.ConnectError, grpc.RpcError)):
        SEND[protocol](collector)
    collector.start()
    SEND[protocol](collector)
    assert len(collector.spans()) == 2
