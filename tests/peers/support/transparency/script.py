"""What a case is made of: acts of the client and of the server, and where a path may deviate."""

from dataclasses import dataclass, field, replace

from .context import ADDED

_MANY = 1_000
INBOUND, OUTBOUND, BOTH = "inbound", "outbound", "both"
PATHS = (INBOUND, OUTBOUND, BOTH)
"""The ways through spandrel that every case takes; the direct one says what they must show."""

END, RESET = "end", "reset"
"""How the other side of a connection has ended it, as seen at an end."""

HERE = b"here.test:00000"
"""Stands in a script for the authority that the request is for: the only bytes that differ between
the paths, because a sidecar finds the server by them. It is as long as what replaces it."""


@dataclass(frozen=True)
class Act:
    """One thing that one end does; `what` is the name of a method of the end."""

    side: str
    connection: int
    what: str
    arguments: tuple = ()

    def __str__(self):
        shown = ", ".join(_short(argument) for argument in self.arguments)
        return f"{self.side} {self.connection} {self.what} {shown}".rstrip()


@dataclass(frozen=True)
class Seen:
    """What an end has seen: everything received, and how the other side has ended it."""

    received: object
    ended: str = ""


@dataclass(frozen=True)
class Instead:
    """What one end sees during some acts where a path deviates; `None` is as it is directly."""

    side: str
    connection: int
    acts: tuple
    received: object = None
    ended: str | None = None

    def applied_to(self, seen):
        """What is seen, with what is seen instead."""
        if self.received is not None:
            seen = replace(seen, received=self.received)
        return seen if self.ended is None else replace(seen, ended=self.ended)


@dataclass(frozen=True)
class Deviation:
    """A deviation of the table in docs/transparency.md, and exactly what it looks like."""

    name: str
    instead: tuple
    on: tuple = PATHS
    requests: int | None = None
    """How many requests reach the server, where it is not as many as directly."""


@dataclass(frozen=True)
class Case:
    """A sentence, and the script that shows it."""

    title: str
    acts: tuple
    requests: int = 1
    """How many requests reach the server: in each, one line must be ours where it is added."""
    context: object = ADDED
    """What becomes of the trace context on the way."""
    deviations: tuple = ()
    paths: tuple = PATHS
    """Where the case makes sense; a path that is left out is told why in the table."""
    settings: dict = field(default_factory=dict)
    """How each end of an HTTP/2 connection sets itself up, by its name."""

    def __str__(self):
        return self.title.replace(" ", "-")


class Side:
    """An end of one connection, as scripts name it: each method gives one act."""

    def __init__(self, name, connection=0):
        self._name = name
        self._connection = connection

    def __getitem__(self, connection):
        return Side(self._name, connection)

    def __getattr__(self, what):
        if what.startswith("_"):
            raise AttributeError(what)
        return lambda *arguments: Act(self._name, self._connection, what, arguments)

    def instead_sees(self, acts, received=None, ended=None):
        """What this end sees during these acts of a path that deviates."""
        acts = tuple(acts) if not isinstance(acts, int) else (acts,)
        return Instead(self._name, self._connection, acts, received, ended)


client = Side("client")
server = Side("server")


def case(title, *acts, **more):
    """A case of acts and lists of acts."""
    return Case(title, tuple(_flat(acts)), **more)


def from_act(number):
    """An act and all that follow."""
    return range(number, _MANY)


def deviates(name, *instead, on=PATHS, requests=None):
    """The named deviation, on these paths."""
    return (Deviation(name, instead, on, requests),)


def _flat(acts):
    for act in acts:
        if isinstance(act, Act):
            yield act
        else:
            yield from _flat(act)


def _short(value, most=60):
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
