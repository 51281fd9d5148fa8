"""wrk: as many requests as there can be, and how long each took."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field

_DONE = """\
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local times = {}
  for i = 1, #latency do
    local value, count = latency(i)
    times[i] = string.format('[%d,%d]', value, count)
  end
  io.write(string.format('\\nJSON {"requests": %d, "failed": %d, "times": [%s]}\\n',
    summary.requests, failed, table.concat(times, ',')))
end
"""


@dataclass
class Times:
    """What requests took, in microseconds, over any number of runs."""

    requests: int = 0
    failed: int = 0
    counts: dict = field(default_factory=dict)

    def add(self, other):
        """Adds another run."""
        self.requests += other["requests"]
        self.failed += other["failed"]
        for value, count in other["times"]:
            self.counts[value] = self.counts.get(value, 0) + count

    def percentile(self, share):
        """The time that this share of requests did not exceed."""
        rest = sum(self.counts.values()) * share
        for value in sorted(self.counts):
            rest -= self.counts[value]
            if rest <= 0:
                return value
        return None


class Wrk:
    """wrk with so many connections; each run is added to the times it is given."""

    def __init__(self, folder, connections=16, headers=()):
        self._program = shutil.which("wrk")
        assert self._program, "there is no wrk: install it (apt-get install wrk)"
        self._script = folder / "done.lua"
        self._script.write_text(_DONE)
        self._connections = connections
        self._headers = [word for header in headers for word in ("-H", header)]

    def run(self, url, seconds, times):
        """Asks for a URL as often as it can; gives the times of this run alone."""
        command = [self._program, "-t1", f"-c{self._connections}", f"-d{seconds}s"]
        done = subprocess.run(
            [*command, *self._headers, "-s", self._script, url],
            capture_output=True,
            text=True,
            timeout=seconds + 30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        line = next(line for line in done.stdout.splitlines() if line.startswith("JSON "))
        run, alone = json.loads(line.removeprefix("JSON ")), Times()
        for one in (times, alone):
            one.add(run)
        return alone
