"""What ways cost under a load, in turn, over several rounds."""

import random
import statistics
from dataclasses import astuple, dataclass

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

    @classmethod
    def median(cls, costs):
        """Of each figure the median; of failures all."""
        *figures, failed = zip(*map(astuple, costs), strict=True)
        return cls(*map(statistics.median, figures), sum(failed))


def in_turn(ways, load, seconds, rounds, folder):
    """Costs by way; in each round the ways are in another order."""
    costs = {way.name: [] for way in ways}
    for way in ways:
        load.run(way, WARM_UP, folder)
    for _ in range(rounds):
        for way in random.sample(ways, len(ways)):
            costs[way.name].append(once(way, load, seconds, folder))
    return {name: Cost.median(every) for name, every in costs.items()}


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
