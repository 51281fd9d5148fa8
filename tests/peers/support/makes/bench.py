"""All the makes, running, with the ways between them; and what differs between two ways."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass

from ..ports import HOST, ReservedPort
from ..waiting import DEADLINE, eventually
from . import programs
from .compare import as_http2, differences, plain, relabelled, without_context
from .matrix import GATEWAYS, scenarios_of
from .scenarios import ANSWERS, SCENARIOS

_IN_A_ROW = {scenario.name for scenario in SCENARIOS if scenario.needs & {"reuse", "close"}}
"""Scenarios in which it is certain which requests share a connection."""


@dataclass(frozen=True)
class Way:
    """How a client reaches an origin."""

    name: str
    authority: str
    """What the client asks for."""
    proxy: str = ""
    """The address of the proxy that it is told to use."""


@dataclass(frozen=True)
class Outcome:
    """What client and origin told, by scenario."""

    client: dict
    origin: dict
    way: Way


class Bench:
    """The programs, each started once; a context manager.

    `sidecar` starts sidecars, as the fixture of that name does.
    """

    def __init__(self, sidecar, folder):
        self._sidecar, self._folder = sidecar, folder
        self._sidecars = {}

    def __enter__(self):
        with ExitStack() as stack:
            enter = stack.enter_context
            commands = {
                "python": programs.python("python_origin"),
                "node": programs.node("makes_origin.mjs"),
                "go": programs.go("origin"),
            }
            self._programs = {
                name: enter(programs.OriginProgram(command, ANSWERS))
                for name, command in commands.items()
            }
            behind = self._programs["node"].ports["http1"]
            self._gateways = {
                "nginx": enter(programs.nginx(self._folder / "nginx", behind)),
                "HAProxy": enter(programs.haproxy(self._folder / "haproxy", behind)),
            }
            self._clients = {
                "python": enter(programs.Program(programs.python("python_client"))),
                "node": enter(programs.Program(programs.node("makes_client.mjs"))),
                "go": enter(programs.Program(programs.go("client"))),
            }
            nobody = ReservedPort()
            stack.callback(nobody.close)
            self._front = self._sidecar(nobody.number, service="front")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def ways(self, client, origin):
        """The ways that lead from a client to an origin through spandrel."""
        behind = self.sidecar_of(origin)
        direct, inbound = self.direct(origin), Way("inbound", f"{HOST}:{behind.inbound}")
        if "proxy" in client.cannot:
            return [inbound]
        proxy = f"{HOST}:{self._front.outbound}"
        return [
            inbound,
            Way("outbound", direct.authority, proxy),
            Way("both", inbound.authority, proxy),
        ]

    def direct(self, origin):
        """The way without spandrel."""
        return Way("direct", f"{HOST}:{self.port_of(origin)}")

    def port_of(self, origin):
        """Where an origin listens."""
        return (self._programs | self._gateways)[origin.program].ports[origin.key]

    def sidecar_of(self, origin):
        """The sidecar beside an origin."""
        port = self.port_of(origin)
        if port not in self._sidecars:
            self._sidecars[port] = self._sidecar(port, service=f"beside-{port}")
        return self._sidecars[port]

    def run(self, client, origin, way, scenarios=SCENARIOS):
        """Lets a client ask everything it can of an origin."""
        asked = scenarios_of(client, origin, scenarios)
        late = self._reporter(origin).heard()
        assert not late, f"the origin saw what nobody asked: {late}"
        batch = {"client": client.key, "base": f"http://{way.authority}", "proxy": way.proxy}
        program = self._clients[client.program]
        program.say(batch | {"scenarios": [scenario.order() for scenario in asked]})
        
        results = program.hear()
        return Outcome(results, self._seen_by(origin, asked), way)

    def _seen_by(self, origin, asked):
        """What the origin told of the scenarios, once it has told of every request."""
        program = self._reporter(origin)
        reports = {scenario.name: [] for scenario in asked}

        def is_complete():
            for report in program.heard():
                reports.setdefault(report["scenario"], []).append(report)
            return all(len(reports[scenario.name]) >= scenario.seen for scenario in asked)

        # Who saw too little is found by the comparison, which can say what.
        with suppress(AssertionError):
            eventually(is_complete, "every request", DEADLINE)
        return reports

    def _reporter(self, origin):
        """The program that tells what an origin saw."""
        return self._programs["node" if origin.program in GATEWAYS else origin.program]

    def compare(self, client, origin, direct, other):
        """What differs between two outcomes, in sentences that begin with the scenario."""
        found = []
        for scenario in {**direct.origin, **other.origin}:
            place = f"{scenario}, {other.way.name}"
            sides = [
                ("the client", direct.client.get(scenario), other.client.get(scenario)),
                ("the origin", *_reports(origin, direct, other, scenario)),
            ]
            for side, one, two in sides:
                one, two = plain(one, direct.way.authority), plain(two, other.way.authority)
                if client.version == 2:
                    shuffles = client.program == "go"
                    one, two = as_http2(one, shuffles), as_http2(two, shuffles)
                found += differences(one, two, f"{place}, {side}")
        return found


def _reports(origin, direct, other, scenario):
    """What the origin told directly, and on the other way: there, each has a trace context."""
    told = other.origin.get(scenario, [])
    rest = [without_context(report) for report in told]
    if None in rest:
        return "a context on each request", "a request without exactly one sound traceparent"
    outcomes = [relabelled(reports) for reports in (direct.origin.get(scenario, []), rest)]
    if origin.program in GATEWAYS or scenario not in _IN_A_ROW:
        return [[report | {"peer": ""} for report in reports] for reports in outcomes]
    return outcomes
