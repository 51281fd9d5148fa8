"""The decision tables of W3C Trace Context, Level 2: what comes in, and what must go on."""

from dataclasses import dataclass, field

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
IDS = f"{TRACE}-{SPAN}"
GOOD = f"00-{IDS}-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_TWO_PARENTS = [("traceparent", GOOD), ("traceparent", OTHER)]


@dataclass(frozen=True)
class Case:
    """Header lines, and what becomes of the trace."""

    title: str
    lines: list
    trace_id: str | None
    """The trace that goes on; `None` where a new one begins."""
    flags: str = "01"
    state: list = field(default_factory=list)
    """The members of the tracestate that goes on."""
    http1_only: bool = False
    """Whether the lines cannot be said in HTTP/2."""

    def __str__(self):
        return self.title.replace(" ", "-")


def _continues(title, traceparent, flags="01", **others):
    return Case(title, [("traceparent", traceparent)], TRACE, flags, **others)


def _restarts(title, traceparent):
    """Where a new trace begins, the tracestate of the old one is dropped."""
    return Case(title, [("traceparent", traceparent), ("tracestate", "a=1")], None)


TRACEPARENT = [
    Case("no context at all", [], None),
    Case("a tracestate alone", [("tracestate", "a=1")], None),
    _continues("version 00", GOOD),
    _continues("a sampled and random trace", f"00-{IDS}-03", "03"),
    _continues("unknown flags beside the known ones", f"00-{IDS}-ff", "03"),
    _continues("an unknown flag beside the sampled one", f"00-{IDS}-09"),
    _continues("white space around the value", f" \t{GOOD}\t ", http1_only=True),
    Case("another case of the name", [("TraceParent", GOOD)], TRACE, http1_only=True),
    Case("upper case of the name", [("TRACEPARENT", GOOD)], TRACE, http1_only=True),
    _continues("a future version", f"01-{IDS}-01"),
    _continues("the last future version", f"fe-{IDS}-01"),
    _continues("a future version with more", f"cc-{IDS}-01-what-the-future-holds"),
    _continues("a future version with a dash", f"cc-{IDS}-01-"),
    _continues("a future version with unknown flags", f"cc-{IDS}-0d-more"),
    _restarts("a future version with something else", f"cc-{IDS}-01.what"),
    _restarts("a future version that is too short", f"cc-{IDS}-0"),
    _restarts("version ff", f"ff-{IDS}-01"),
    _restarts("version ff with more", f"ff-{IDS}-01-more"),
    _restarts("a version of one digit", f"0-{IDS}-01"),
    _restarts("a version of three digits", f"000-{IDS}-01"),
    _restarts("a version that is no number", f"xx-{IDS}-01"),
    _restarts("a version with a sign", f"+0-{IDS}-01"),
    _restarts("a version with a dot", f".0-{IDS}-01"),
    _restarts("version 00 with a dash after it", f"{GOOD}-"),
    _restarts("version 00 with a dot after it", f"{GOOD}."),
    _restarts("version 00 with more after it", f"{GOOD}-xyz"),
    _restarts("version 00 with another digit", f"{GOOD}0"),
    _restarts("no flags", f"00-{IDS}"),
    _restarts("empty flags", f"00-{IDS}-"),
    _restarts("flags of one digit", f"00-{IDS}-1"),
    _restarts("flags of three digits", f"00-{IDS}-001"),
    _restarts("flags that are no number", f"00-{IDS}-.0"),
    _restarts("flags in upper case", f"00-{IDS}-FF"),
    _restarts("a trace id of zeros", f"00-{'0' * 32}-{SPAN}-01"),
    _restarts("a parent id of zeros", f"00-{TRACE}-{'0' * 16}-01"),
    _restarts("a trace id in upper case", f"00-{TRACE.upper()}-{SPAN}-01"),
    _restarts("a parent id in upper case", f"00-{TRACE}-{SPAN.upper()}-01"),
    _restarts("a trace id of 30 digits", f"00-{TRACE[:30]}-{SPAN}-01"),
    _restarts("a trace id of 31 digits", f"00-{TRACE[:31]}-{SPAN}-01"),
    _restarts("a trace id of 33 digits", f"00-{TRACE}1-{SPAN}-01"),
    _restarts("a trace id that is no number", f"00-.{TRACE[1:]}-{SPAN}-01"),
    _restarts("a parent id of 15 digits", f"00-{TRACE}-{SPAN[:15]}-01"),
    _restarts("a parent id of 17 digits", f"00-{IDS}1-01"),
    _restarts("a parent id that is no number", f"00-{TRACE}-.{SPAN[1:]}-01"),
    _restarts("other separators", GOOD.replace("-", "_")),
    _restarts("55 bytes without a separator", "0" * 54 + "1"),
    _restarts("an empty value", ""),
    _restarts("two values in one line", f"{GOOD},{OTHER}"),
    Case("two lines of different traces", _TWO_PARENTS, None),
    Case(
        "a good line and a bad one, with a tracestate",
        [("traceparent", GOOD), ("traceparent", "bad"), ("tracestate", "a=1")],
        None,
    ),
]
"""Section 3.2, "traceparent Header", and section 4.3, "Versioning of traceparent"."""


