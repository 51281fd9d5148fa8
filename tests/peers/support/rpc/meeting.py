"""One call from a client to a server by some way, and what all who took part say of it."""

import json
from dataclasses import dataclass

from ..ports import HOST
from .routes import CODES, DIRECT, ROUTES, Traces, Ways
from .scenarios import KINDS
from .stack import Stack

_CONTEXT = ("traceparent", "call-id")
"""What differs from call to call: spandrel changes the first, the test the second."""


@dataclass
class Meeting:
    """A client, a server, and what may be between them."""

    client: Stack
    server: Stack
    ways: Ways
    traces: Traces
    app: str
    """Which of the servers is called."""

    @property
    def port(self):
        """Where the server that is called listens."""
        return self.ways.way(DIRECT, self.app).port

    def run(self, scenario, routes=ROUTES):
        """Makes a call by each route, all at once; gives what both ends saw by their route, in
        terms that do not depend on it."""
        begun = {route: self.begin(scenario, route) for route in routes}
        if scenario.is_released:
            for call, asked in begun.values():
                self.server.told(call)
                self.client.go(asked)
        return {route: self.end(scenario, route, *one) for route, one in begun.items()}

    def begin(self, scenario, route, port=None):
        """Begins a call; gives its id, and the number of the order."""
        way = self.ways.way(route, self.app)
        name = f"{scenario} from {self.client.name} to {self.app}, {route}"
        call = self.traces.begin(way, name)
        asked = self.client.order(
            "call",
            target=f"{HOST}:{port or way.port}",
            authority=way.authority,
            options=scenario.options,
            kind=scenario.kind,
            method=scenario.method or KINDS[scenario.kind],
            metadata=_metadata(scenario, call),
            timeout=scenario.timeout,
            steps=scenario.client,
        )
        return call, asked

    def end(self, scenario, route, call, asked):
        """Waits until a call has ended everywhere, and looks at its spans."""
        seen = {"client": self._of_client(scenario, asked)}
        if scenario.method is None:
            seen["server"] = self._of_server(scenario, route, call)
        self._expect_spans(scenario, call)
        return seen

    def _expect_spans(self, scenario, call):
        codes = [CODES[scenario.code]]
        method = f"peers.v1.Steps/{KINDS[scenario.kind]}"
        if codes == ["UNIMPLEMENTED"]:
            method = "_OTHER"
        if scenario.is_cancelled:
            # Who is cancelled may be faster at saying so than the reset.
            codes.append(None)
        attributes = {
            "rpc.system.name": ["grpc"],
            "rpc.method": [method],
            "rpc.response.status_code": codes,
        }
        self.traces.expect(call, attributes)

    def _of_client(self, scenario, asked):
        report = dict(self.client.report(asked))
        del report["ask"]
        assert report["code"] in (scenario.code, scenario.other_code), report
        for part in ("initial", "trailing"):
            report[part] = _sorted(report[part])
        if scenario.is_local:
            report = {"received": report["received"]}
        return report

    def _of_server(self, scenario, route, call):
        report = dict(self.server.served(call))
        assert report.pop("call") == call
        assert report["cancelled"] == scenario.is_cancelled, report
        timeout = report.pop("timeout")
        if scenario.timeout is None:
            assert timeout is None, timeout
        else:
            # What is left of it when the call comes, which may be late; clients round up.
            assert timeout is not None
            assert timeout <= scenario.timeout + 0.2, timeout
        if scenario.timeout and scenario.is_cancelled:
            # It may pass before the message has come.
            del report["received"]
        authority = self.ways.way(route, self.app).authority
        told = [[key, "it" if value == authority else value] for key, value in report["metadata"]]
        names = [key for key, _ in told]
        assert names.count("traceparent") == 1, told
        report["metadata"] = _sorted(told)
        return report


def _metadata(scenario, call):
    steps = json.dumps(scenario.server).encode().hex()
    context = [["traceparent", f"00-{call}-00000000000000aa-01"], ["call-id", call]]
    return [*scenario.metadata, *context, ["steps-bin", steps]]


def _sorted(metadata):
    """Metadata in the order of their names, as only the order of equal ones means anything."""
    told = [[key, "now" if key == "date" else value] for key, value in metadata]
    return sorted((pair for pair in told if pair[0] not in _CONTEXT), key=lambda pair: pair[0])
