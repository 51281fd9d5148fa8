"""Origins of HTTP/2 that keep no rules: a caller gets a 502 or a reset, never what is malformed.

RFC 9113, section 8.1.1: an intermediary does not forward what is malformed.
"""

import struct
from contextlib import closing
from dataclasses import dataclass

import pytest
from hyperframe.frame import DataFrame

from support.h2raw import (
    CODES,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PUSH_PROMISE,
    SETTINGS,
    WINDOW_UPDATE,
    RawClient,
    RawOrigin,
    answer_head,
    block,
    frame,
    head,
    name,
    ordinary,
    request,
    reset,
    window,
)
from support.waiting import eventually

PROTOCOL = "RST_STREAM PROTOCOL_ERROR"
OK = (":status", "200")
ALL = END_HEADERS | END_STREAM


@dataclass(frozen=True)
class Case:
    """What an origin does, and what its caller gets."""

    section: str
    sentence: str
    expected: object
    frames: object
    """The frames for a stream."""
    method: str = "GET"

    def __str__(self):
        return f"{self.section} {self.sentence}"


def response(section, sentence, *fields, expected=502, flags=ALL, **more):
    """A response of a head alone."""
    return Case(section, sentence, expected, lambda s: answer_head(s, fields, flags), **more)


def after_head(section, sentence, *rest, expected=PROTOCOL, fields=()):
    """Something odd behind a head that is in order: kind, flags, payload."""

    def frames(stream):
        return answer_head(stream, [OK, *fields]) + b"".join(
            frame(kind, flags, stream, payload) for kind, flags, payload in rest
        )

    return Case(section, sentence, expected, frames)


def instead(section, sentence, frames, expected=502):
    """Something odd in the place of a response."""
    return Case(section, sentence, expected, frames)


def _data(payload, flags=0):
    return DATA, flags, payload


def _trailers(*fields, flags=ALL):
    return HEADERS, flags, block(fields)


TABLE = [
    response("8.3.2", "a status is there", ("n", "v")),
    response("8.3.2", "a status is there once", OK, OK),
    response("8.3.2", "a status comes first", ("n", "v"), OK),
    response("8.3.2", "a status has three digits", (":status", "20")),
    response("8.3.2", "a status is a number", (":status", "abc")),
    response("8.3.2", "a status has no more than three digits", (":status", "2000")),
    response("8.3", "there are no others", OK, (":other", "v")),
    response("8.3", "those of a request are not in a response", OK, (":path", "/")),
    response("8.3", "not even a method", (":method", "GET"), OK),
    response("8.2.1", "names have no upper case", OK, ("Server", "v")),
    response("8.2.1", "names are not empty", OK, ("", "v")),
    response("8.2.1", "names have no space", OK, ("a b", "v")),
    response("8.2.1", "names have no line", OK, ("a\r\nb", "v")),
    response("8.2.1", "values have no NUL", OK, ("n", "a\0b")),
    response("8.2.1", "values have no line", OK, ("n", "v\r\nset-cookie: a=b")),
    response("8.2.2", "connection is of HTTP/1.1", OK, ("connection", "close")),
    response("8.2.2", "keep-alive is of HTTP/1.1", OK, ("keep-alive", "timeout=5")),
    response("8.2.2", "upgrade is of HTTP/1.1", OK, ("upgrade", "h2c")),
    response("8.2.2", "transfer-encoding is of HTTP/1.1", OK, ("transfer-encoding", "chunked")),
    response("8.1.1", "something comes where something was said", OK, ("content-length", "5")),
    response("8.1.1", "a length is a number", OK, ("content-length", "many")),
    response("8.1.1", "a length is not empty", OK, ("content-length", "")),
    response(
        "8.1.1", "lengths do not differ", OK, ("content-length", "0"), ("content-length", "1")
    ),
    response("8.1", "an interim response is not the last", (":status", "103")),
    response("8.6", "protocols are not switched", (":status", "101"), flags=END_HEADERS),
    response(
        "8.1.1",
        "an answer to HEAD may tell a length",
        OK,
        ("content-length", "5"),
        expected=200,
        method="HEAD",
    ),
    response(
        "8.1.1", "304 may tell a length", (":status", "304"), ("content-length", "5"), expected=304
    ),
    response("8.2.1", "bytes beyond ASCII pass", OK, ("n", "\xff\x80"), expected=200),
    after_head(
        "8.1.1", "no more comes than was said", _data(b"abc"), fields=[("content-length", "2")]
    ),
    after_head(
        "8.1.1", "no less comes than was said", _data(b"abc", 1), fields=[("content-length", "4")]
    ),
    after_head(
        "8.1.1",
        "no less comes than was said before trailers",
        _data(b"abc"),
        _trailers(("t", "v")),
        fields=[("content-length", "4")],
    ),
    after_head(
        "8.1", "trailers end a response", _data(b"abc"), _trailers(("t", "v"), flags=END_HEADERS)
    ),
    after_head("8.1", "trailers have no status", _data(b"abc"), _trailers(OK, ("t", "v"))),
    after_head("8.1", "trailers have no status without data either", _trailers(OK)),
    after_head("8.1", "trailers have no upper case", _data(b"abc"), _trailers(("T", "v"))),
    after_head("8.1", "trailers have no line", _data(b"abc"), _trailers(("t", "v\n"))),
    after_head(
        "8.2.2",
        "trailers have no field of the connection",
        _data(b"abc"),
        _trailers(("connection", "x")),
    ),
    after_head("6.1", "padding is shorter than its DATA", (DATA, PADDED, b"\x09abc")),
    after_head("4.2", "DATA is not too large", _data(bytes((1 << 14) + 1)), expected=PROTOCOL),
    after_head("8.1", "trailers pass", _data(b"abc"), _trailers(("t", "v")), expected=200),
    after_head("6.1", "empty DATA passes", _data(b""), _data(b"abc"), _data(b"", 1), expected=200),
    instead(
        "8.1",
        "interim responses pass",
        lambda s: answer_head(s, [(":status", "103")])
        + answer_head(s, [(":status", "100")])
        + ordinary(s),
        200,
    ),
    instead("5.1", "DATA does not come before the head", lambda s: frame(DATA, 0, s, b"abc")),
    instead("5.1", "a server opens no stream", lambda s: answer_head(s + 100, [OK])),
    instead("5.1", "a server opens no stream of even number", lambda s: answer_head(2, [OK])),
    instead(
        "6.6",
        "nothing is pushed that was forbidden",
        lambda s: frame(PUSH_PROMISE, 4, s, b"\0\0\0\2" + block(head())),
    ),
    instead("4.3", "a block can be read", lambda s: frame(HEADERS, ALL, s, b"\x88\xff\xff\x7f")),
    instead(
        "6.10",
        "a block goes on",
        lambda s: frame(HEADERS, 1, s, block([OK])) + frame(PING, 0, 0, bytes(8)),
    ),
    instead(
        "6.10", "CONTINUATION follows a block", lambda s: frame(CONTINUATION, 4, s, block([OK]))
    ),
    instead(
        "6.5.2",
        "settings hold what they can",
        lambda s: frame(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"),
    ),
    instead("6.7", "PING has no stream", lambda s: frame(PING, 0, s, bytes(8))),
    instead(
        "6.9",
        "the connection's window grows by more than 0",
        lambda s: frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    ),
    instead(
        "6.9.1",
        "the connection's window is not larger than 2^31-1",
        lambda s: window(0, (1 << 31) - 1),
    ),
    instead(
        "10.5",
        "a block does not go on for ever",
        lambda s: frame(HEADERS, 1, s, block([OK])) + frame(CONTINUATION, 0, s, b"") * 2_000,
    ),
    instead(
        "6.8",
        "what was never looked at may be tried again",
        lambda s: frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)),
        "RST_STREAM REFUSED_STREAM",
    ),
    instead(
        "6.8",
        "what was looked at before GOAWAY is answered",
        lambda s: frame(GOAWAY, 0, 0, struct.pack(">II", s, 0)) + ordinary(s),
        200,
    ),
    *[
        instead(
            "7",
            f"{name(code)} is passed on",
            lambda s, code=code: reset(s, code),
            f"RST_STREAM {name(code)}",
        )
        for code in [*list(CODES)[1:], 14, 0xDEAD, 0xFFFFFFFF]
    ],
    *[
        after_head(
            "7",
            f"{name(code)} is passed on behind data",
            _data(b"abc"),
            (3, 0, struct.pack(">I", code)),
            expected=f"RST_STREAM {name(code)}",
        )
        for code in [*list(CODES)[1:], 14, 0xDEAD, 0xFFFFFFFF]
    ],
]


