"""The ways from a client to a server: direct, or through one side of spandrel, or through both."""

import secrets
from dataclasses import dataclass

from ..ports import HOST
from ..waiting import eventually

DIRECT, INBOUND, OUTBOUND, BOTH = ROUTES = ("direct", "inbound", "outbound", "both")
CALLER = "caller"
"""The service whose sidecar the outbound calls go through."""

CODES = (
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS "
    "PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED "
    "INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED"
).split()


@dataclass(frozen=True)
class Way:
    """Where a client connects, whom it says it wants, and the spans that this makes."""

    port: int
    authority: str
    kinds: dict
    """The kind of the span by the service that makes it."""


class Ways:
    """The ways to the servers, each with a sidecar of its own, by way of one of the caller's."""

    def __init__(self, caller):
        self.caller = caller
        self._apps = {}

    def add(self, name, port, sidecar):
        """Makes a server known."""
        self._apps[name] = (port, sidecar)

    def way(self, route, name):
        """A route to a server."""
        port, sidecar = self._apps[name]
        direct = f"{HOST}:{port}"
        server, client = {sidecar.service: "SERVER"}, {CALLER: "CLIENT"}
        outbound, inbound = self.caller.outbound, sidecar.inbound
        return {
            DIRECT: Way(port, direct, {}),
            INBOUND: Way(inbound, direct, server),
            OUTBOUND: Way(outbound, direct, client),
            BOTH: Way(outbound, f"{HOST}:{inbound}", client | server),
        }[route]

    def sidecars(self):
        """All of them."""
        return [self.caller, *(sidecar for _, sidecar in self._apps.values())]


class Traces:
    """The spans of all calls, found by their trace; each call has a trace of its own."""

    def __init__(self, collector):
        self._collector = collector
        self._seen = 0
        self._spans = {}
        self._kinds = {}
        self._names = {}
        self._expected = []

    def begin(self, way, name):
        """The id of a call that goes this way, which is its trace's too."""
        call = secrets.token_hex(16)
        self._kinds[call] = way.kinds
        self._names[call] = name
        return call

    def expect(self, call, attributes):
        """Says what the spans of a call must have in the end: attributes and their values."""
        self._expected.append((call, attributes))

    def of(self, call):
        """The spans of a call by their service, of which there is one for each side."""
        kinds = self._kinds[call]

        def has_all():
            return len(self._spans.get(call, [])) >= len(kinds) or self._read()

        eventually(has_all, lambda: f"{kinds} of {self._names[call]}")
        spans = self._spans.get(call, [])
        found = sorted((span.service, span.kind) for span in spans)
        assert found == sorted(kinds.items()), (self._names[call], spans)
        return {span.service: span for span in spans}

    def assert_complete(self):
        """Every call has made the spans that its way makes, as expected, and nobody any other."""
        for call in self._kinds:
            self.of(call)
        wrong = []
        for call, attributes in self._expected:
            for service, span in self.of(call).items():
                found = {key: span[key] for key in attributes}
                if any(found[key] not in values for key, values in attributes.items()):
                    wrong.append((self._names[call], service, found))
        assert not wrong, wrong
        assert self._spans.keys() <= self._kinds.keys()

    def _read(self):
        """Sorts in what has come since; gives nothing, so that waiting goes on."""
        spans = self._collector.spans()
        for span in spans[self._seen :]:
            self._spans.setdefault(span.trace_id, []).append(span)
        self._seen = len(spans)
