"""Load, bounded in connections and time, by programs that nobody here wrote."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass

from support.sidecar import PROJECT
from support.wrk import Times, Wrk

CONNECTIONS = 64
"""Connections where a scenario is not about their number."""
SPARE = 30
"""Seconds that a load may take beyond its time."""


@dataclass(frozen=True)
class Done:
    """What came of a load; times in microseconds."""

    requests: int
    failed: int
    seconds: float
    p50: float
    p99: float


class Http1:
    """As many requests over HTTP/1.1 as there can be, by wrk."""

    protocol = "http1"

    def __init__(self, path, connections=CONNECTIONS, keeps_alive=True):
        self._path, self._connections = path, connections
        self._headers = () if keeps_alive else ("Connection: close",)

    def run(self, way, seconds, folder):
        """Asks for its file by this way."""
        wrk = Wrk(folder, self._connections, self._headers)
        times = wrk.run(f"http://127.0.0.1:{way.http1}{self._path}", seconds, Times())
        return _done(times, seconds)


class Paced:
    """Requests over HTTP/1.1 at a rate, by callers that come at random, each by itself."""

    protocol = "http1"
    MOST = 1_000_000
    """A rate that nothing answers: the callers ask as often as they can."""

    def __init__(self, path, rate=MOST):
        self._path, self._rate = path, rate

    def run(self, way, seconds, _folder):
        """Asks for its file by this way."""
        words = [way.http1, self._path, self._rate, CONNECTIONS, seconds]
        done = subprocess.run(
            [PROJECT / "target/release/examples/pace", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=seconds + SPARE,
            check=True,
        )
        times = Times()
        times.add(json.loads(done.stdout))
        return _done(times, seconds)


class Bursts:
    """Requests over HTTP/1.1 at a rate, by h2load: each 10 ms those that are due, all at once."""

    protocol = "http1"
    CONNECTIONS = 16

    def __init__(self, path, rate):
        self._path, self._rate = path, rate

    def run(self, way, seconds, folder):
        """Asks for its file by this way."""
        each = max(1, round(self._rate / self.CONNECTIONS))
        words = ["--h1", f"--rps={each}", "-c", self.CONNECTIONS]
        return _h2load([*words, f"http://127.0.0.1:{way.http1}{self._path}"], seconds, folder)


class Http2:
    """As many requests over HTTP/2 as there can be, by h2load."""

    protocol = "http2"
    CONNECTIONS, STREAMS = 16, 4

    def __init__(self, path, headers=(), body=None):
        self._path, self._headers, self._body = path, headers, body

    def run(self, way, seconds, folder):
        """Asks for its file by this way."""
        words = ["-c", self.CONNECTIONS, "-m", self.STREAMS]
        for header in self._headers:
            words += ["-H", header]
        if self._body is not None:
            body = folder / "request"
            body.write_bytes(self._body)
            words += ["-d", body]
        return _h2load([*words, f"http://127.0.0.1:{way.http2}{self._path}"], seconds, folder)


def _done(times, seconds):
    return Done(
        times.requests, times.failed, seconds, times.percentile(0.5), times.percentile(0.99)
    )


def _h2load(words, seconds, folder):
    program = shutil.which("h2load")
    assert program, "there is no h2load: install it (apt-get install nghttp2-client)"
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = [program, f"--duration={seconds:g}", f"--log-file={log}", *words]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=seconds + SPARE,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("requests:"))
    said = {word: int(count) for count, word in re.findall(r"(\d+) ([a-z]+)", line)}
    good, bad = map(int, re.search(r"status codes: (\d+) 2xx, .* (\d+) 5xx", done.stdout).groups())
    times = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
    return Done(
        good, bad + said["errored"] + said["timeout"], seconds,
        _percentile(times, 0.5), _percentile(times, 0.99),
    )  # fmt: skip


def _percentile(times, share):
    return times[min(len(times) - 1, int(len(times) * share))] if times else 0
