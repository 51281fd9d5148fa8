"""The OpenTelemetry SDK of Python: a trace with everything that a span can carry."""

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from .collector import GRPC

EVERY_TYPE = {
    "text": "grüße \N{SNOWMAN}\n",
    "no text": "",
    "yes": True,
    "whole": -7,
    "exact": 2**53,
    "largest": 2**63 - 1,
    "real": 1.0,
    "small": 5e-324,
    "endless": float("-inf"),
    "bytes": b"\x00\xff",
    "map": {"a": 1, "b": ["x", 0.5]},
    "none": None,
    "texts": ["a", "b"],
    "mixed": ["a", 1, None],
    "wholes": [1, 2**62],
    "reals": [0.5, 1.0],
    "yes and no": [True, False],
    "nothing": [],
}


class SdkTrace:
    """One trace of the service `shop`, which the SDK sends while this is made."""

    def __init__(self, view, protocol, is_zipped):
        """Sends it to `view`."""
        self._sent = InMemorySpanExporter()
        resource = Resource.create({"service.name": "shop", "host.cores": [1, 2]})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(exporter(view, protocol, is_zipped)))
        provider.add_span_processor(SimpleSpanProcessor(self._sent))
        record(provider.get_tracer("shop.tracer", "1.2.3"))
        provider.shutdown()

    @property
    def trace_id(self):
        """The id in hexadecimal."""
        return format(self._sent.get_finished_spans()[0].context.trace_id, "032x")

    def told(self):
        """Its spans, as the SDK tells of them."""
        return [_told(span) for span in self._sent.get_finished_spans()]


def exporter(view, protocol, is_zipped):
    """An exporter of the SDK."""
    if protocol == GRPC:
        compression = grpc.Compression.Gzip if is_zipped else grpc.Compression.NoCompression
        return GrpcExporter(view.endpoint(GRPC), insecure=True, compression=compression)
    compression = Compression.Gzip if is_zipped else Compression.NoCompression
    return HttpExporter(view.receiver(), compression=compression)


def record(tracer):
    """Records a request, a failed step of it, a call, and two messages."""
    elsewhere = trace.SpanContext(0xABC, 0xDEF, is_remote=True)
    links = [trace.Link(elsewhere, {"reason": "batch", "sizes": [1, 2]})]
    with tracer.start_as_current_span("GET /cart", kind=trace.SpanKind.SERVER) as server:
        server.set_attributes(EVERY_TYPE)
        with tracer.start_as_current_span("price") as step:
            step.add_event("cache.miss", {"key": "cart:7", "tries": 2})
            step.record_exception(ValueError("no price"), {"exception.escaped": False})
            step.set_status(trace.StatusCode.ERROR, "no price")
        with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT, links=links) as call:
            call.set_status(trace.StatusCode.OK)
        with tracer.start_as_current_span("send", kind=trace.SpanKind.PRODUCER):
            tracer.start_span("take", kind=trace.SpanKind.CONSUMER).end()


def _told(span):
    return {
        "id": _span_id(span.context),
        "parent": _span_id(span.parent) if span.parent else None,
        "name": span.name,
        "kind": span.kind.name.lower(),
        "service": span.resource.attributes["service.name"],
        "status": span.status.status_code.name.lower(),
        "status_message": span.status.description or "",
        "scope": span.instrumentation_scope.name,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": list(span.attributes.items()),
        "resource": list(span.resource.attributes.items()),
        "events": [
            {"name": e.name, "time": e.timestamp, "attributes": list(e.attributes.items())}
            for e in span.events
        ],
        "links": [
            {
                "trace": format(link.context.trace_id, "032x"),
                "span": _span_id(link.context),
                "attributes": list(link.attributes.items()),
            }
            for link in span.links
        ],
    }


def _span_id(context):
    return format(context.span_id, "016x")