def script(stream, fields):
    """Follows the case that the path names."""
    path = dict(fields)[b":path"].decode()
    return (
        TABLE[int(path[1:])].frames(stream)
        if path[1:].isdigit()
        else b"" if path == "/hold" else None
    )


@pytest.fixture(scope="module")
def origin(loop):
    """The origin."""
    with closing(RawOrigin(loop, script)) as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(module_sidecar, origin):
    """The sidecar before it."""
    return module_sidecar(origin.port)


@pytest.mark.parametrize("number", range(len(TABLE)), ids=[str(case) for case in TABLE])
def test_the_caller_gets_nothing_malformed(proxy, number):
    case = TABLE[number]
    with RawClient(proxy.inbound) as client:
        client.send(request(1, head(f"/{number}", case.method)))
        assert client.answer(1) == case.expected
        # What an origin does to one connection of ours ends none of a client's.
        client.send(request(3))
        assert client.answer(3) == 200


@pytest.mark.parametrize("code", [*CODES, 14, 0xDEAD, 0xFFFFFFFF], ids=name)
def test_the_code_of_a_clients_reset_reaches_the_application(proxy, origin, code):
    asked, known = len(origin.requests), len(origin.frames)
    with RawClient(proxy.inbound) as client:
        client.send(request(1, head("/hold")))
        eventually(lambda: len(origin.requests) > asked, "the application to be asked")
        client.send(reset(1, code))
        found = eventually(
            lambda: [f[3] for f in origin.frames[known:] if f[0] == 3], "the reset to arrive"
        )
        assert struct.pack(">I", code) in found


def test_data_that_was_received_before_a_reset_is_passed_on(proxy):
    behind_data = next(at for at, case in enumerate(TABLE) if "behind data" in case.sentence)
    with RawClient(proxy.inbound) as client:
        client.send(request(1, head(f"/{behind_data}")))
        seen = client.until(lambda found: found.stream_id == 1 and found.type == 3)
        assert b"".join(f.data for f in seen if isinstance(f, DataFrame)) == b"abc"
