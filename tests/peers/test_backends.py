"""Real backends have what was sent, span by span: Jaeger, Zipkin, and a Collector in between.

Every span goes to the collector of the tests as well, which tells what it was.
"""

import json
from contextlib import ExitStack, closing

import pytest

from support.clients import curl
from support.collector import GRPC, HTTP
from support.faulty.receiver import HTTP_JSON
from support.gateway import Gateway
from support.jaeger import Jaeger
from support.waiting import eventually
from support.zipkin import Zipkin

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CONTEXT = ["--header", f"traceparent: 00-{TRACE}-{PARENT}-01", "--header", "tracestate: a=1,b=2"]
STORED = 60
"""Seconds that a backend has to answer with what it was sent."""
WAYS = [
    (GRPC, "none"),
    (GRPC, "gzip"),
    (HTTP, "none"),
    (HTTP, "gzip"),
    (HTTP_JSON, "none"),
    (HTTP_JSON, "gzip"),
]
BY_GATEWAY = [*WAYS, (GRPC, "zstd"), (HTTP, "zstd"), (HTTP_JSON, "zstd")]


@pytest.fixture(scope="module")
def zipkin(tmp_path_factory):
    """Zipkin; it takes long to start."""
    with closing(Zipkin(tmp_path_factory.mktemp("zipkin"))) as zipkin:
        yield zipkin


@pytest.fixture
def jaeger(tmp_path):
    """Jaeger."""
    with closing(Jaeger(tmp_path)) as jaeger:
        yield jaeger


@pytest.fixture
def gateway(tmp_path, jaeger):
    """A Collector that sends to Jaeger."""
    with closing(Gateway(tmp_path, jaeger)) as gateway:
        yield gateway


@pytest.fixture
def sent(sidecar, web, collector, closed_port):
    """Sends spans of every kind to a backend; gives them: `sent({"type": "otlp", ...})`."""
    with ExitStack() as stack:

        def send(backend):
            settings = {f"export.destinations.backend.{key}": v for key, v in backend.items()}
            settings["spans.progress_interval"] = "1s"
            settings["spans.routes"] = ["/pause/{milliseconds}"]
            proxy = sidecar(web.port, settings=settings)
            ask(proxy, web, closed_port)
            created = proxy.wait_for_books(lambda books: books.created >= 8).created
            for destination in ("otlp", "backend"):
                proxy.wait_for_books(
                    lambda books: books.exported == created, STORED, destination
                )
            stack.callback(proxy.stop)
            return [span for span in collector.spans() if span.trace_id == TRACE]

        yield send


def ask(proxy, web, closed_port):
    """Requests of one trace that leave all kinds of spans."""
    tenant = ["--header", "x-tenant-id: acme"]
    assert curl(proxy.inbound_url("/status/200?q=secret"), *CONTEXT, *tenant).status == 200
    assert curl(proxy.inbound_url("/status/503"), *CONTEXT).status == 503
    assert curl(proxy.inbound_url("/pause/1500"), *CONTEXT).status == 200
    upload = ["--data-binary", "grüße", "--header", "user-agent: ünïcode/1"]
    assert curl(proxy.inbound_url("/upload"), *CONTEXT, *upload).status == 200
    assert curl(web.url("/status/200"), *CONTEXT, proxy=proxy.proxy).status == 200
    assert curl(web.url("/status/404"), *CONTEXT, proxy=proxy.proxy).status == 404
    refused = f"http://127.0.0.1:{closed_port}/"
    assert curl(refused, *CONTEXT, proxy=proxy.proxy).status == 502


def by_id(spans):
    """Spans by their id, each of which is there once."""
    found = {span.span_id: span for span in spans}
    assert len(found) == len(spans)
    return found


def assert_same(found, sent):
    """Span by span, all fields are those that were sent."""
    found, sent = by_id(found), by_id(sent)
    assert found.keys() == sent.keys()
    for id, span in sent.items():
        other = found[id]
        for field in span.__dataclass_fields__:
            assert getattr(other, field) == getattr(span, field), (field, span.name)


def wait_for_jaeger(jaeger, sent):
    """What Jaeger has, once it has all."""
    return eventually(
        lambda: found if len(found := jaeger.spans(TRACE)) >= len(sent) else None,
        lambda: f"{len(sent)} spans in Jaeger, there are {len(jaeger.spans(TRACE))}",
        STORED,
    )


@pytest.mark.parametrize(("protocol", "compression"), WAYS)
def test_jaeger_has_every_span_as_it_was(sent, jaeger, protocol, compression):
    endpoint = jaeger.endpoint(GRPC if protocol == GRPC else HTTP)
    way = {"type": "otlp", "protocol": protocol, "compression": compression}
    sent = sent({**way, "endpoint": endpoint})
    assert {span.kind for span in sent} == {"SERVER", "CLIENT", "INTERNAL"}
    assert {span.status for span in sent} == {"UNSET", "ERROR"}
    assert_same(wait_for_jaeger(jaeger, sent), sent)


@pytest.mark.parametrize(("protocol", "compression"), BY_GATEWAY)
def test_a_gateway_hands_on_every_span_as_it_was(sent, gateway, jaeger, protocol, compression):
    way = {"type": "otlp", "protocol": protocol, "compression": compression}
    sent = sent({**way, "endpoint": gateway.endpoint(protocol)})
    assert_same(wait_for_jaeger(jaeger, sent), sent)


def test_zipkin_has_every_span_with_its_ids_times_and_tags(sent, zipkin):
    sent = by_id(sent({"type": "zipkin", "endpoint": zipkin.spans_url}))
    found = eventually(
        lambda: trace if len(trace := zipkin.trace(TRACE)) >= len(sent) else None,
        lambda: f"{len(sent)} spans in Zipkin, there are {len(zipkin.trace(TRACE))}",
        STORED,
    )
    assert len(found) == len(sent)
    for zipped in found:
        assert_zipped(zipped, sent[zipped["id"]])


def assert_zipped(zipped, span):
    """A span of Zipkin's is the one that was sent."""
    assert zipped["traceId"] == span.trace_id
    assert zipped.get("parentId", "") == span.parent_id
    assert zipped["name"] == span.name.lower()
    assert zipped.get("kind", "INTERNAL") == span.kind
    assert zipped["timestamp"] == span.start // 1_000
    assert abs(zipped["duration"] - max(1, (span.end - span.start) // 1_000)) <= 1
    assert zipped["localEndpoint"]["serviceName"] == span.service.lower()
    tags = zipped["tags"]
    for key, value in span.attributes.items():
        assert key in tags, (key, tags)
        assert is_tag(tags[key], value), (key, value, tags)
    assert ("error" in tags) == (span.status == "ERROR"), tags
    assert tags.get("otel.status_code", "UNSET") == span.status
    assert tags["otel.scope.name"] == span.scope


def is_tag(tag, value):
    """Whether a tag, which is text, says this value."""
    if isinstance(value, float):
        return float(tag) == value
    return tag == (value if isinstance(value, str) else json.dumps(value))
