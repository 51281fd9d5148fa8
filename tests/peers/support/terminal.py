"""spandrel's commands that read traces, as somebody types them."""

import json
import subprocess
from dataclasses import dataclass

TIMEOUT = 60


@dataclass(frozen=True)
class Left:
    """What a command leaves."""

    code: int
    out: str
    err: str

    def good(self):
        """The output of a command that went well."""
        assert (self.code, self.err) == (0, ""), self
        return self.out

    def json(self):
        """The output of a command that went well, as JSON."""
        return json.loads(self.good())


class Terminal:
    """Asks one server."""

    def __init__(self, binary, url):
        self._binary = binary
        self._url = url

    def run(self, line):
        """Types `spandrel`, the line, and where the traces are."""
        command = [self._binary, *line.split(), "--from", self._url]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, env={}, check=False)
        return Left(done.returncode, done.stdout.decode(), done.stderr.decode())
