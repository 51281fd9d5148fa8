"""What an application tells of itself goes through spandrel, and arrives whole."""

import socket
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetrics,
)
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetrics,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from support import jaeger_clients
from support.clients import curl
from support.collector import GRPC, HTTP
from support.jaeger import Jaeger
from support.jaeger_clients import CLIENTS
from support.ports import HOST, free_port
from support.sdk import SdkTrace, exporter
from support.told import assert_answered

SPANS = ["GET /cart", "batch", "price", "send", "take"]
"""The spans that the programs with a Jaeger client record."""
PROTOCOLS_OF_AGENT = {"go": "compact", "node": "binary"}
"""What the clients write Thrift by."""


@dataclass(frozen=True)
class Endpoint:
    """The ports of the application's side of a sidecar."""

    otlp_grpc: int
    otlp_http: int
    jaeger_compact: int
    jaeger_binary: int
    jaeger_sampling: int

    @classmethod
    def free(cls):
        """On ports that are free."""
        return cls(*(free_port() for _ in range(5)))

    def settings(self):
        """The settings of the sidecar."""
        return {f"receive.{name}": f"{HOST}:{port}" for name, port in vars(self).items()}

    def endpoint(self, protocol):
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        port = self.otlp_grpc if protocol == GRPC else self.otlp_http
        return f"http://{HOST}:{port}"

    def receiver(self, signal_name="traces"):
        """The URL that a signal is posted to over HTTP."""
        return f"{self.endpoint(HTTP)}/v1/{signal_name}"

    def agent(self, client):
        """The port that a Jaeger client sends its datagrams to."""
        return self.jaeger_compact if client == "go" else self.jaeger_binary


@pytest.fixture
def jaeger(tmp_path):
    """Jaeger."""
    with closing(Jaeger(tmp_path)) as jaeger:
        yield jaeger


@pytest.fixture
def endpoint():
    """The ports that the sidecar of a test receives on."""
    return Endpoint.free()


@pytest.fixture
def receiving(sidecars_of, web, endpoint):
    """Starts a sidecar that receives, and exports to a backend: `with receiving(view) as sidecar`."""

    @contextmanager
    def start(backend, protocol=GRPC, **settings):
        with sidecars_of(backend) as sidecar:
            told = endpoint.settings() | settings
            yield sidecar(web.port, service="beside", protocol=protocol, settings=told)

    return start


@pytest.fixture(params=CLIENTS)
def client(request):
    """The programs with a Jaeger client."""
    return request.param


def _tags(tags):
    return {tag["key"]: tag["value"] for tag in tags}


def _references(span):
    return {(ref["refType"], ref["spanID"]) for ref in span["references"]}


def test_a_trace_of_a_jaeger_client_is_in_jaeger_whole(receiving, endpoint, jaeger, client):
    with receiving(jaeger) as sidecar:
        told = jaeger_clients.run(client, endpoint.agent(client))
        trace = jaeger.wait_for_trace(told["trace"], len(SPANS))
        created = sidecar.books().created
        assert created == len(SPANS), "spandrel made spans of its own of what passed"
    spans = {span["operationName"]: span for span in trace["spans"]}
    assert sorted(spans) == SPANS
    ids = told["spans"]
    assert {name: span["spanID"] for name, span in spans.items()} == ids

    process = trace["processes"][spans["take"]["processID"]]
    assert process["serviceName"] == "shop"
    assert _tags(process["tags"])["region"] == "north"

    server = _tags(spans["GET /cart"]["tags"])
    assert server["span.kind"] == "server"
    assert (server["text"], server["yes"], server["real"]) == ("grüße ☃", True, 0.25)
    assert server["whole"] == -7
    assert "bytes" in server
    assert _references(spans["GET /cart"]) == set()

    price = spans["price"]
    assert _tags(price["tags"])["error"] is True
    logs = [_tags(log["fields"]) for log in price["logs"]]
    assert logs == [{"event": "cache.miss", "key": "cart:7", "tries": 2}, {"event": "no price"}]
    assert _references(price) == {("CHILD_OF", ids["GET /cart"])}

    assert _tags(spans["send"]["tags"])["span.kind"] == "producer"
    assert _tags(spans["take"]["tags"])["span.kind"] == "consumer"
    assert ("FOLLOWS_FROM", ids["send"]) in _references(spans["take"])
    assert _references(spans["batch"]) == {
        ("CHILD_OF", ids["GET /cart"]),
        ("FOLLOWS_FROM", "0000000000000def"),
    }


