"""What RFC 9113 demands of a server, by sentence: frames that break it, and the answer."""

import struct
from dataclasses import dataclass, field

from .h2raw import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    block,
    frame,
    head,
    literal,
    request,
    reset,
    settings,
    window,
)

PROTOCOL, SIZE, FLOW = "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "FLOW_CONTROL_ERROR"
CLOSED, COMPRESSION = "STREAM_CLOSED", "COMPRESSION_ERROR"


@dataclass(frozen=True)
class Answered:
    """A step: the answer of a stream is read to its end."""

    stream: int = 1


@dataclass(frozen=True)
class Case:
    """Steps to take on a new connection, and what must come of them."""

    section: str
    sentence: str
    steps: list
    connection: str = None
    """The code of a GOAWAY, if the connection must end."""
    stream: str = None
    """The code that `number` must be reset with; the connection lives on."""
    number: int = 1
    seen: int = 0
    """Requests of these that the application may see."""
    cut_off: bool = False
    """Whether the application sees the start of a message, and then its reset."""
    first: bytes = PREFACE + settings()
    origins: tuple = field(default=())

    def __str__(self):
        return f"{self.section} {self.sentence}"


def _list(*cases):
    return [Case(section, sentence, steps, **more) for section, sentence, steps, more in cases]


def connection(section, sentence, code, *steps, **more):
    """The connection ends."""
    return section, sentence, list(steps), {"connection": code} | more


def stream(section, sentence, code, *steps, **more):
    """The stream ends, and the connection lives on."""
    return section, sentence, list(steps), {"stream": code} | more


def fine(section, sentence, *steps, **more):
    """Nothing ends."""
    return section, sentence, list(steps), more


def malformed(section, sentence, fields, **more):
    """A request whose head is malformed."""
    return stream(section, sentence, PROTOCOL, request(1, fields), **more)


def well_formed(section, sentence, fields):
    """A request whose head is merely unusual."""
    return fine(section, sentence, request(1, fields), Answered(), seen=1)


def post(flags=END_HEADERS, *more):
    """The head of a request with a body, which the application does not answer before its end."""
    return request(1, head("/post", "POST", "shop.example", *more), flags)


HELD = request(1, head("/hold"))
"""A request that is not answered; its stream is half-closed by the client."""
SOME = frame(DATA, 0, 1, b"some")
REST = frame(DATA, END_STREAM, 1, b"rest")
DONE = (request(1), Answered())
"""A stream that has ended on both sides."""


def without(name):
    """A request without one of its pseudo-fields."""
    return [pair for pair in head() if pair[0] != name]


def field_named(name):
    """A request with a field of this name."""
    return [*head(), (name, "v")]


def field_of(value):
    """A request with a field of this value."""
    return [*head(), ("n", value)]


def _setting(name, value):
    return settings((name, value))


def _blocks(fields, flags=END_STREAM | END_HEADERS, number=1):
    return frame(HEADERS, flags, number, fields)


def _with_priority(depends_on, payload=None, flags=END_STREAM | END_HEADERS | WITH_PRIORITY):
    payload = block(head()) if payload is None else payload
    return frame(HEADERS, flags, 1, struct.pack(">IB", depends_on, 15) + payload)


