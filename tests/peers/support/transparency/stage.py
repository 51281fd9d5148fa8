"""Where scripts are played: a server, the ways to it, and turns in which both ends read and write.

Nothing is timed. An act is over when both ends have seen what they see directly; a request of our
own that then went the same way and back shows that nothing more was on its way. A deadline only
says when to give up.
"""

import select
import socket
import time
from dataclasses import dataclass

from ..ports import HOST
from .context import UNTOUCHED
from .ends import Bytes

DEADLINE = 10.0
"""Seconds that an act may take before what is missing counts as missing."""

_TURN_MS = 5
_ROUNDS = 3
_STILL = 20
_PROBE = b"PROBE "
_DIRECT = "direct"


@dataclass(frozen=True)
class Way:
    """A way to the server: where clients connect, and the authority that leads on from there."""

    name: str
    port: int
    authority: bytes

    @property
    def is_direct(self):
        """Whether there is no spandrel on it."""
        return self.name == _DIRECT


def direct(port):
    """The way without spandrel."""
    return Way(_DIRECT, port, authority(port))


def authority(port):
    """A port of this machine, as requests name it."""
    return f"{HOST}:{port}".encode()


class Stuck(AssertionError):
    """An act was not over in time."""


class Server:
    """A listening socket that lives for many scripts."""

    def __init__(self):
        self.socket = socket.create_server((HOST, 0), backlog=64)
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def close(self):
        """Ends it."""
        self.socket.close()


class Stage:
    """One playing of one script over one way; a context manager that ends every connection."""

    def __init__(self, server, way, kind=Bytes, settings=None):
        self._server = server
        self._way = way
        self._kind = kind
        self._settings = settings or {}
        self._newcomers = []
        self._probes = []
        self._probe = None
        self.clients = []
        self.servers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in self._all_ends():
            end.closes()

    def play(self, act):
        """Lets one end do something."""
        if (end := self._end(act.side, act.connection)) is not None:
            getattr(end, act.what)(*act.arguments)

    def seen(self, context):
        """What both ends of every connection have seen, by side and number."""
        seen = {("client", i): end.seen(UNTOUCHED) for i, end in enumerate(self.clients)}
        return seen | {("server", i): end.seen(context) for i, end in enumerate(self.servers)}

    def has_received(self, expected):
        """Whether as much has come as is expected: cheaper to know than what it is."""
        ends = {"client": self.clients, "server": self.servers}
        for (side, number), seen in expected.items():
            if number < len(ends[side]) and not ends[side][number].has_received(seen):
                return False
        return True

    def turn(self):
        """Lets every end that can read or write do so, and accepts who comes."""
        poll = select.poll()
        poll.register(self._server.socket, select.POLLIN)
        ends = {}
        for end in self._all_ends():
            reads, writes = end.wants()
            events = select.POLLIN * reads | select.POLLOUT * writes
            if events:
                poll.register(end.socket, events)
                ends[end.socket.fileno()] = end
        ready = poll.poll(_TURN_MS)
        for number, events in ready:
            end = ends.get(number)
            if end is None:
                self._accept()
                continue
            if events & select.POLLOUT and end.is_open:
                end.write()
            if events & ~select.POLLOUT and end.wants()[0]:
                end.read()
        self._sort_newcomers()
        return bool(ready)

    def turns_until(self, condition, what, deadline=DEADLINE):
        """Takes turns until the condition holds."""
        until = time.monotonic() + deadline
        while not condition():
            if time.monotonic() > until:
                raise Stuck(f"waited {deadline:g} s in vain for {what}")
            self.turn()

    def turns_until_nothing_moves(self, writer):
        """Takes turns until a writer can write no more, whatever else goes the same way."""
        still = 0
        while still < _STILL:
            before = writer.count_waiting()
            self.probe()
            still = still + 1 if writer.count_waiting() == before else 0

    def settle_directly(self):
        """Takes turns until everything that was sent has been seen: no more can come."""
        pairs = [*zip(self.clients, self.servers, strict=True)]
        self.turns_until(
            lambda: all(a.has_passed_to(b) and b.has_passed_to(a) for a, b in pairs),
            "the other end of a direct connection",
        )

    def probe(self):
        """Sends requests of our own the same way and back: what was on its way before has then
        been dealt with, as a sidecar has one thread."""
        if self._way.is_direct:
            return
        if self._probe is None:
            self._probe = self._connect(Bytes)
        for _ in range(_ROUNDS):
            answered = self._probe.count_received()
            head = _PROBE + b"/ HTTP/1.1\r\nHost: " + self._way.authority + b"\r\n\r\n"
            self._probe.sends(head)
            self.turns_until(lambda n=answered: self._is_probed(n), "a request of our own")

    def _is_probed(self, answered):
        for end in self._probes:
            while b"\r\n\r\n" in end.received:
                _, _, end.received = end.received.partition(b"\r\n\r\n")
                end.sends(b"HTTP/1.1 204 No Content\r\n\r\n")
        return self._probe.count_received() > answered

    def _end(self, side, number):
        ends = self.clients if side == "client" else self.servers
        if side == "client" and number == len(ends):
            ends.append(self._connect(self._kind, self._settings.get("client")))
            if self._way.is_direct:
                # Only spandrel keeps the server out of it until there is a request.
                self.turns_until(lambda: len(self.servers) == len(ends), "a connection")
        return ends[number] if number < len(ends) else None

    def _connect(self, kind, settings=None):
        connection = socket.create_connection((HOST, self._way.port), timeout=DEADLINE)
        end = kind(connection, self._way.authority, settings)
        end.opens("client")
        return end

    def _accept(self):
        try:
            connection, _ = self._server.socket.accept()
        except BlockingIOError:
            return
        if self._way.is_direct:
            self._welcome(connection)
        else:
            self._newcomers.append(Newcomer(connection))

    def _sort_newcomers(self):
        """Probes are told from the script's connections by their first bytes."""
        undecided = []
        for newcomer in self._newcomers:
            is_probe = newcomer.is_probe()
            if is_probe is None:
                undecided.append(newcomer)
            elif is_probe:
                self._probes.append(Bytes(newcomer.socket, self._way.authority))
            else:
                self._welcome(newcomer.socket)
        self._newcomers = undecided

    def _welcome(self, connection):
        end = self._kind(connection, self._way.authority, self._settings.get("server"))
        self.servers.append(end)
        end.opens("server")

    def _all_ends(self):
        probe = [self._probe] if self._probe else []
        return [*self.clients, *self.servers, *self._newcomers, *self._probes, *probe]


class Newcomer:
    """A connection of which it is not known yet whether it is a probe."""

    def __init__(self, connection):
        connection.setblocking(False)
        self.socket = connection

    def is_probe(self):
        """Whether it is; `None` while nothing tells."""
        try:
            first = self.socket.recv(len(_PROBE), socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except ConnectionError:
            return False
        if first and len(first) < len(_PROBE) and _PROBE.startswith(first):
            return None
        return first == _PROBE

    def wants(self):
        """It is only looked at."""
        return True, False

    def read(self):
        """It is only looked at."""

    def closes(self):
        """Ends it."""
        self.socket.close()
