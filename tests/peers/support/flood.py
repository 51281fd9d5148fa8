"""A million spans for `view`, as quickly as it takes them.

The same messages go out again and again, each time with other ids and later times, so that making
them costs next to nothing beside taking them.
"""

import http.client
import os
import threading
import time
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

CALLS = (
    # service, kind, parent, begins and ends (ms)
    ("gateway", trace.Span.SPAN_KIND_SERVER, None, 0, 40),
    ("gateway", trace.Span.SPAN_KIND_CLIENT, 0, 2, 38),
    ("order", trace.Span.SPAN_KIND_SERVER, 1, 3, 37),
    ("order", trace.Span.SPAN_KIND_CLIENT, 2, 30, 36),
    ("payment", trace.Span.SPAN_KIND_SERVER, 3, 31, 35),
)
"""The spans of a trace, unless a test asks for others."""
SERVICES = ("gateway", "order", "payment")
TENANTS = ("acme", "globex", "initech", None)
SPANS = 1_000
"""Spans in a message."""
TIMEOUT = 120

_MILLISECOND = 1_000_000


class Flood:
    """Sends messages of spans to `view`, on a thread of its own; a context manager."""

    def __init__(self, view, spans, calls=CALLS):
        """Sends that many spans, in traces of these calls."""
        self._target = urlsplit(view.receiver())
        self._messages = spans // SPANS
        self._calls = calls
        self._sent = 0
        self._failure = None
        self._progress = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="flood")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_stopping = True
        self._thread.join(TIMEOUT)

    def wait_for(self, share):
        """Waits until that share of the spans has been taken."""
        with self._progress:
            wanted = share * self._messages
            self._progress.wait_for(lambda: self._failure or self._sent >= wanted)
        assert self._failure is None, self._failure

    def _run(self):
        client = http.client.HTTPConnection(self._target.netloc, timeout=TIMEOUT)
        message = Message(self._calls)
        try:
            while self._sent < self._messages and not self._is_stopping:
                self._post(client, message.encode())
                with self._progress:
                    self._sent += 1
                    self._progress.notify_all()
        except Exception as failure:
            with self._progress:
                self._failure = repr(failure)
                self._progress.notify_all()
        finally:
            client.close()

    def _post(self, client, body):
        client.request("POST", self._target.path, body, {"content-type": "application/x-protobuf"})
        answer = client.getresponse()
        said = answer.read()
        assert (answer.status, said) == (200, b""), (answer.status, said)


class Message:
    """One message that is sent again and again as another."""

    def __init__(self, calls):
        """A message of traces of these calls."""
        self._calls = calls
        self._request = collector.ExportTraceServiceRequest()
        self._traces = [[] for _ in range(SPANS // len(calls))]
        groups = {service: self._group(service) for service in SERVICES}
        for number, spans in enumerate(self._traces):
            for call in calls:
                span = groups[call[0]].add()
                _describe(span, call, number)
                spans.append(span)

    def encode(self):
        """The message with new ids, and with the time of now."""
        now = time.time_ns()
        ids = memoryview(os.urandom(len(self._traces) * (16 + 8 * len(self._calls))))
        for spans in self._traces:
            trace_id, ids = bytes(ids[:16]), ids[16:]
            for span, (_, _, parent, begin, end) in zip(spans, self._calls):
                span.trace_id, span.span_id, ids = trace_id, bytes(ids[:8]), ids[8:]
                if parent is not None:
                    span.parent_span_id = spans[parent].span_id
                span.start_time_unix_nano = now + begin * _MILLISECOND
                span.end_time_unix_nano = now + end * _MILLISECOND
        return self._request.SerializeToString()

    def _group(self, service):
        group = self._request.resource_spans.add()
        resource = {
            "service.name": service,
            "service.instance.id": f"{service}-7d9f6c5b8-x2x4q",
            "telemetry.sdk.language": "python",
        }
        group.resource.attributes.extend(_attributes(resource))
        scoped = group.scope_spans.add()
        scoped.scope.name = "opentelemetry.instrumentation.aiohttp"
        return scoped.spans


def _describe(span, call, number):
    """What stays the same of a span whenever it is sent."""
    service, kind, _, _, _ = call
    span.name, span.kind, span.flags = f"POST /{service}/{{id}}", kind, 257
    attributes = {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": f"/{service}/{{id}}",
        "url.scheme": "http",
        "url.path": f"/{service}/{number:08}",
        "server.address": f"{service}.shop.svc.cluster.local",
        "server.port": 8080,
        "network.protocol.version": "1.1",
        "network.peer.address": f"10.42.{number % 250}.17",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101",
        "http.request.body.size": 1_400 + number,
    }
    if kind == trace.Span.SPAN_KIND_CLIENT:
        callee = SERVICES[SERVICES.index(service) + 1]
        attributes |= {"server.address": f"{callee}.shop.svc.cluster.local"}
    if tenant := TENANTS[number % len(TENANTS)]:
        attributes["tenant.id"] = tenant
    span.attributes.extend(_attributes(attributes))


def _attributes(attributes):
    return [common.KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value):
    if isinstance(value, int):
        return common.AnyValue(int_value=value)
    return common.AnyValue(string_value=value)