TABLE = _list(
    # 3.4: the preface
    connection(
        "3.4",
        "the preface is followed by SETTINGS",
        PROTOCOL,
        first=PREFACE + frame(PING, 0, 0, b"8" * 8),
    ),
    connection(
        "3.4",
        "the first SETTINGS is no acknowledgement",
        PROTOCOL,
        first=PREFACE + frame(SETTINGS, ACK),
    ),
    connection("3.4", "a request is not the first frame", PROTOCOL, first=PREFACE + request()),
    fine("3.4", "the first SETTINGS may be empty", first=PREFACE + frame(SETTINGS)),
    # 4.1 and 4.2: frames
    fine("4.1", "a flag without meaning is ignored", frame(PING, 0xFE, 0, b"12345678")),
    fine("4.1", "the reserved bit is ignored", frame(PING, 0, 1 << 31, b"12345678")),
    fine(
        "4.1",
        "the reserved bit of a request is ignored",
        frame(HEADERS, 5, 1 | 1 << 31, block(head())),
        Answered(),
        seen=1,
    ),
    fine("4.1", "a frame of an unknown type is discarded", frame(0xFA, 0xFF, 0, b"what")),
    fine(
        "4.1", "a frame of an unknown type is discarded on an idle stream", frame(0x21, 0, 77, b"w")
    ),
    fine("4.1", "PRIORITY_UPDATE of RFC 9218 is discarded", frame(0x10, 0, 0, b"\0\0\0\1u=1")),
    fine("4.2", "a frame of 2^14 bytes is taken", frame(0xFA, 0, 0, bytes(1 << 14))),
    connection(
        "4.2",
        "DATA is not too large",
        SIZE,
        post(),
        frame(DATA, 0, 1, bytes((1 << 14) + 1)),
        seen=1,
        cut_off=True,
    ),
    connection("4.2", "HEADERS is not too large", SIZE, _blocks(bytes((1 << 14) + 1))),
    connection("4.2", "SETTINGS is not too large", SIZE, frame(SETTINGS, 0, 0, bytes(6 * 3_000))),
    connection(
        "4.2", "an unknown frame is not too large", SIZE, frame(0xFA, 0, 0, bytes((1 << 14) + 1))
    ),
    connection(
        "4.2",
        "padded DATA has room for the length of its padding",
        SIZE,
        post(),
        frame(DATA, PADDED, 1),
        seen=1,
        cut_off=True,
    ),
    connection(
        "4.2", "padded HEADERS has room for the length of its padding", SIZE, _blocks(b"", 13)
    ),
    connection("4.2", "HEADERS has room for its priority", SIZE, _blocks(b"\0\0\0", 37)),
    # 4.3: compression
    connection("4.3", "an index is in the table", COMPRESSION, _blocks(b"\xff\x80\x01")),
    connection("4.3", "no index is 0", COMPRESSION, _blocks(b"\x80")),
    connection(
        "4.3",
        "a string is not longer than its block",
        COMPRESSION,
        _blocks(block(head()) + b"\x00\x05ab"),
    ),
    connection("4.3", "an integer ends", COMPRESSION, _blocks(b"\xff\xff\xff\xff\xff\xff\xff\x01")),
    connection("4.3", "a block ends with a field", COMPRESSION, _blocks(block(head()) + b"\x40")),
    connection(
        "4.3",
        "a Huffman code does not hold its end",
        COMPRESSION,
        _blocks(block(head()) + b"\x00\x01n\x84\xff\xff\xff\xff"),
    ),
    connection(
        "4.3",
        "padding of a Huffman code is ones",
        COMPRESSION,
        _blocks(block(head()) + b"\x00\x01n\x81\x18"),
    ),
    connection(
        "4.3",
        "padding of a Huffman code is short",
        COMPRESSION,
        _blocks(block(head()) + b"\x00\x01n\x82\x1f\xff"),
    ),
    connection(
        "4.3",
        "the table is not larger than was allowed",
        COMPRESSION,
        _blocks(b"\x3f\xe2\x1f" + block(head())),
    ),
    connection(
        "4.3",
        "the table is sized at the start of a block",
        COMPRESSION,
        _blocks(block(head()) + b"\x20"),
    ),
    fine(
        "4.3",
        "the table may be sized twice at the start of a block",
        _blocks(b"\x20\x3f\xe1\x1f" + block(head())),
        Answered(),
        seen=1,
    ),
    connection(
        "4.3",
        "what was evicted is gone",
        COMPRESSION,
        _blocks(literal("n", "v", 0x40) + b"\x20" + b"\xbe"),
        first=PREFACE + settings(),
    ),
    connection(
        "4.3",
        "a block of a stream that was refused counts",
        COMPRESSION,
        request(1, field_named("Upper")),
        _blocks(b"\xbe", 5, 3),
    ),
    fine(
        "4.3",
        "what a refused request adds to the table can be referred to",
        _blocks(literal("good", "v", 0x40) + literal("BAD", "v", 0x40) + block(head())),
        _blocks(block(head()) + b"\xbf", 5, 3),
        Answered(3),
        seen=1,
    ),
    stream(
        "4.3",
        "a field that was malformed is so again when it is referred to",
        PROTOCOL,
        _blocks(block(head()) + literal("BAD", "v", 0x40)),
        _blocks(block(head()) + b"\xbe", 5, 3),
        number=3,
    ),
    fine(
        "4.3",
        "a block may be cut anywhere",
        *[
            frame(HEADERS, END_STREAM, 1, block(head())[:3]),
            frame(CONTINUATION, 0, 1),
            frame(CONTINUATION, 0, 1, block(head())[3:40]),
            frame(CONTINUATION, END_HEADERS, 1, block(head())[40:]),
        ],
        Answered(),
        seen=1,
    ),
    # 5.1: states
    connection("5.1", "DATA does not open a stream", PROTOCOL, SOME),
    connection("5.1", "RST_STREAM does not open a stream", PROTOCOL, reset(1)),
    connection("5.1", "WINDOW_UPDATE does not open a stream", PROTOCOL, window(1, 1)),
    connection(
        "5.1",
        "CONTINUATION does not open a stream",
        PROTOCOL,
        frame(CONTINUATION, 4, 1, block(head())),
    ),
    fine("5.1", "PRIORITY on an idle stream is no error", frame(PRIORITY, 0, 1, b"\0\0\0\0\1")),
    stream(
        "5.1", "no DATA comes after the end of a request", CLOSED, HELD, REST, seen=1, cut_off=True
    ),
    stream(
        "5.1",
        "no HEADERS come after the end of a request",
        CLOSED,
        HELD,
        request(1, [("t", "v")]),
        seen=1,
        cut_off=True,
    ),
    stream(
        "5.1",
        "no DATA comes after the last DATA",
        CLOSED,
        request(1, head("/hold", "POST"), 4),
        REST,
        SOME,
        seen=1,
        cut_off=True,
    ),
    stream(
        "5.1",
        "no DATA comes after trailers",
        CLOSED,
        request(1, head("/hold", "POST"), 4),
        request(1, [("t", "v")]),
        SOME,
        seen=1,
        cut_off=True,
    ),
    fine("5.1", "WINDOW_UPDATE after the end of a request is no error", HELD, window(1, 9), seen=1),
    fine(
        "5.1",
        "PRIORITY after the end of a request is no error",
        HELD,
        frame(PRIORITY, 0, 1, b"\0\0\0\0\1"),
        seen=1,
    ),
    fine(
        "5.1",
        "RST_STREAM after the end of a request is no error",
        HELD,
        reset(1),
        seen=1,
        cut_off=True,
    ),
    stream("5.1", "DATA on a stream that has ended is answered", CLOSED, *DONE, SOME, seen=1),
    connection(
        "5.1",
        "HEADERS on a stream that has ended end the connection",
        CLOSED,
        *DONE,
        request(1),
        seen=1,
    ),
    fine("5.1", "RST_STREAM on a stream that has ended is no error", *DONE, reset(1), seen=1),
    fine(
        "5.1", "WINDOW_UPDATE on a stream that has ended is no error", *DONE, window(1, 1), seen=1
    ),
    fine(
        "5.1",
        "PRIORITY on a stream that has ended is no error",
        *DONE,
        frame(PRIORITY, 0, 1, b"\0\0\0\0\1"),
        seen=1,
    ),
    stream(
        "5.1",
        "DATA after a reset by the client is answered",
        CLOSED,
        post(),
        reset(1),
        SOME,
        seen=1,
        cut_off=True,
    ),
    connection(
        "5.1",
        "HEADERS after a reset by the client end the connection",
        CLOSED,
        post(),
        reset(1),
        request(1),
        seen=1,
        cut_off=True,
    ),
    fine(
        "5.1",
        "what comes after a reset of ours is ignored",
        post(END_HEADERS, ("content-length", "1")),
        SOME,
        SOME,
        REST,
        request(1, [("t", "v")]),
        seen=1,
        cut_off=True,
    ),
    connection("5.1.1", "the streams of a client are odd", PROTOCOL, request(2)),
    connection("5.1.1", "no stream has number 0", PROTOCOL, request(0)),
    connection(
        "5.1.1",
        "the numbers of streams grow",
        PROTOCOL,
        request(5),
        Answered(5),
        request(3),
        seen=1,
    ),
    fine("5.1.1", "numbers may be left out", request(9), Answered(9), seen=1),
    # 5.3: priorities are of the past
    fine(
        "5.3.2",
        "a stream that depends on itself is no error",
        _with_priority(1),
        Answered(),
        seen=1,
    ),
    fine(
        "5.3.2", "PRIORITY of a stream on itself is no error", frame(PRIORITY, 0, 3, b"\0\0\0\3\1")
    ),
    fine(
        "5.3.2",
        "the priority of a request is ignored",
        _with_priority(1 << 31 | 7),
        Answered(),
        seen=1,
    ),
    # 6.1: DATA
    connection("6.1", "DATA has a stream", PROTOCOL, frame(DATA, 0, 0, b"x")),
    connection(
        "6.1",
        "padding is shorter than its DATA",
        PROTOCOL,
        post(),
        frame(DATA, PADDED, 1, b"\x05abcd"),
        seen=1,
        cut_off=True,
    ),
    fine(
        "6.1",
        "DATA may be all padding",
        post(),
        frame(DATA, PADDED, 1, b"\x04abcd"),
        REST,
        Answered(),
        seen=1,
    ),
    fine("6.1", "DATA may be empty", post(), frame(DATA, 0, 1), REST, Answered(), seen=1),
    # 6.2: HEADERS
    connection(
        "6.2",
        "padding is not longer than its HEADERS",
        PROTOCOL,
        _blocks(b"\xff" + block(head()), 13),
    ),
    fine(
        "6.2",
        "HEADERS may be padded",
        _blocks(b"\x03" + block(head()) + b"\0\0\0", 13),
        Answered(),
        seen=1,
    ),
    fine(
        "6.2",
        "HEADERS may be padded and have a priority",
        _blocks(b"\x01" + b"\0\0\0\0\5" + block(head()) + b"\0", 45),
        Answered(),
        seen=1,
    ),
    connection(
        "6.2",
        "nothing comes within a block",
        PROTOCOL,
        _blocks(block(head()), 1),
        frame(PING, 0, 0, b"12345678"),
    ),
    connection(
        "6.2",
        "no other HEADERS come within a block",
        PROTOCOL,
        _blocks(block(head()), 1),
        request(3),
    ),
    connection(
        "5.5",
        "no unknown frame comes within a block",
        PROTOCOL,
        _blocks(block(head()), 1),
        frame(0xFA, 0, 1, b""),
    ),
    # 6.3: PRIORITY
    connection("6.3", "PRIORITY has a stream", PROTOCOL, frame(PRIORITY, 0, 0, b"\0\0\0\0\1")),
    stream(
        "6.3",
        "PRIORITY has 5 bytes",
        SIZE,
        HELD,
        frame(PRIORITY, 0, 1, b"\0\0\0\0"),
        seen=1,
        cut_off=True,
    ),
    connection(
        "6.3",
        "PRIORITY of an idle stream has 5 bytes",
        SIZE,
        frame(PRIORITY, 0, 1, b"\0\0\0\0\0\0"),
    ),
    # 6.4: RST_STREAM
    connection("6.4", "RST_STREAM has a stream", PROTOCOL, reset(0)),
    connection(
        "6.4",
        "RST_STREAM is not short",
        SIZE,
        HELD,
        frame(RST_STREAM, 0, 1, b"\0\0\0"),
        seen=1,
        cut_off=True,
    ),
    connection(
        "6.4",
        "RST_STREAM is not long",
        SIZE,
        HELD,
        frame(RST_STREAM, 0, 1, b"\0\0\0\0\0"),
        seen=1,
        cut_off=True,
    ),
    fine(
        "6.4",
        "RST_STREAM of an unknown code is like any other",
        HELD,
        reset(1, 0xDEAD),
        seen=1,
        cut_off=True,
    ),
    # 6.5: SETTINGS
    connection("6.5", "SETTINGS has no stream", PROTOCOL, frame(SETTINGS, 0, 1)),
    connection(
        "6.5", "an acknowledgement says nothing", SIZE, frame(SETTINGS, ACK, 0, b"\0\4\0\0\0\0")
    ),
    connection("6.5", "a setting has 6 bytes", SIZE, frame(SETTINGS, 0, 0, b"\0\4\0\0\0")),
    connection("6.5.2", "server push is allowed or not", PROTOCOL, _setting(2, 2)),
    fine("6.5.2", "server push may be allowed", _setting(2, 1)),
    fine("6.5.2", "server push may be forbidden", _setting(2, 0)),
    connection("6.5.2", "a window is not larger than 2^31-1", FLOW, _setting(4, 1 << 31)),
    fine("6.5.2", "a window may be 2^31-1", _setting(4, (1 << 31) - 1)),
    connection("6.5.2", "frames can be 2^14 bytes long", PROTOCOL, _setting(5, (1 << 14) - 1)),
    connection("6.5.2", "frames cannot be 2^24 bytes long", PROTOCOL, _setting(5, 1 << 24)),
    fine("6.5.2", "frames may be 2^24-1 bytes long", _setting(5, (1 << 24) - 1)),
    fine("6.5.2", "an unknown setting is ignored", _setting(0xBEEF, 7)),
    fine("6.5.2", "a list of fields may be bounded", _setting(6, 1 << 16)),
    fine("6.5.2", "a table of no size is kept", _setting(1, 0)),
    fine("6.5.2", "a setting may come twice in a frame", settings((4, 1), (4, 70_000))),
    connection("RFC 8441 3", "extended CONNECT is taken or not", PROTOCOL, _setting(8, 2)),
    # 6.6: PUSH_PROMISE
    connection(
        "6.6",
        "a client promises nothing",
        PROTOCOL,
        HELD,
        frame(PUSH_PROMISE, 4, 1, b"\0\0\0\2" + block(head())),
        seen=1,
        cut_off=True,
    ),
    connection(
        "6.6",
        "a client promises nothing on an idle stream",
        PROTOCOL,
        frame(PUSH_PROMISE, 4, 1, b"\0\0\0\2"),
    ),
    # 6.7: PING
    connection("6.7", "PING has no stream", PROTOCOL, frame(PING, 0, 1, b"12345678")),
    connection("6.7", "PING is not short", SIZE, frame(PING, 0, 0, b"1234567")),
    connection("6.7", "PING is not long", SIZE, frame(PING, 0, 0, b"123456789")),
    fine("6.7", "a reply that nobody asked for is ignored", frame(PING, ACK, 0, b"12345678")),
    # 6.8: GOAWAY
    connection("6.8", "GOAWAY has no stream", PROTOCOL, frame(GOAWAY, 0, 1, bytes(8))),
    connection("6.8", "GOAWAY has 8 bytes and more", SIZE, frame(GOAWAY, 0, 0, bytes(7))),
    # 6.9: windows
    connection("6.9", "the connection's window grows by more than 0", PROTOCOL, window(0, 0)),
    stream(
        "6.9",
        "a stream's window grows by more than 0",
        PROTOCOL,
        HELD,
        window(1, 0),
        seen=1,
        cut_off=True,
    ),
    fine("6.9", "a window of a stream that has ended may grow by 0", *DONE, window(1, 0), seen=1),
    connection("6.9", "WINDOW_UPDATE has 4 bytes", SIZE, frame(WINDOW_UPDATE, 0, 0, b"\0\0\1")),
    connection(
        "6.9",
        "WINDOW_UPDATE of a stream has 4 bytes",
        SIZE,
        HELD,
        frame(WINDOW_UPDATE, 0, 1, bytes(5)),
        seen=1,
        cut_off=True,
    ),
    connection(
        "6.9.1", "the connection's window is not larger than 2^31-1", FLOW, window(0, (1 << 31) - 1)
    ),
    stream(
        "6.9.1",
        "a stream's window is not larger than 2^31-1",
        FLOW,
        HELD,
        window(1, (1 << 31) - 1),
        seen=1,
        cut_off=True,
    ),
    connection(
        "6.9.2",
        "settings do not make a window larger than 2^31-1",
        FLOW,
        HELD,
        window(1, (1 << 30)),
        _setting(4, (1 << 31) - 1),
        seen=1,
        cut_off=True,
    ),
    # 6.10: CONTINUATION
    connection(
        "6.10",
        "CONTINUATION has a stream",
        PROTOCOL,
        _blocks(block(head()), 1),
        frame(CONTINUATION, 4, 0),
    ),
    connection(
        "6.10",
        "CONTINUATION goes on with its stream",
        PROTOCOL,
        _blocks(block(head()), 1),
        frame(CONTINUATION, 4, 3),
    ),
    connection(
        "6.10",
        "CONTINUATION does not follow a whole block",
        PROTOCOL,
        HELD,
        frame(CONTINUATION, 4, 1),
        seen=1,
        cut_off=True,
    ),
    connection(
        "6.10",
        "CONTINUATION does not follow the end of another",
        PROTOCOL,
        _blocks(block(head("/hold")), 1) + frame(CONTINUATION, 4, 1),
        frame(CONTINUATION, 4, 1),
        seen=1,
        cut_off=True,
    ),
    connection(
        "6.10",
        "CONTINUATION does not follow DATA",
        PROTOCOL,
        post(),
        SOME,
        frame(CONTINUATION, 4, 1),
        seen=1,
        cut_off=True,
    ),
    # 8.1: messages
    stream(
        "8.1",
        "trailers end a request",
        PROTOCOL,
        post(),
        SOME,
        request(1, [("t", "v")], END_HEADERS),
        seen=1,
        cut_off=True,
    ),
    stream(
        "8.1",
        "trailers hold no pseudo-fields",
        PROTOCOL,
        post(),
        SOME,
        request(1, [(":path", "/x")]),
        seen=1,
        cut_off=True,
    ),
    stream(
        "8.1",
        "trailers hold no fields of the connection",
        PROTOCOL,
        post(),
        SOME,
        request(1, [("connection", "x")]),
        seen=1,
        cut_off=True,
    ),
    stream(
        "8.1",
        "trailers hold no upper case",
        PROTOCOL,
        post(),
        SOME,
        request(1, [("T", "v")]),
        seen=1,
        cut_off=True,
    ),
    fine(
        "8.1",
        "trailers end a request without data",
        post(),
        request(1, [("t", "v")]),
        Answered(),
        seen=1,
    ),
    stream(
        "8.1.1",
        "no more comes than was said",
        PROTOCOL,
        post(END_HEADERS, ("content-length", "3")),
        SOME,
        seen=1,
        cut_off=True,
    ),
    stream(
        "8.1.1",
        "no less comes than was said",
        PROTOCOL,
        post(END_HEADERS, ("content-length", "9")),
        REST,
        seen=1,
        cut_off=True,
    ),
    stream(
        "8.1.1",
        "no less comes than was said before trailers",
        PROTOCOL,
        post(END_HEADERS, ("content-length", "9")),
        SOME,
        request(1, [("t", "v")]),
        seen=1,
        cut_off=True,
    ),
    stream(
        "8.1.1",
        "no more comes than was said over many frames",
        PROTOCOL,
        post(END_HEADERS, ("content-length", "9")),
        SOME,
        SOME,
        SOME,
        seen=1,
        cut_off=True,
    ),
    malformed(
        "8.1.1",
        "something comes where something was said",
        [*head("/", "POST"), ("content-length", "1")],
    ),
    malformed("8.1.1", "a length is a number", [*head(), ("content-length", "1a")]),
    malformed("8.1.1", "a length is not negative", [*head(), ("content-length", "-1")]),
    malformed("8.1.1", "a length has no sign", [*head(), ("content-length", "+0")]),
    malformed("8.1.1", "a length is not empty", [*head(), ("content-length", "")]),
    malformed(
        "8.1.1",
        "lengths do not differ",
        [*head(), ("content-length", "0"), ("content-length", "1")],
    ),
    malformed("8.1.1", "a length is not a list", [*head(), ("content-length", "0, 0")]),
    malformed("8.1.1", "a length is not astronomical", [*head(), ("content-length", "9" * 30)]),
    fine(
        "8.1.1",
        "as much comes as was said",
        post(END_HEADERS, ("content-length", "4")),
        REST,
        Answered(),
        seen=1,
    ),
    fine(
        "8.1.1",
        "padding does not count",
        post(END_HEADERS, ("content-length", "4")),
        frame(DATA, PADDED | END_STREAM, 1, b"\x03rest\0\0\0"),
        Answered(),
        seen=1,
    ),
    well_formed("8.1.1", "a length of nothing is fine", [*head(), ("content-length", "0")]),
    # 8.2: fields
    malformed("8.2.1", "names have no upper case", field_named("Upper")),
    malformed("8.2.1", "names have no upper case at the end", field_named("uppeR")),
    malformed("8.2.1", "names are not empty", field_named("")),
    *[
        malformed("8.2.1", f"names have no {what}", field_named(f"a{byte}b"))
        for what, byte in [
            ("NUL", "\0"),
            ("tab", "\t"),
            ("LF", "\n"),
            ("CR", "\r"),
            ("space", " "),
            ("colon", ":"),
            ("DEL", "\x7f"),
            ("byte 0x80", "\x80"),
            ("byte 0xff", "\xff"),
            ("escape", "\x1b"),
        ]
    ],
    *[
        malformed("8.2.1", f"values have no {what} {where}", field_of(value))
        for what, byte in [("NUL", "\0"), ("LF", "\n"), ("CR", "\r")]
        for where, value in [
            ("at the start", f"{byte}v"),
            ("within", f"a{byte}b"),
            ("at the end", f"v{byte}"),
        ]
    ],
    malformed("8.2.1", "values have no line of another field", field_of("v\r\nx-injected: 1")),
    malformed("8.2.1", "values do not begin with a space", field_of(" v")),
    malformed("8.2.1", "values do not begin with a tab", field_of("\tv")),
    malformed("8.2.1", "values do not end with a space", field_of("v ")),
    malformed("8.2.1", "values do not end with a tab", field_of("v\t")),
    malformed("8.2.1", "values are not a space", field_of(" ")),
    well_formed("8.2.1", "values may be empty", field_of("")),
    well_formed("8.2.1", "values may hold spaces and tabs", field_of("a \t b")),
    well_formed("8.2.1", "values may hold bytes beyond ASCII", field_of("\x80\xff")),
    well_formed("8.2.1", "names may hold what a token may", field_named("!#$%&'*+-.^_`|~09az")),
    *[
        malformed("8.2.2", f"{name} is of HTTP/1.1", [*head(), (name, value)])
        for name, value in [
            ("connection", "close"),
            ("proxy-connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("te", "trailers, gzip"),
        ]
    ],
    well_formed("8.2.2", "te may say trailers", [*head(), ("te", "trailers")]),
    well_formed("8.2.3", "cookies may be crumbs", [*head(), ("cookie", "a=1"), ("cookie", "b=2")]),
    # 8.3: pseudo-fields
    malformed("8.3", "there are no others", [(":other", "v"), *head()]),
    malformed("8.3", "that of a response is not in a request", [(":status", "200"), *head()]),
    malformed(
        "8.3",
        "that of a response is not in a request, whatever it says",
        [(":status", "x"), *head()],
    ),
    malformed("8.3", "they come first", [*without(":path"), ("n", "v"), (":path", "/")]),
    malformed("8.3", "a name of only a colon is none", [(":", "v"), *head()]),
    *[
        malformed("8.3", f"{name} is there once", [*head(), (name, dict(head())[name])])
        for name in (":method", ":scheme", ":path", ":authority")
    ],
    *[
        malformed("8.3.1", f"{name} is there", without(name))
        for name in (":method", ":scheme", ":path")
    ],
    malformed("8.3.1", ":path is not empty", head("")),
    malformed("8.3.1", ":path begins with a slash", head("page")),
    malformed("8.3.1", ":path is no URL", head("http://shop.example/page")),
    malformed("8.3.1", ":path has no space", head("/a b")),
    malformed("8.3.1", ":path has no line", head("/a HTTP/1.1\r\nx: 1")),
    malformed("8.3.1", ":path has no fragment", head("/a#b")),
    malformed("8.3.1", ":path has no NUL", head("/\0")),
    malformed("8.3.1", ":method is not empty", head("/", "")),
    malformed("8.3.1", ":method is a token", head("/", "GET /x")),
    malformed("8.3.1", ":method has no line", head("/", "GET\r\n")),
    malformed(
        "8.3.1",
        ":scheme is not empty",
        [(":method", "GET"), (":scheme", ""), (":path", "/"), (":authority", "a")],
    ),
    malformed(
        "8.3.1",
        ":scheme has no space",
        [(":method", "GET"), (":scheme", "ht tp"), (":path", "/"), (":authority", "a")],
    ),
    malformed(
        "8.3.1", ":authority has nobody's name", head("/", "GET", "user:secret@shop.example")
    ),
    malformed("8.3.1", ":authority has no slash", head("/", "GET", "shop.example/x")),
    malformed("8.3.1", ":authority has no space", head("/", "GET", "shop example")),
    malformed("8.3.1", ":authority has no line", head("/", "GET", "shop\r\nx: 1")),
    malformed("8.3.1", "host is not another than :authority", [*head(), ("host", "other.example")]),
    malformed(
        "8.3.1", "host has no other port than :authority", [*head(), ("host", "shop.example:81")]
    ),
    malformed(
        "RFC 9110 7.2",
        "host is there once",
        [*head(), ("host", "shop.example"), ("host", "shop.example")],
    ),
    malformed(
        "RFC 9110 7.2",
        "host is there once, without :authority",
        [*without(":authority"), ("host", "a"), ("host", "b")],
    ),
    well_formed(
        "8.3.1", "host may say what :authority says", [*head(), ("host", "Shop.example:80")]
    ),
    well_formed(
        "8.3.1",
        "host may be in the place of :authority",
        [*without(":authority"), ("host", "shop.example")],
    ),
    well_formed("8.3.1", "OPTIONS may be of the whole server", head("*", "OPTIONS")),
    well_formed("8.3.1", "a method may be unknown", head("/", "m-search")),
    well_formed("8.3.1", "a path may be long", [*head("/" + "a" * 200)]),
    # 8.4 and 8.5
    malformed(
        "8.5",
        "CONNECT has no :path",
        [(":method", "CONNECT"), (":path", "/"), (":authority", "a:1")],
    ),
    malformed(
        "8.5",
        "CONNECT has no :scheme",
        [(":method", "CONNECT"), (":scheme", "http"), (":authority", "a:1")],
    ),
    malformed("8.5", "CONNECT has an :authority", [(":method", "CONNECT")]),
    malformed(
        "8.5",
        "CONNECT has an :authority, which host is not",
        [(":method", "CONNECT"), ("host", "a:1")],
    ),
    well_formed(
        "8.5",
        "CONNECT may be passed on to the application",
        [(":method", "CONNECT"), (":authority", "a:1")],
    ),
    malformed("RFC 8441 4", ":protocol is of CONNECT only", [*head(), (":protocol", "websocket")]),
    malformed(
        "RFC 8441 3",
        ":protocol is not used before it was offered",
        [*head("/", "CONNECT"), (":protocol", "websocket")],
    ),
)
