"""Spans as the published OTLP classes decode them, and the comparison of their attributes."""

import base64
from dataclasses import dataclass, field

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

MEASURED = frozenset(
    {
        "spandrel.connect.duration",
        "spandrel.first_byte.duration",
        "spandrel.request.duration",
    }
)
"""Seconds that differ from run to run: they may be there, and are doubles then."""


@dataclass(frozen=True)
class Span:
    """One span with the resource and scope it came under; ids are hexadecimal."""

    resource: dict
    scope: str
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    flags: int
    name: str
    kind: str
    status: str
    start: int
    end: int
    attributes: dict = field(repr=False)
    status_message: str = ""
    links: tuple = ()
    """Pairs of a trace's and a span's id."""
    events: tuple = ()
    """Names and times."""

    @property
    def service(self):
        """The service that the span is of."""
        return self.resource.get("service.name")

    def __getitem__(self, key):
        return self.attributes.get(key)


def decode(request):
    """The spans of an ExportTraceServiceRequest."""
    return [
        _span(span, _attributes(group.resource.attributes), scope.scope.name)
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def decode_json(groups):
    """The spans of `resourceSpans` in OTLP's JSON, whose ids are hexadecimal."""
    request = {"resourceSpans": [_with_ids(group) for group in groups]}
    return decode(json_format.ParseDict(request, trace_service_pb2.ExportTraceServiceRequest()))


def _with_ids(value, key=""):
    """The same with ids as the published class reads them."""
    if isinstance(value, dict):
        return {key: _with_ids(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_ids(item) for item in value]
    if key in ("traceId", "spanId", "parentSpanId"):
        return base64.b64encode(bytes.fromhex(value)).decode()
    return value


def _span(span, resource, scope):
    kind = trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
    status = trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_")
    assert (len(span.trace_id), len(span.span_id)) == (16, 8), span
    assert len(span.parent_span_id) in (0, 8), span
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
    return Span(
        resource=resource,
        scope=scope,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        trace_state=span.trace_state,
        flags=span.flags,
        name=span.name,
        kind=kind,
        status=status,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        status_message=span.status.message,
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        events=tuple((event.name, event.time_unix_nano) for event in span.events),
    )


def _attributes(pairs):
    """Attributes by key; the OTLP type becomes the Python type of the same name."""
    found = {}
    for pair in pairs:
        assert pair.key not in found, f"{pair.key} is there twice"
        found[pair.key] = getattr(pair.value, pair.value.WhichOneof("value"))
    return found


def assert_attributes(span, expected, optional=None):
    """Every attribute is expected, and every expected one is there, with its value and type.

    An expected value that is a type stands for any value of it; `optional` ones may be absent.
    """
    optional = optional or {}
    for key in MEASURED & span.attributes.keys():
        assert type(span[key]) is float, f"{key} is {span[key]!r}"
        assert span[key] >= 0, f"{key} is {span[key]!r}"
    found = {k: v for k, v in span.attributes.items() if k not in MEASURED}
    allowed = {**optional, **expected}
    complaints = [f"{key} is missing" for key in expected.keys() - found.keys()]
    for key, value in found.items():
        if key not in allowed:
            complaints.append(f"{key} is not expected, but is {value!r}")
        elif not _matches(value, allowed[key]):
            complaints.append(f"{key} is {value!r}, not {allowed[key]!r}")
    assert not complaints, "; ".join(sorted(complaints))


def assert_includes(span, expected):
    """The expected attributes are there with their value and type, among others."""
    others = {key: type(value) for key, value in span.attributes.items()}
    assert_attributes(span, expected, optional=others)


def _matches(value, expected):
    if isinstance(expected, type):
        return type(value) is expected and value != ""
    return type(value) is type(expected) and value == expected
