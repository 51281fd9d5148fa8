"""What a receiver at fault does to requests, memory and spans at full load; prints a table.

    target/peers/bin/python tests/peers/measure_export.py [SECONDS] [FAULT ...]
    target/peers/bin/python tests/peers/measure_export.py kills [KILLS]

Two sidecars in front of one nginx are loaded by wrk in turn, in slices and in a random order: the
receiver of one is healthy, that of the other is at fault for all of its SECONDS (60 unless said
otherwise), which are followed by its recovery. The 99th percentiles are compared over all slices
and pair by pair, of which the median does not change with the speed of the machine. Both keep a spool, unless `--no-spool` is said.
`kills` ends a sidecar so many times (100) by `kill -9` under load. Needs wrk and nginx, root for
the fault `names`, and SPANDREL_BIN or a release build.
"""

import contextlib
import io
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from support.apps.nginx import Nginx
from support.apps.web import WebApp
from support.collector import GRPC, HTTP, PROTOCOLS
from support.faulty import certificates, modes
from support.faulty.receiver import FaultReceiver
from support.host import NAME, HostSidecar, Names
from support.lives import Lives
from support.loop import Loop
from support.memory import most_resident
from support.sidecar import Plan, Sidecar, find_binary
from support.wrk import Times, Wrk

SECONDS = 60
SLICE = 2
KILLS = 100
LONGEST = 6.0
"""Seconds that a life lasts at most; the disk is used from the second failure on."""
RECOVERY = 600
"""Seconds that the recovery may take."""
NAMES = "names"
"""The fault that the receiver's name leads nowhere."""
ALL = [
    modes.HEALTHY,
    modes.REFUSED,
    modes.BLACK_HOLE,
    modes.UNAVAILABLE,
    modes.UNAVAILABLE_HINT,
    modes.BUSY,
    modes.BUSY_HINT,
    modes.BAD,
    modes.PARTIAL,
    modes.RESET,
    modes.GARBAGE,
    modes.SLOW,
    modes.EXPIRED,
    modes.RESTARTING,
    modes.LARGE,
    NAMES,
]
"""The faults, and no fault at all, which says how far two healthy sidecars are apart."""
TAKES_NOTHING = (modes.UNAVAILABLE, modes.REFUSED)
WAYS = (modes.HEALTHY, modes.RESET, modes.SLOW, *TAKES_NOTHING)
"""What the receiver does while a sidecar is killed."""
SPOOL = {"export.spool.max_bytes": "2GiB", "export.spool.replay_rate": "64MiB"}
COLUMNS = (
    "fault", "protocol", "requests", "failed", "p50 beside", "p50", "p99 beside", "p99", "p99 more",
    "by pairs", "RSS beside", "RSS", "spans", "exported", "dropped", "twice", "recovered in", "books",
)  # fmt: skip


