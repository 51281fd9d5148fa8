"""Ten minutes at a high load with new connections all the time: nothing may grow, nor drift."""

import statistics
import threading
from dataclasses import dataclass
from pathlib import Path

from .load import Http1, Paced
from .process import resident

SLICE = 10
"""Seconds of a load, after which all its connections are others."""
LOAD = 0.8
"""The part of saturation."""
CHURNING = 2
"""Connections of the load that asks once on each."""


@dataclass(frozen=True)
class Slice:
    """What was seen in one slice."""

    resident: int
    """Bytes, at its end."""
    files: int
    """Open descriptors at its end, when no client is connected any more."""
    p99: float
    failed: int


@dataclass(frozen=True)
class Drift:
    """The medians of the first and of the last quarter of the slices."""

    slices: int
    requests: int
    failed: int
    resident: tuple
    files: tuple
    p99: tuple


def soak(way, rate, seconds, folder):
    """Loads a way for so long, at a part of the rate that saturates it."""
    pids, slices, requests = way.pids("http1"), [], 0
    steady, churn = Paced("/1k", rate * LOAD), Http1("/1k", CHURNING, keeps_alive=False)
    for _ in range(max(4, round(seconds / SLICE))):
        aside, beside = [], folder / "beside"
        beside.mkdir(exist_ok=True)
        other = threading.Thread(
            target=lambda: aside.append(churn.run(way, SLICE, beside)), daemon=True
        )
        other.start()
        done = steady.run(way, SLICE, folder)
        other.join()
        requests += done.requests + aside[0].requests
        failed = done.failed + aside[0].failed
        slices.append(Slice(resident(pids), _open_files(pids), done.p99, failed))
    return _drift(slices, requests)


def _drift(slices, requests):
    quarter = max(1, len(slices) // 4)

    def ends(what):
        parts = (slices[:quarter], slices[-quarter:])
        return tuple(statistics.median(getattr(one, what) for one in part) for part in parts)

    failed = sum(one.failed for one in slices)
    return Drift(len(slices), requests, failed, ends("resident"), ends("files"), ends("p99"))


def _open_files(pids):
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
