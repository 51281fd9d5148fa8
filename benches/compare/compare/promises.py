"""What is not traded for speed: bytes, context, and calm while the collector is dead."""

import re
import subprocess
import sys
from dataclasses import dataclass

from support.sidecar import PROJECT

PEERS = PROJECT / "tests/peers"
FAULTS = ("refused", "black-hole", "unavailable")
SECONDS = 60
TOLERATED = 0.05
"""How much later the 99th percentile of requests may be for a dead collector."""


@dataclass(frozen=True)
class Promise:
    """One of them, and what became of it."""

    what: str
    target: str
    found: str
    is_kept: bool


def keep(is_brief):
    """Looks whether each is kept."""
    return [
        _tests("test_transparent_http1.py", "HTTP/1.1 as it would be directly, byte by byte"),
        _tests("test_context.py", "the decision tables of W3C Trace Context, both hops"),
        *_faults(3 if is_brief else SECONDS),
    ]


def _tests(file, what):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", PEERS / file]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    last = done.stdout.strip().splitlines()[-1]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last)}
    passed = counts.get("passed", 0)
    others = sum(counts.get(word, 0) for word in ("failed", "error", "errors", "skipped"))
    found = f"{passed} of {passed + others} tests"
    return Promise(what, "all", found, done.returncode == 0 and not others)


def _faults(seconds):
    command = [sys.executable, PEERS / "measure_export.py", str(seconds), *FAULTS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=True)
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if line[:1] == "|"]
    names, _, *rows = [[cell.strip() for cell in row] for row in rows]
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        more = float(cells["by pairs"].rstrip("%")) / 100
        is_kept = more <= TOLERATED and cells["books"] == "balance" and cells["failed"] == "0"
        yield Promise(
            f"collector {cells['fault']} for {seconds} s ({cells['protocol']})",
            f"p99 within {TOLERATED:.0%}, books balance",
            f"p99 {cells['by pairs']}, books {cells['books']}, {cells['failed']} failed",
            is_kept,
        )
