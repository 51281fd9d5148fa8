"""What the SDKs of OpenTelemetry send arrives in `view` to the letter."""

import pytest

from support import js
from support.collector import PROTOCOLS
from support.sdk import SdkTrace
from support.told import assert_answered


@pytest.fixture(params=["plain", "gzip"])
def is_zipped(request):
    """Whether the exporter compresses."""
    return request.param == "gzip"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_trace_of_the_python_sdk_arrives_whole(view, protocol, is_zipped):
    sent = SdkTrace(view, protocol, is_zipped)
    told = sent.told()
    assert {span["kind"] for span in told} == {
        "server",
        "internal",
        "client",
        "producer",
        "consumer",
    }
    assert_answered(view.trace(sent.trace_id), told)
    assert view.books()["spans_received"] == len(told)


@pytest.mark.parametrize("exporter", ["json", "proto", "grpc"])
def test_a_trace_of_the_javascript_sdk_arrives_whole(view, exporter):
    trace_id, told = js.send(view, exporter)
    assert len(told) == 5
    assert_answered(view.trace(trace_id), told)
    assert view.books()["spans_received"] == len(told)
