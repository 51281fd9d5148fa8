"""The makes: which clients and origins there are, and what each of them cannot do."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Make:
    """A client or an origin of one make, which speaks one version of HTTP."""

    name: str
    key: str
    """How its program calls it: the client, or the port."""
    program: str
    version: int = 1
    cannot: frozenset = field(default_factory=frozenset)

    def can(self, scenario):
        """Whether it can do its part of a scenario."""
        return not (scenario.needs & self.cannot)


def _make(name, key, program, version=1, cannot=""):
    left_out = frozenset(filter(None, cannot.split(", ")))
    return Make(name, key, program, version, left_out)


CLIENTS = [
    _make("curl", "curl", "python", 1, "sent trailers, ack, upgrade, websocket"),
    _make(
        "curl over HTTP/1.0",
        "curl10",
        "python",
        1,
        "sent chunks, expect, early, trailers, sent trailers, ack, upgrade, websocket",
    ),
    _make("httpx", "httpx", "python", 1, "sent trailers, upgrade, websocket"),
    _make("aiohttp", "aiohttp", "python", 1, "sent trailers, upgrade"),
    _make(
        "http.client",
        "library",
        "python",
        1,
        "early, sent trailers, ack, at once, upgrade, websocket",
    ),
    _make("Node", "node", "node", 1, "websocket"),
    _make("fetch", "fetch", "node", 1, "expect, sent trailers, upgrade, websocket, proxy"),
    _make("Go", "go", "go", 1, "websocket"),
    # This curl fails on a second request after prior knowledge (exit code 16, also directly).
    _make(
        "curl over HTTP/2",
        "curl2",
        "python",
        2,
        "reuse, sent trailers, ack, upgrade, websocket",
    ),
    _make("httpx over HTTP/2", "httpx2", "python", 2, "sent trailers, upgrade, websocket"),
    _make("Node over HTTP/2", "node2", "node", 2, "upgrade, websocket, close"),
    _make("Go over HTTP/2", "go2", "go", 2, "upgrade, websocket, close"),
]
"""The clients, and what they cannot do."""

ORIGINS = [
    _make("nginx", "http1", "nginx", 1, "early, trailers, sent trailers, upgrade, websocket"),
    _make("HAProxy", "http1", "HAProxy", 1, "websocket"),
    _make("Node", "http1", "node", 1, "websocket"),
    _make("Go", "http1", "go", 1, "websocket"),
    _make("aiohttp", "aiohttp", "python", 1, "early, trailers, sent trailers, upgrade"),
    _make("hypercorn", "hypercorn", "python", 1, "trailers, sent trailers, upgrade"),
    _make(
        "http.server",
        "library",
        "python",
        1,
        "sent chunks, expect, early, trailers, sent trailers, ack, upgrade, websocket",
    ),
    _make(
        "nginx",
        "http2",
        "nginx",
        2,
        "early, trailers, sent trailers, close, expect, refused body",
    ),
    _make("HAProxy", "http2", "HAProxy", 2, "close"),
    _make("Node", "http2", "node", 2, "close"),
    _make("Go", "http2", "go", 2, "close"),
    _make("hypercorn", "hypercorn", "python", 2, "expect, break, sent trailers, close"),
]
"""The origins, and what they cannot do. nginx and HAProxy stand before Node over HTTP/1.1."""

GATEWAYS = {"nginx", "HAProxy"}
"""Origins behind which connections are made that have nothing to do with those of the client."""

PAIRS = [
    (client, origin)
    for client in CLIENTS
    for origin in ORIGINS
    if client.version == origin.version
]
"""Every client with every origin that speaks its version."""


def scenarios_of(client, origin, scenarios):
    """The scenarios that a client can ask of an origin."""
    return [
        scenario
        for scenario in scenarios
        if client.can(scenario) and origin.can(scenario) and scenario.only in (None, origin.name)
    ]
