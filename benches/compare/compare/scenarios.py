"""What is asked for, by whom, how often."""

from dataclasses import dataclass

from .backend import MESSAGE, STREAMED, message
from .load import CONNECTIONS, Http1, Http2

SPANDREL = "spandrel"
TRACED_ENVOY = "Envoy, traced"
RELAY, HAPROXY = "HAProxy, tcp", "HAProxy, http"
NOT_TRACED = ("spandrel, 1 % sampled", "spandrel, 0 % sampled", "spandrel, tracing off")
DEAD = "spandrel, collector dead"
PEERS = (RELAY, HAPROXY, "nginx", "Envoy", TRACED_ENVOY, "Envoy, traced, batches of 512")
HTTP1 = ("direct", SPANDREL, *PEERS)
HTTP2 = ("direct", SPANDREL, RELAY, HAPROXY, "Envoy", TRACED_ENVOY)
GRPC = ("direct", SPANDREL, RELAY, HAPROXY, "nginx", "Envoy", TRACED_ENVOY)
SETTINGS = (SPANDREL, *NOT_TRACED, DEAD)


@dataclass(frozen=True)
class Scenario:
    """A load, and the ways that it takes in turn."""

    name: str
    title: str
    load: object
    ways: tuple
    seconds: float = 3
    turns: int = 1
    """How many there are in each round: many short ones, where small differences count."""


_CALL = ("content-type: application/grpc", "te: trailers")

ALL = (
    Scenario(
        "http1",
        f"HTTP/1.1, {CONNECTIONS} connections, 1 KiB, every request recorded and exported",
        Http1("/1k"),
        HTTP1,
        1,
        8,
    ),
    Scenario(
        "sampling",
        f"HTTP/1.1, {CONNECTIONS} connections, 1 KiB: what tracing adds",
        Http1("/1k"),
        SETTINGS,
        1,
        8,
    ),
    Scenario("one", "HTTP/1.1, 1 connection, 1 KiB", Http1("/1k", 1), HTTP1),
    Scenario("thousand", "HTTP/1.1, 1,000 connections, 1 KiB", Http1("/1k", 1_000), HTTP1),
    Scenario("small", f"HTTP/1.1, {CONNECTIONS} connections, 100 bytes", Http1("/100"), HTTP1),
    Scenario("medium", f"HTTP/1.1, {CONNECTIONS} connections, 64 KiB", Http1("/64k"), HTTP1),
    Scenario("large", "HTTP/1.1, 8 connections, 10 MiB", Http1("/10m", 8), HTTP1),
    Scenario(
        "churn",
        f"HTTP/1.1, {CONNECTIONS} connections, 1 KiB, a connection for each request",
        Http1("/1k", keeps_alive=False),
        HTTP1,
    ),
    Scenario(
        "http2",
        f"HTTP/2, {Http2.CONNECTIONS} connections of {Http2.STREAMS} streams, 1 KiB",
        Http2("/1k"),
        HTTP2,
        2,
        2,
    ),
    Scenario(
        "grpc",
        f"gRPC, unary, {Http2.CONNECTIONS} connections of {Http2.STREAMS} calls, {MESSAGE} bytes",
        Http2("/grpc/unary", _CALL, message(MESSAGE)),
        GRPC,
    ),
    Scenario(
        "stream",
        f"gRPC, an answer of {STREAMED[0]} messages of {STREAMED[1]} bytes, "
        f"{Http2.CONNECTIONS} connections of {Http2.STREAMS} calls",
        Http2("/grpc/stream", _CALL, message(MESSAGE)),
        GRPC,
    ),
)
"""Those in which as much is asked for as there can be."""