def test_bad_datagrams_are_counted_and_not_told_one_by_one(receiving, endpoint, jaeger, client):
    bad = [b"", b"nonsense", b"\xff" * 60_000, b"\x82\x21\x01\x0femitZipkinBatch\x00"]
    with receiving(jaeger) as sidecar:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(10):
                for datagram in bad:
                    sender.sendto(datagram, (HOST, endpoint.agent(client)))
        told = jaeger_clients.run(client, endpoint.agent(client))
        jaeger.wait_for_trace(told["trace"], len(SPANS))
        label = f"jaeger_{PROTOCOLS_OF_AGENT[client]}"
        counted = sidecar.metrics().sum("spandrel_receive_malformed_total", format=label)
        assert counted == 10 * len(bad)
    assert len(sidecar.stderr().splitlines()) < counted, "each is told of"


@pytest.mark.parametrize("ratio", [1.0, 0.25])
def test_a_jaeger_client_samples_as_spandrel_does(receiving, endpoint, jaeger, client, ratio):
    sampler = {"sampling.sampler": "parentbased_traceidratio", "sampling.ratio": ratio}
    with receiving(jaeger, **sampler):
        told = jaeger_clients.run(client, endpoint.agent(client), endpoint.jaeger_sampling)
        assert told["rate"] == ratio
        refused = curl(f"http://{HOST}:{endpoint.jaeger_sampling}/sampling")
        assert refused.status == 400


@pytest.mark.parametrize("onward", [GRPC, HTTP])
@pytest.mark.parametrize("is_zipped", [False, True], ids=["plain", "gzip"])
def test_a_trace_of_an_sdk_passes_to_the_letter(
    receiving, endpoint, view, protocol, onward, is_zipped
):
    with receiving(view, protocol=onward):
        sent = SdkTrace(endpoint, protocol, is_zipped)
        told = sent.told()
        view.wait_for_trace(sent.trace_id, len(told))
        assert_answered(view.trace(sent.trace_id), told)
        assert view.books()["spans_received"] == len(told), "spandrel made spans of what passed"


def test_a_trace_of_an_sdk_is_in_jaeger(receiving, endpoint, jaeger, protocol):
    # Jaeger has no answer for a trace with numbers that JSON has none for, as the other test's has.
    with receiving(jaeger):
        provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        provider.add_span_processor(BatchSpanProcessor(exporter(endpoint, protocol, True)))
        tracer = provider.get_tracer("shop.tracer")
        with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER) as server:
            with tracer.start_as_current_span("price") as price:
                price.set_attribute("cart", 7)
        provider.shutdown()
        ids = [format(span.get_span_context().span_id, "016x") for span in (server, price)]
        trace_id = format(server.get_span_context().trace_id, "032x")
        trace = jaeger.wait_for_trace(trace_id, 2)
    spans = {span["operationName"]: span for span in trace["spans"]}
    assert [spans[name]["spanID"] for name in ("GET /cart", "price")] == ids
    assert _tags(spans["GET /cart"]["tags"])["span.kind"] == "server"
    assert _tags(spans["price"]["tags"])["cart"] == 7
    assert _references(spans["price"]) == {("CHILD_OF", ids[0])}
    assert {process["serviceName"] for process in trace["processes"].values()} == {"shop"}


def test_metrics_and_logs_pass_and_get_the_resource(receiving, endpoint, collector, protocol):
    extra = {"service.resource": {"zone": "north"}}
    resource = Resource({"host.name": "here"})  # without a name, which spandrel knows
    with receiving(collector, protocol=protocol, **extra):
        _count(endpoint, protocol, resource)
        _log(endpoint, protocol, resource)
        [metrics] = collector.wait_for_records("metrics", 1)
        [logs] = collector.wait_for_records("logs", 1)
    [group] = metrics.resource_metrics
    [metric] = group.scope_metrics[0].metrics
    assert (metric.name, metric.sum.data_points[0].as_int) == ("carts", 7)
    [records] = logs.resource_logs
    bodies = [record.body.string_value for record in records.scope_logs[0].log_records]
    assert bodies == ["the cart is empty"]
    for told in (group.resource, records.resource):
        attributes = {a.key: a.value.string_value for a in told.attributes}
        assert attributes == {"host.name": "here", "service.name": "beside", "zone": "north"}
    assert not collector.spans(), "spandrel made spans of what passed"


def _count(endpoint, protocol, resource):
    if protocol == GRPC:
        exporter = GrpcMetrics(endpoint.endpoint(GRPC), insecure=True)
    else:
        exporter = HttpMetrics(endpoint.receiver("metrics"))
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
    provider = MeterProvider([reader], resource=resource)
    provider.get_meter("shop").create_counter("carts").add(7)
    provider.shutdown()


def _log(endpoint, protocol, resource):
    if protocol == GRPC:
        exporter = GrpcLogs(endpoint.endpoint(GRPC), insecure=True)
    else:
        exporter = HttpLogs(endpoint.receiver("logs"))
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    record = LogRecord(body="the cart is empty", severity_number=SeverityNumber.WARN)
    provider.get_logger("shop").emit(record)
    provider.shutdown()
