"""Runs the scenarios, and writes what was found."""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from . import document, files, idle, promises, report, scale, scenarios
from .backend import Backend, Collector
from .load import Paced
from .measure import in_turn
from .scenarios import HAPROXY, HTTP1, RELAY, SPANDREL, TRACED_ENVOY
from .soak import soak
from .ways.all import Ways
from support.ports import ReservedPort
from support.waiting import eventually

ROUNDS = 5
IDLE = 10_000
"""Connections that do nothing."""
IDLE_WAYS = (SPANDREL, RELAY, HAPROXY, "nginx", "Envoy", TRACED_ENVOY)
STARTS = 10
SHARE = 3
"""The part of its saturation at which the latency of spandrel is measured."""
FLUSHED = 30
"""Seconds until the last spans have been sent."""
OTHERS = ("latency", "idle", "start", "scale", "soak", "promises")
"""What there is beside the scenarios of the file of that name."""
SOAK = 600
"""Seconds."""


def main():
    """Measures and writes."""
    names = [one.name for one in scenarios.ALL]
    parser = argparse.ArgumentParser(prog="benches/compare/run", description=__doc__)
    parser.add_argument("--brief", action="store_true", help="one short round, written nowhere")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="write also what is not all")
    parser.add_argument("scenario", nargs="*", choices=[*names, *OTHERS, []])
    words = parser.parse_args()
    chosen = words.scenario or [*names, *OTHERS]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        run = Run(Path(folder), stack, words.rounds, words.brief)
        found = run.all(chosen)
    text = report.write(found)
    print(text)
    if words.write or not words.scenario and not words.brief:
        document.put(text, found)


class Run:
    """One run: the backend, the collector, and the ways to it."""

    def __init__(self, folder, stack, rounds, is_brief):
        self._folder, self._stack = folder, stack
        self._rounds, self._is_brief = (1 if is_brief else rounds), is_brief
        self._backend = stack.enter_context(closing(Backend(self._made("backend"))))
        collector = stack.enter_context(closing(Collector(self._made("collector"))))
        dead = stack.enter_context(closing(ReservedPort()))
        self._ways = Ways(self._backend, collector, dead)
        self._started = {self._backend.name: self._backend}

    def all(self, chosen):
        """What was found in each of the chosen scenarios."""
        found = report.Found()
        for scenario in scenarios.ALL:
            if scenario.name in chosen:
                self._say(scenario.title)
                found.tables[scenario] = self._costs(
                    scenario.ways, scenario.load, scenario.seconds, scenario.turns
                )
        if "latency" in chosen:
            self._say("latency at a part of saturation")
            found.latency_rate, found.latency = self._latency()
        if "idle" in chosen:
            self._say("idle connections")
            many = IDLE // 10 if self._is_brief else IDLE
            found.idle_connections = min(many, files.pairs())
            found.idle = {name: self._idle(name, found.idle_connections) for name in IDLE_WAYS}
        if "start" in chosen:
            self._say("starts")
            found.starts = {name: self._start(name) for name in IDLE_WAYS}
        if "scale" in chosen:
            self._say("scale")
            found.scale = list(scale.measure(self._ways, self._folder, self._is_brief))
        if "soak" in chosen:
            self._say("a soak")
            seconds = 0 if self._is_brief else SOAK
            rate = self._saturation(found)
            ways = self._way(SPANDREL), self._way(HAPROXY)
            found.soak = soak(*ways, rate, seconds, self._folder)
        if "promises" in chosen:
            self._say("what must not change")
            found.promises = promises.keep(self._is_brief)
        self._see_that_spans_arrived()
        return found

    def _costs(self, names, load, seconds, turns=1):
        ways = [self._way(name) for name in names]
        seconds, turns = (1, 1) if self._is_brief else (seconds, self._rounds * turns)
        return in_turn(ways, load, seconds, turns, self._folder)

    def _saturation(self, found):
        """Requests a second that spandrel answers at most."""
        http1 = found.costs("http1") or self._costs([SPANDREL], scenarios.ALL[0].load, 2)
        return http1[SPANDREL].median.rate

    def _latency(self):
        """Of callers that ask at random, at a part of what they get when they do not wait."""
        saturated = self._costs([SPANDREL], Paced("/1k"), 2)[SPANDREL].median.rate
        rate = saturated / SHARE
        return rate, self._costs(HTTP1, Paced("/1k", rate), 2, 4)

    def _idle(self, name, connections):
        """Memory before and with idle connections, of one that has just been started."""
        with closing(self._ways.start(name, self._made(f"{name}, idle", is_there=False))) as way:
            return idle.memory(way, connections, 0 if self._is_brief else idle.QUIET)

    def _start(self, name):
        """The median of the times from a start to the first connection, in seconds."""
        took = []
        for number in range(1 if self._is_brief else STARTS):
            folder = self._made(f"{name}, start {number}", is_there=False)
            with closing(self._ways.start(name, folder)) as way:
                took.append(way.took)
        return statistics.median(took)

    def _see_that_spans_arrived(self):
        """Nothing is faster for having lost what it recorded."""
        spandrel, envoy = self._started.get(SPANDREL), self._started.get(TRACED_ENVOY)
        if spandrel:
            eventually(
                lambda: all(books.waiting == 0 for books in spandrel.books()),
                "the last spans to be sent",
                FLUSHED,
            )
            assert not any(books.dropped for books in spandrel.books()), spandrel.books()
        if envoy:
            assert envoy.spans_sent(), "Envoy sent no span"

    def _way(self, name):
        if name not in self._started:
            way = self._ways.start(name, self._made(name, is_there=False))
            self._started[name] = self._stack.enter_context(closing(way))
        return self._started[name]

    def _made(self, name, is_there=True):
        folder = self._folder / name.replace(" ", "-").replace(",", "").replace("%", "")
        if is_there:
            folder.mkdir()
        return folder

    def _say(self, what):
        print(f"measuring: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
