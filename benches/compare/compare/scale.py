"""How far spandrel goes: workers, connections, callers, upstreams, and what each takes up."""

import socket
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import files, idle
from .load import Http1
from .measure import once
from .process import resident
from .silent import Silent
from support.h2raw import RawClient, request
from support.loop import Loop
from support.ports import HOST
from support.waiting import eventually

WORKERS = (1, 2, 4)
MANY = 20_000
"""Idle connections."""
CALLERS = UPSTREAMS = 500
WEBSOCKETS = 2_000
CONNECTIONS, STREAMS = 50, 100
"""Connections of HTTP/2, and streams on each that wait for an answer."""
ROOM = {"limits": {"connections": 65_536, "requests": 65_536}}
_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PATIENCE = 60


@dataclass(frozen=True)
class Row:
    """Something that was measured."""

    what: str
    found: str


def measure(ways, folder, is_brief):
    """All of it, on spandrel alone."""
    seconds = 1 if is_brief else 5
    part = 20 if is_brief else 1
    for workers in WORKERS:
        yield from _workers(ways, folder, workers, seconds)
    yield _idle(ways, folder, min(MANY // part, files.pairs()), 0 if is_brief else idle.QUIET)
    yield _fan_in(ways, folder, seconds)
    yield _fan_out(ways, folder, UPSTREAMS // part)
    with closing(Loop()) as loop:
        yield _websockets(ways, loop, folder, WEBSOCKETS // part)
        yield _streams(ways, loop, folder, CONNECTIONS // min(part, 10))


def _start(ways, folder, name, settings, backend=None):
    inside = folder / name.replace(" ", "-")
    return closing(ways.spandrel(name, inside, settings, backend))


def _workers(ways, folder, workers, seconds):
    """What each worker does of the load of connections that stay."""
    with _start(ways, folder, f"{workers} workers", {"workers": workers}) as way:
        load = Http1("/1k")
        load.run(way, 1, folder)
        before = _by_worker(way)
        cost = once(way, load, seconds, folder)
        spent = [after - since for after, since in zip(_by_worker(way), before, strict=True)]
    share = max(spent) / sum(spent)
    yield Row(
        f"{workers} workers, 64 connections",
        f"{cost.rate:,.0f} requests/s, {cost.processor:.1f} µs each; the busiest worker has "
        f"{share:.0%} of the work",
    )


def _by_worker(way):
    """Nanoseconds that each worker has run, by its name."""
    tasks = Path(f"/proc/{way.pids('http1')[0]}/task").iterdir()
    named = [(Path(t, "comm").read_text().strip(), Path(t, "schedstat")) for t in tasks]
    workers = sorted(one for one in named if one[0].startswith("worker-"))
    return [int(stat.read_text().split()[0]) for _, stat in workers]


def _idle(ways, folder, connections, quiet):
    with _start(ways, folder, "idle many", ROOM) as way:
        before, held = idle.memory(way, connections, quiet)
    each = (held - before) / connections / 1024
    return Row(f"{connections:,} idle connections", f"{held / 2**20:.1f} MiB, {each:.1f} KiB each")


def _fan_in(ways, folder, seconds):
    with _start(ways, folder, "fan in", ROOM) as way:
        cost = once(way, Http1("/1k", CALLERS), seconds, folder)
    return Row(
        f"{CALLERS} callers",
        f"{cost.rate:,.0f} requests/s, {cost.processor:.1f} µs each, "
        f"p99 {cost.p99 / 1_000:.1f} ms, {cost.failed:.0f} failed",
    )


def _fan_out(ways, folder, upstreams):
    """One caller asks many applications, each of an address of its own, by one sidecar."""
    with ExitStack() as stack:
        way = stack.enter_context(_start(ways, folder, "fan out", ROOM | {"outbound": {}}))
        port = way.outbound
        clients = [
            stack.enter_context(closing(_through(port, _address(n), ways.backend.http1)))
            for n in range(upstreams)
        ]
        memory = resident(way.pids("http1"))
    return Row(f"{len(clients)} upstreams", f"each answered; {memory / 2**20:.1f} MiB")


def _address(number):
    """An address of loopback for each."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


def _through(port, address, to):
    client = socket.create_connection((HOST, port), timeout=10)
    client.sendall(f"GET http://{address}:{to}/100 HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    answer = client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return client


@contextmanager
def _silent(ways, loop, folder, name):
    """A way to an application that never answers, and that application."""
    with closing(Silent(loop)) as app, _start(ways, folder, name, ROOM, app) as way:
        yield way, app


def _websockets(ways, loop, folder, count):
    with ExitStack() as stack:
        way, _ = stack.enter_context(_silent(ways, loop, folder, "websockets"))
        before = resident(way.pids("http1"))
        for _ in range(count):
            client = socket.create_connection((HOST, way.http1), timeout=10)
            stack.enter_context(closing(client))
            client.sendall(_UPGRADE)
            assert client.recv(4096).startswith(b"HTTP/1.1 101")
        each = (resident(way.pids("http1")) - before) / count / 1024
    return Row(f"{count:,} WebSockets", f"{each:.1f} KiB each")


def _streams(ways, loop, folder, connections):
    with ExitStack() as stack:
        way, app = stack.enter_context(_silent(ways, loop, folder, "streams"))
        before = resident(way.pids("http2"))
        for _ in range(connections):
            client = stack.enter_context(RawClient(way.http2))
            for number in range(STREAMS):
                client.send(request(2 * number + 1))
        count = connections * STREAMS
        eventually(lambda: app.held == count, lambda: f"{app.held} of {count} streams", PATIENCE)
        each = (resident(way.pids("http2")) - before) / count / 1024
    return Row(f"{count:,} streams of HTTP/2 on {connections} connections", f"{each:.1f} KiB each")