def _state(title, *values, kept=None, **others):
    lines = [("traceparent", GOOD), *(("tracestate", value) for value in values)]
    return Case(title, lines, TRACE, state=kept or [], **others)


def _keeps(title, *values, **others):
    """A list that goes on with its members in order; empty ones count for nothing."""
    return _state(title, *values, kept=members(values), **others)


def members(values):
    """The members of the list that some header lines make together."""
    every = [member.strip(" \t") for member in ",".join(values).split(",")]
    return [member for member in every if member]


def _many(count):
    return ",".join(f"key{number}=value-number-{number}" for number in range(count))


TRACESTATE = [
    _keeps("one member", "a=1"),
    _keeps("several members in order", "b=2,a=1,c=3"),
    _keeps("several lines", "a=1,b=2", "c=3", "d=4"),
    _keeps("an empty line among others", "a=1", "", "b=2"),
    _keeps("empty members", "a=1,,b=2,"),
    _keeps("white space between members", "a=1 , b=2\t,\tc=3"),
    _keeps("white space around the value", " a=1,b=2 ", http1_only=True),
    _keeps("a space within a value", "a=x y,b=2"),
    _keeps("every character a value may have", "a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~"),
    _keeps("every character a key may have", "a0_-*/z=1"),
    _keeps("a key that begins with a digit", "0a=1"),
    _keeps("the key of a tenant", "tenant@system=1"),
    _keeps("a key that ends with an at sign", "foo@=1"),
    _keeps("a key with two at signs", "foo@@bar=1,bar=2"),
    _keeps("a long system after the at sign", f"t@{'v' * 15}=1"),
    _keeps("the longest key", f"{'k' * 256}=1"),
    _keeps("the longest value", f"a={'v' * 256}"),
    _keeps("32 members of more than 512 characters", _many(32)),
    _keeps("32 members over two lines", _many(16), _many(16)),
    _keeps("a key that is there twice", "a=1,a=1"),
    _state("33 members", _many(33)),
    _state("33 members over two lines", _many(16), _many(17)),
    _state("a key without a value", "a=1,b"),
    _state("an empty value", "a=,b=3"),
    _state("an empty key", "=1,b=3"),
    _state("two equals signs", "a=b=c"),
    _state("a key in upper case", "FOO=1"),
    _state("a key with a dot", "foo.bar=1"),
    _state("a key that begins with an at sign", "@foo=1,bar=2"),
    _state("a space after a key", "foo =1"),
    _state("a key that is too long", f"{'k' * 257}=1"),
    _state("a value that is too long", f"a={'v' * 257}"),
    Case("beside two parents", [*_TWO_PARENTS, ("tracestate", "a=1")], None),
]
"""Section 3.3, "tracestate Header"."""

UNSAMPLED = [
    [("traceparent", f"00-{IDS}-00")],
    [("traceparent", f"00-{IDS}-02"), ("tracestate", "a=1")],
    [("traceparent", f"cc-{IDS}-00-what-the-future-holds"), ("tracestate", "b=2,,a=1")],
    [("TraceParent", f"00-{IDS}-00"), ("TraceState", "a=1"), ("tracestate", "b=2")],
]
"""Contexts whose trace is not recorded: nothing of them may change."""