def main():
    """Measures and prints."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if words[:1] == ["kills"]:
        kill(int(words[1]) if len(words) > 1 else KILLS)
        return
    seconds = int(words.pop(0)) if words and words[0].isdigit() else SECONDS
    print(f"{seconds} s each; times in milliseconds, memory in MiB\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for fault in words or ALL:
        for protocol in PROTOCOLS:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                Measure(Path(folder), stack, fault, protocol).run(seconds)


class Measure:
    """One fault by one protocol."""

    def __init__(self, folder, stack, fault, protocol):
        self._folder, self._stack = folder, stack
        self._fault, self._protocol = fault, protocol
        self._nginx = stack.enter_context(closing(Nginx(self._made("nginx"))))
        (self._nginx.files / "page").write_text("hello\n")
        self._wrk = Wrk(folder)
        tls = certificates.make(folder / "tls") if fault == modes.EXPIRED else None
        self._names = Names(folder) if fault == NAMES else None
        self._beside, self._faulty = (
            stack.enter_context(closing(FaultReceiver(tls))) for _ in range(2)
        )
        self._ways = {
            "beside": self._sidecar("beside", self._beside),
            "faulty": self._sidecar("faulty", self._faulty),
        }

    def run(self, seconds):
        """Measures, waits for the recovery, and prints a line."""
        times = {name: Times() for name in self._ways}
        pairs = []
        for proxy in self._ways.values():
            self._wrk.run(proxy.inbound_url("/page"), 2, Times())
        self._begin()
        for _ in range(max(1, seconds // SLICE)):
            pair = {}
            for name in random.sample(list(self._ways), len(self._ways)):
                pair[name] = self._wrk.run(self._ways[name].inbound_url("/page"), SLICE, times[name])
            pairs.append(pair["faulty"].percentile(0.99) / pair["beside"].percentile(0.99))
        most = {name: most_resident(proxy.pid) for name, proxy in self._ways.items()}
        self._end()
        began = time.monotonic()
        settled = {
            name: proxy.wait_for_books(lambda books: books.waiting == 0, RECOVERY)
            for name, proxy in self._ways.items()
        }
        took = time.monotonic() - began
        self._print(times, pairs, most, settled["faulty"], took)

    def _begin(self):
        if self._names:
            self._names.forget()
            # Whoever is connected stays so: the name is asked for by who must connect.
            self._faulty.switch(modes.REFUSED)
        else:
            self._faulty.switch(self._fault)

    def _end(self):
        if self._names:
            self._names.know("127.0.0.1")
        self._faulty.switch(modes.HEALTHY)

    def _print(self, times, pairs, most, books, took):
        beside, faulty = times["beside"], times["faulty"]
        p99 = [of.percentile(0.99) for of in (beside, faulty)]
        report = self._faulty.report()
        proxy = self._ways["faulty"]
        requests = proxy.metrics().sum("spandrel_requests_total", direction="inbound")
        wrong = []
        if books.created != requests:
            wrong.append(f"{requests:.0f} requests")
        if report["acknowledged"] != books.exported:
            wrong.append(f"{report['acknowledged']} acknowledged")
        if report["unheard"]:
            wrong.append(f"{report['unheard']} taken and given up")
        cells = [
            self._fault, self._protocol, faulty.requests, beside.failed + faulty.failed,
            *(f"{of.percentile(0.5) / 1_000:.2f}" for of in (beside, faulty)),
            *(f"{value / 1_000:.2f}" for value in p99), f"{p99[1] / p99[0] - 1:+.1%}",
            f"{statistics.median(pairs) - 1:+.1%}",
            *(most[name] // 2**20 for name in ("beside", "faulty")),
            books.created, books.exported, books.dropped, report["twice"], f"{took:.1f} s",
            ", ".join(wrong) or "balance",
        ]  # fmt: skip
        print(f"| {' | '.join(map(str, cells))} |", flush=True)

    def _sidecar(self, name, receiver):
        settings = {
            "export.otlp.protocol": self._protocol,
            "export.batch.schedule_delay": "1s",
        }
        if "--no-spool" not in sys.argv:
            settings |= SPOOL | {"export.spool.directory": str(self._folder / f"{name}-spool")}
        if self._fault == modes.EXPIRED:
            settings["export.otlp.certificate"] = receiver.authority
        plan = Plan(
            service=name, app=self._nginx.port, protocol=self._protocol, settings=settings
        )
        how = (find_binary(), plan, receiver, self._made(name))
        if self._names and name == "faulty":
            self._names.know("127.0.0.1")
            named = _Named(receiver)
            sidecar = HostSidecar(self._names.mounts(), how[0], plan, named, how[3])
        else:
            sidecar = Sidecar(*how)
        return self._stack.enter_context(_Silent(sidecar))

    def _made(self, name):
        folder = self._folder / name
        folder.mkdir()
        folder.chmod(0o755)
        return folder


class _Named:
    """A receiver that is called by name."""

    def __init__(self, receiver):
        self._receiver = receiver

    def endpoint(self, protocol):
        return self._receiver.endpoint(protocol, NAME)


class _Silent:
    """A sidecar whose words are not printed."""

    def __init__(self, sidecar):
        self._sidecar = sidecar

    def __enter__(self):
        return self._sidecar.__enter__()

    def __exit__(self, *_):
        self._sidecar.stop()


def kill(kills):
    """Ends a sidecar so many times, and prints what became of the spans."""
    print("| protocol | kills | requests | arrived | on disk at a kill | not found there | malformed "
          "| acknowledged twice | lost, and how long before its kill at most |")  # fmt: skip
    print(f"|{'---|' * 9}", flush=True)
    for protocol in (GRPC, HTTP):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            loop = stack.enter_context(closing(Loop()))
            web = stack.enter_context(closing(WebApp(loop)))
            receiver = stack.enter_context(closing(FaultReceiver(notes=True)))
            settings = {"export.otlp.protocol": protocol, "export.otlp.timeout": "3s"}
            lives = Lives(find_binary(), Path(folder), loop, receiver, web.port, settings)
            with contextlib.redirect_stdout(io.StringIO()):  # what sidecars say
                chosen, kept, absent = live_and_die(lives, receiver, kills)
                receiver.switch(modes.HEALTHY)
                with lives.start() as proxy:
                    proxy.wait_for_books(lambda books: books.waiting == 0, RECOVERY)
            paths, report = receiver.paths(), receiver.report()
            asked = sum(len(life.answered_at) for life in lives.all)
            cells = [protocol, kills, asked, len(paths), kept, absent, len(report["malformed"]),
                     report["twice"], losses(chosen, lives, paths)]  # fmt: skip
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def live_and_die(lives, receiver, kills):
    """So many lives; gives what the receiver did in each, how many spans were on disk at the kills
    after which nothing could leave it, and how many of these the next life did not find."""
    chance = random.Random()
    chosen, kept, absent = [], 0, 0
    on_disk = None
    for _ in range(kills):
        chosen.append(chance.choice(WAYS))
        receiver.switch(chosen[-1])
        length = chance.uniform(0.05, LONGEST)
        found = None if on_disk is None else lambda books, least=on_disk: books.recovered >= least
        lives.live(1, lambda length=length: time.sleep(length), found)
        books = lives.all[-1].books
        if on_disk is not None:
            kept, absent = kept + on_disk, absent + max(0, on_disk - books.recovered)
        on_disk = books.spooled if chosen[-1] in TAKES_NOTHING else None
    return chosen, kept, absent


def losses(chosen, lives, paths):
    """What was lost, by what the receiver did."""
    parts = []
    for mode in WAYS:
        missing = [life.missing(paths) for way, life in zip(chosen, lives.all, strict=True)
                   if way == mode]  # fmt: skip
        latest = max((age for ages in missing for age in ages.values()), default=0.0)
        parts.append(f"{mode} {sum(map(len, missing))}, {latest:.1f} s")
    return "; ".join(parts)


if __name__ == "__main__":
    main()
