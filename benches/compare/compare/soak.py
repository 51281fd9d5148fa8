"""Ten minutes at a high load with new connections all the time: nothing may grow, nor drift.

Between the slices of the load a peer has the same for a while, so that it can be told whether the
machine has become slower, or we have.
"""

import statistics
import threading
from dataclasses import dataclass
from pathlib import Path

from .load import Bursts, Http1
from .process import resident

SLICE = 10
"""Seconds of a load, after which all its connections are others."""
BETWEEN = 5
"""Seconds that the peer has the load between two slices."""
LOAD = 0.8
"""The part of saturation."""
CHURNING = 2
"""Connections of the load that asks once on each."""
LEAST = 4
"""Slices, so that each quarter has one."""


@dataclass(frozen=True)
class Slice:
    """What was seen in one slice."""

    resident: int
    """Bytes, at its end."""
    files: int
    """Open descriptors at its end, when no client is connected any more."""
    p99: float
    requests: int
    failed: int


@dataclass(frozen=True)
class Drift:
    """The medians of the first and of the last quarter of the slices."""

    requests: int
    failed: int
    resident: tuple
    files: tuple
    p99: tuple
    peer_p99: tuple


def soak(way, peer, rate, seconds, folder):
    """Loads a way for so long, at a part of the rate that saturates it, and a peer in between."""
    ours, theirs = [], []
    for _ in range(max(LEAST, round(seconds / SLICE))):
        ours.append(_slice(way, rate * LOAD, SLICE, folder))
        theirs.append(_slice(peer, rate * LOAD, BETWEEN, folder))
    return Drift(
        sum(one.requests for one in ours),
        sum(one.failed for one in ours),
        _ends(ours, "resident"),
        _ends(ours, "files"),
        _ends(ours, "p99"),
        _ends(theirs, "p99"),
    )


def _slice(way, rate, seconds, folder):
    """A load that comes in bursts, and beside it one that asks once on each connection."""
    bursts, churn = Bursts("/1k", rate), Http1("/1k", CHURNING, keeps_alive=False)
    aside, beside = [], folder / "beside"
    beside.mkdir(exist_ok=True)
    other = threading.Thread(
        target=lambda: aside.append(churn.run(way, seconds, beside)), daemon=True
    )
    other.start()
    done = bursts.run(way, seconds, folder)
    other.join()
    pids = way.pids("http1")
    return Slice(
        resident(pids),
        _open_files(pids),
        done.p99,
        done.requests + aside[0].requests,
        done.failed + aside[0].failed,
    )


def _ends(slices, what):
    quarter = max(1, len(slices) // 4)
    parts = (slices[:quarter], slices[-quarter:])
    return tuple(statistics.median(getattr(one, what) for one in part) for part in parts)


def _open_files(pids):
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
