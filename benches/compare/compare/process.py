"""A program that runs: its processor time and memory, over all its processes."""

import signal
import subprocess
import time
from pathlib import Path

from support.memory import resident as now
from support.ports import accepts
from support.waiting import DEADLINE

TICK = 0.001
"""Seconds between two looks whether a program listens."""


class Program:
    """A program that was started here, and is ended here."""

    def __init__(self, command, folder, environment=None):
        self._log = folder / "log"
        self._begun = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )

    @property
    def pid(self):
        """The id of its first process."""
        return self._process.pid

    def pids(self, _protocol):
        """Those of its processes that serve a protocol (`http1`, `http2`)."""
        return [self.pid]

    def wait_for(self, *ports):
        """Waits until it listens on all of these; `took` is how long that was, in seconds."""
        try:
            while not all(self._listens(port) for port in ports):
                self.took = time.monotonic() - self._begun
                assert self.took < DEADLINE, self.said()
                time.sleep(TICK)
            self.took = time.monotonic() - self._begun
        except BaseException:
            self.close()
            raise

    def said(self):
        """What it wrote."""
        return f"{self._process.args[0]} does not listen; it said:\n{self._log.read_text()}"

    def close(self):
        """Ends it; one that does not want to end is killed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _listens(self, port):
        assert self._process.poll() is None, self.said()
        return accepts(port)


def processor_time(pids):
    """Nanoseconds that processes and their children have run, as the scheduler counts them."""
    return sum(
        int(Path(task, "schedstat").read_text().split()[0])
        for one in _families(pids)
        for task in Path(f"/proc/{one}/task").iterdir()
    )


def resident(pids):
    """Bytes of memory that processes and their children have."""
    return sum(now(one) for one in _families(pids))


def _families(pids):
    """The processes and all below them."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        children.setdefault(int(rest.split()[1]), []).append(int(stat.parent.name))
    families = list(pids)
    for one in families:
        families.extend(children.get(one, []))
    return families
