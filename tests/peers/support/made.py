"""Traces that tests make up, as the published OTLP classes encode them."""

import secrets
import time
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.trace.v1 import trace_pb2

_MS = 1_000_000
_FIELDS = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}


@dataclass(eq=False)
class Made:
    """A span; times are milliseconds from the start of its trace."""

    service: str
    name: str
    start: float
    end: float
    parent: "Made | None" = None
    kind: str = "INTERNAL"
    error: str | None = None
    """What its status says, if that is an error."""
    attributes: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)
    """Times by name."""
    links: list = field(default_factory=list)
    """Pairs of a trace's and a span's id."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))


class MadeTrace:
    """Spans of one trace, which began so many seconds ago."""

    def __init__(self, *spans, ago=1.0, id=None):
        self.id = id or secrets.token_hex(16)
        self.spans = list(spans)
        self._start = time.time_ns() - int(ago * 1e9)

    def later(self, *spans):
        """More spans of this trace, as something to send by itself."""
        more = MadeTrace(*spans, id=self.id)
        more._start = self._start
        return more

    def encoded(self):
        """The bytes of an ExportTraceServiceRequest."""
        request = service.ExportTraceServiceRequest()
        groups = {}
        for span in self.spans:
            if span.service not in groups:
                group = request.resource_spans.add()
                _attribute(group.resource.attributes, "service.name", span.service)
                groups[span.service] = group.scope_spans.add()
                groups[span.service].scope.name = "tests"
            self._add(span, groups[span.service].spans.add())
        return request.SerializeToString()

    def _add(self, span, to):
        to.trace_id, to.span_id = bytes.fromhex(self.id), bytes.fromhex(span.id)
        if span.parent:
            to.parent_span_id = bytes.fromhex(span.parent.id)
        to.name = span.name
        to.kind = trace_pb2.Span.SpanKind.Value(f"SPAN_KIND_{span.kind}")
        to.start_time_unix_nano, to.end_time_unix_nano = self._at(span.start), self._at(span.end)
        if span.error is not None:
            to.status.code, to.status.message = trace_pb2.Status.STATUS_CODE_ERROR, span.error
        for key, value in span.attributes.items():
            _attribute(to.attributes, key, value)
        for name, at in span.events.items():
            to.events.add(name=name, time_unix_nano=self._at(at))
        for trace, other in span.links:
            to.links.add(trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(other))

    def _at(self, ms):
        return self._start + int(ms * _MS)


def order(ago=1.0, tenant="acme", length=40.0, **more):
    """A trace of two services."""
    root = Made("web", "GET /orders", 0, length, kind="SERVER", attributes={"tenant.id": tenant})
    call = Made("web", "GET", 1, length - 1, root, kind="CLIENT")
    answer = Made("orders", "GET /orders", 2, length - 2, call, kind="SERVER", **more)
    return MadeTrace(root, call, answer, ago=ago)


def _attribute(attributes, key, value):
    setattr(attributes.add(key=key).value, _FIELDS[type(value)], value)
