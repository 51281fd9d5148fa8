"""What ways cost under a load, in turn, over several rounds."""

import random
import statistics
from dataclasses import astuple, dataclass
from functools import cached_property
from itertools import starmap
from operator import sub, truediv

from .process import processor_time, resident

WARM_UP = 1
"""Seconds of load that are not measured, before the first round of each way."""


@dataclass(frozen=True)
class Cost:
    """What was measured of a way; times in microseconds, memory in bytes."""

    rate: float
    """Requests a second."""
    processor: float
    """Processor time per request."""
    p50: float
    p99: float
    resident: float
    failed: float


@dataclass(frozen=True)
class Costs:
    """What was measured of a way in each round."""

    rounds: tuple

    @cached_property
    def median(self):
        """Of each figure the median; of failures all."""
        *figures, failed = zip(*map(astuple, self.rounds), strict=True)
        return Cost(*map(statistics.median, figures), sum(failed))

    def more(self, other, figure):
        """How much more of a figure it costs than another way, in the same round."""
        return self._pairs(sub, other, figure)

    def times(self, other, figure):
        """How many times as much of a figure it costs as another way, in the same round."""
        return self._pairs(truediv, other, figure)

    def _pairs(self, compare, other, figure):
        """The median over the rounds: a machine that is slower in some of them changes nothing."""
        ours, theirs = ([getattr(one, figure) for one in way.rounds] for way in (self, other))
        return statistics.median(starmap(compare, zip(ours, theirs, strict=True)))


def in_turn(ways, load, seconds, rounds, folder):
    """Costs by way; in each round the ways are in another order."""
    costs = {way.name: [] for way in ways}
    for way in ways:
        load.run(way, WARM_UP, folder)
    for _ in range(rounds):
        for way in random.sample(ways, len(ways)):
            costs[way.name].append(once(way, load, seconds, folder))
    return {name: Costs(tuple(every)) for name, every in costs.items()}


def once(way, load, seconds, folder):
    """What one run costs."""
    pids = way.pids(load.protocol)
    before = processor_time(pids)
    done = load.run(way, seconds, folder)
    spent = processor_time(pids) - before
    assert done.requests, f"{way.name} answered no request"
    return Cost(
        done.requests / done.seconds, spent / 1_000 / done.requests, done.p50, done.p99,
        resident(pids), done.failed,
    )  # fmt: skip
