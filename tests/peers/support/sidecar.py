"""spandrel as a process: started, watched, asked for its numbers, and ended."""

import contextlib
import os
import signal
import socket
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from .collector import HTTP
from .memory import most_resident
from .metrics import Books, Metrics
from .ports import HOST, free_port
from .waiting import DEADLINE, eventually

PROJECT = Path(__file__).resolve().parents[3]
"""The root of the project."""

END = 30.0
"""Seconds that spandrel has to end after SIGTERM."""

_SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
"""Spans are sent soon, so that tests need not wait: as environment, and as setting of a file."""
_SOON_SETTINGS = {"export.batch.schedule_delay": "100ms"}


def find_binary():
    """The binary of SPANDREL_BIN, else of the release build, else of the debug build."""
    if named := os.environ.get("SPANDREL_BIN"):
        candidates = [PROJECT / named]
    else:
        candidates = [PROJECT / f"target/{profile}/spandrel" for profile in ("release", "debug")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = " nor ".join(map(str, candidates))
    raise AssertionError(f"there is no {tried}: build spandrel, or name it by SPANDREL_BIN")


@dataclass(frozen=True)
class Plan:
    """What a sidecar is told."""

    service: str
    app: int
    protocol: str = HTTP
    settings: dict = None
    """Settings beyond the flags, by dotted key; if there are any, all go into a file."""
    environment: dict = None


class Sidecar:
    """One running `spandrel run`; a context manager that ends it and looks at how it ended."""

    def __init__(self, binary, plan, collector, folder):
        self.inbound, self.outbound, self._admin = free_port(), free_port(), free_port()
        arguments = self._arguments(plan, collector.endpoint(plan.protocol), folder)
        self._begin([binary, "run", *arguments], plan, collector, folder)

    def _begin(self, command, plan, collector, folder):
        """Starts the process."""
        self.service = plan.service
        self._collector = collector
        self._stderr = folder / f"{plan.service}.stderr"
        self._stdout = folder / f"{plan.service}.stdout"
        with self._stderr.open("ab") as stderr, self._stdout.open("ab") as out, self._inside():
            self._process = subprocess.Popen(
                command,
                env=_environment(plan),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=stderr,
            )
        self._is_ended = False

    def _inside(self):
        """Where it runs: here."""
        return contextlib.nullcontext()

    def _arguments(self, plan, endpoint, folder):
        addresses = {
            "inbound": f"{HOST}:{self.inbound}",
            "app": f"{HOST}:{plan.app}",
            "outbound": f"{HOST}:{self.outbound}",
            "service": plan.service,
            "otlp": endpoint,
            "admin": f"{HOST}:{self._admin}",
        }
        if not plan.settings:
            return [text for flag, value in addresses.items() for text in (f"--{flag}", value)]
        keys = {
            "inbound": "inbound.listen",
            "app": "inbound.app",
            "outbound": "outbound.listen",
            "service": "service.name",
            "otlp": "export.otlp.endpoint",
            "admin": "admin.listen",
        }
        addressed = {keys[flag]: value for flag, value in addresses.items()}
        return ["--config", write_settings(addressed | plan.settings, plan.service, folder)]

    def __enter__(self):
        try:
            eventually(self._is_ready, lambda: f"readiness; it said:\n{self.stderr()}")
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, error, *_):
        if error is None:
            self.stop()
        else:
            self._kill()
        print(f"--- {self.service} said:\n{self.stderr()}")

    def inbound_url(self, path="/"):
        """A URL at the inbound listener."""
        return f"http://{HOST}:{self.inbound}{path}"

    @property
    def proxy(self):
        """The outbound listener, as HTTP_PROXY names it."""
        return f"http://{HOST}:{self.outbound}"

    @property
    def pid(self):
        """The process's id."""
        return self._process.pid

    def peak_memory(self):
        """The most resident memory that the process ever had, in bytes."""
        return most_resident(self.pid)

    def stderr(self):
        """What it has said."""
        return self._stderr.read_text(errors="replace")

    def stdout(self):
        """What it has written to standard output."""
        return self._stdout.read_text(errors="replace")

    def metrics(self):
        """A reading of its metrics."""
        return Metrics(self._admin_get("/metrics"))

    def page(self, path):
        """A page of its admin address."""
        return self._admin_get(path)

    def books(self, destination="otlp"):
        """A reading of its books, which balance in every reading."""
        books = Books.read(self.metrics(), destination)
        books.assert_balanced()
        return books

    def wait_for_books(self, condition, deadline=DEADLINE, destination="otlp"):
        """Reads the books until `condition` holds of them; every reading balances."""
        last = None

        def read():
            nonlocal last
            last = self.books(destination)
            return last if condition(last) else None

        return eventually(read, lambda: f"other books than {last}", deadline)

    def spans(self, count):
        """Its spans: waits for `count` of them, ends it, and sees that there are no more."""
        self._collector.wait_for(count, self.service)
        self.stop()
        spans = self.all_spans()
        assert len(spans) == count, [(s.kind, s.name, s.attributes) for s in spans]
        assert len({span.span_id for span in spans}) == count, "a span id is there twice"
        return spans

    def span(self):
        """Its only span."""
        return self.spans(1)[0]

    def all_spans(self):
        """Its spans so far."""
        return self._collector.spans(self.service)

    def terminate(self):
        """Sends SIGTERM and does not wait."""
        os.kill(self.pid, signal.SIGTERM)

    def wait_for_drain(self):
        """Waits until it says that it is not ready, or takes no more connections."""
        eventually(self._is_draining, "a drain to begin")

    def stop(self):
        """Ends it, unless it has ended, and sees that it ended well."""
        if self._is_ended:
            return
        try:
            if self._process.poll() is None:
                self.books()
                self.terminate()
            self.wait()
        finally:
            self._kill()

    def wait(self):
        """Waits for its end, and sees that it ended well."""
        eventually(
            lambda: self._process.poll() is not None,
            lambda: f"its end; it said:\n{self.stderr()}",
            END,
        )
        self._is_ended = True
        code = self._process.returncode
        assert code == 0, f"exit code {code}:\n{self.stderr()}"
        assert "panicked" not in self.stderr(), self.stderr()

    def crash(self):
        """Ends it as nobody expects: it can do nothing about it."""
        self._kill()

    def _kill(self):
        """Ends it at once, if it has not ended."""
        self._is_ended = True
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(END)

    def _is_ready(self):
        assert self._process.poll() is None, f"it has ended:\n{self.stderr()}"
        return self._says_ready()

    def _says_ready(self):
        try:
            self._admin_get("/ready")
        except OSError:
            return False
        return True

    def _is_draining(self):
        if not self._says_ready():
            return True
        try:
            socket.create_connection((HOST, self.inbound), timeout=1).close()
        except OSError:
            return True
        return False

    def _admin_get(self, path):
        url = f"http://{HOST}:{self._admin}{path}"
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with self._inside(), no_proxy.open(url, timeout=5) as response:
            return response.read().decode()


def write_settings(settings, service, folder):
    """Writes settings by dotted key, by which spans are sent soon; gives the path."""
    path = folder / f"{service}.yaml"
    path.write_text(yaml.safe_dump(_tree(_SOON_SETTINGS | settings)))
    path.chmod(0o644)  # whoever spandrel runs as reads it
    return str(path)


def inherited():
    """The environment less what would change spandrel's settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "SPANDREL_"))}


def _environment(plan):
    """The environment less what would change spandrel's settings, and what the plan says."""
    soon = {} if plan.settings else _SOON
    protocol = {"OTEL_EXPORTER_OTLP_PROTOCOL": plan.protocol}
    return inherited() | soon | protocol | (plan.environment or {})


def _tree(settings):
    """Settings by dotted key as nested mappings."""
    tree = {}
    for key, value in settings.items():
        *folders, leaf = key.split(".")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[leaf] = value
    return tree
