"""Calls that both ends must see as if there were nothing between them; the steps are those of
`__init__.py`."""

from dataclasses import dataclass, field

from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.status_pb2 import Status

KINDS = {"unary": "Unary", "up": "Up", "down": "Down", "both": "Both"}
"""The method of each kind of call."""
ECHO = "/peers.v1.Steps/Both"
LARGE = 16 * 1024**2
NOT_FROM_JS = tuple((c, s) for c in ("python", "go") for s in ("python", "js", "go"))
"""The pairs whose client is not grpc-js."""
DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True)
class Scenario:
    """One call and what must come of it."""

    name: str
    kind: str
    client: list = field(default_factory=list)
    server: list = field(default_factory=list)
    metadata: list = field(default_factory=list)
    code: int = 0
    other_code: int | None = None
    """Another code that is right too."""
    method: str | None = None
    """Another method than that of the kind; nobody serves it."""
    timeout: float | None = None
    options: dict = field(default_factory=dict)
    is_local: bool = False
    """The client ends the call by itself: the text is its own, and what the server did not."""
    is_cancelled: bool = False
    """The server sees that the call is cancelled."""
    is_released: bool = False
    """The client waits until the server has told that it has come so far."""
    pairs: tuple | None = None
    """The clients and servers that this is for, if not for all."""

    def __str__(self):
        return self.name


def _details(code, text):
    """Error details, as `grpc-status-details-bin` has them."""
    one = Any()
    one.Pack(StringValue(value="why, in détail"))
    other = Any(type_url="type.googleapis.com/peers.v1.Unknown", value=bytes(range(256)))
    status = Status(code=code, message=text, details=[one, other])
    return status.SerializeToString().hex()


_TEXTS = {
    "plain": "no such thing",
    "percent signs": "100 % and %41 and %",
    "other scripts": "späte Grüße ☃ 日本語",
    "control characters": "a line\nand\ta\x7fnother\r",
    "spaces at both ends": " text ",
    "nothing": "",
    "four thousand characters": "long " * 800,
}

_ODD = [
    ["repeated", "one"],
    ["repeated", "two"],
    ["repeated", "one"],
    ["comma", "a, b,c"],
    ["empty", ""],
    ["punctuation", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"],
    ["under_score-and.dot", "x"],
    ["raw-bin", bytes(range(256)).hex()],
    ["raw-bin", ""],
    ["raw-bin", "00"],
    ["many-bin", "ff" * 100],
    ["long", "v" * 1000],
]

_KINDS = [
    Scenario("unary", "unary", [["send", 1, 100]], [["recv", 1], ["send", 1, 200]]),
    Scenario("unary, empty both ways", "unary", [["send", 1, 0]], [["recv", 1], ["send", 1, 0]]),
    Scenario("server streaming", "down", [["send", 1, 100]], [["recv", 1], ["send", 20, 1000]]),
    Scenario("server streaming, of nothing", "down", [["send", 1, 1]], [["recv", 1]]),
    Scenario("client streaming", "up", [["send", 20, 1000]], [["drain"], ["send", 1, 7]]),
    Scenario("client streaming, of nothing", "up", [], [["drain"], ["send", 1, 7]]),
    Scenario("both at once", "both", [["send", 20, 1000]], [["send", 20, 3000], ["drain"]]),
    Scenario("both in lock step", "both", [["ping", 50, 100]], [["ping", 50]]),
    Scenario("both, of empty messages", "both", [["ping", 3, 0]], [["ping", 3], ["send", 2, 0]]),
    Scenario("both, of nothing", "both", [], [["drain"]]),
    Scenario(
        "the answer begins when the client has ended",
        "both",
        [["send", 3, 10], ["close"], ["drain"]],
        [["drain"], ["send", 3, 10]],
    ),
    Scenario(
        "the client goes on after a half of the answer",
        "both",
        [["recv", 2], ["send", 3, 10]],
        [["send", 2, 10], ["recv", 3], ["send", 1, 5]],
    ),
]

_STATUSES = [
    Scenario(
        f"status {code}",
        "unary",
        [["send", 1, 10]],
        [["recv", 1], ["end", code, f"as asked, {code}", []]],
        code=code,
    )
    for code in range(17)
]

_MESSAGES = [
    Scenario(
        f"a message of {what}", "unary", [["send", 1, 1]], [["end", 9, text, []]], code=9
    )
    for what, text in _TEXTS.items()
]

_ERRORS = [
    Scenario(
        f"error details, {kind}",
        kind,
        [["send", 1, 1]],
        [["end", 3, "wrong", [[DETAILS, _details(3, "wrong")], ["more", "x"]]]],
        code=3,
    )
    for kind in KINDS
]
_ERRORS += [
    Scenario(
        "error details after messages",
        "both",
        [["ping", 2, 10]],
        [["ping", 2], ["end", 3, "wrong", [[DETAILS, _details(3, "wrong")], ["more", "x"]]]],
        code=3,
    ),
    Scenario(
        "an error before anything else",
        "down",
        [["send", 1, 1]],
        [["end", 5, "not here", [["key", "value"]]]],
        code=5,
    ),
    Scenario(
        "an error after the initial metadata",
        "down",
        [["send", 1, 1]],
        [["initial", [["early", "1"]]], ["end", 5, "not here", [["late", "2"]]]],
        code=5,
    ),
    Scenario(
        "an error after messages",
        "both",
        [["ping", 2, 10]],
        [["ping", 2], ["end", 14, "gone", [["late", "2"]]]],
        code=14,
    ),
    Scenario("a method that nobody serves", "unary", [["send", 1, 1]], method="Nothing", code=12),
    Scenario(
        "a service that nobody serves",
        "both",
        [["ping", 1, 1]],
        method="/peers.v1.Nobody/Nothing",
        code=12,
    ),
]

_METADATA = [
    Scenario(
        f"metadata both ways, {kind}",
        kind,
        [["send", 1, 1]],
        [["recv", 1], ["initial", _ODD], ["send", 1, 1], ["end", 0, "", _ODD]],
        metadata=_ODD,
    )
    for kind in KINDS
]
_METADATA += [
    Scenario(
        "the initial metadata come before any message",
        "both",
        [["ping", 1, 1]],
        [["initial", [["early", "1"]]], ["ping", 1], ["end", 0, "", [["late", "1"]]]],
    ),
    Scenario(
        "metadata with an error",
        "unary",
        [["send", 1, 1]],
        [["initial", _ODD], ["end", 7, "no", _ODD]],
        metadata=_ODD,
        code=7,
    ),
]

_GZIP = [
    Scenario(
        f"gzip both ways, {kind}",
        kind,
        [["send", 1, 50_000]],
        [["compress"], ["recv", 1], ["send", 1, 70_000]],
        options={"gzip": True},
    )
    for kind in KINDS
]
_GZIP += [
    Scenario(
        "gzip of the answer alone",
        "down",
        [["send", 1, 100]],
        [["compress"], ["recv", 1], ["send", 5, 20_000], ["send", 1, 0]],
    )
]

_DEADLINES = [
    Scenario(
        "a deadline that is kept",
        "unary",
        [["send", 1, 1]],
        [["recv", 1], ["send", 1, 1]],
        timeout=20.0,
    ),
    *(
        Scenario(
            f"a deadline that passes, {kind}",
            kind,
            [["send", 1, 1]],
            [["recv", 1], ["hold"]],
            timeout=0.3,
            code=4,
            # The server's clock may be faster: grpcio calls its reset a cancellation.
            other_code=1,
            is_local=True,
            is_cancelled=True,
        )
        for kind in KINDS
    ),
]

_CANCELLATIONS = [
    Scenario(
        "cancelled by the client, unary",
        "unary",
        [["send", 1, 1], ["wait"], ["cancel"]],
        [["recv", 1], ["tell"], ["hold"]],
        code=1,
        is_local=True,
        is_cancelled=True,
        is_released=True,
    ),
    Scenario(
        "cancelled by the client, server streaming",
        "down",
        [["send", 1, 1], ["recv", 2], ["cancel"]],
        [["recv", 1], ["send", 2, 10], ["hold"]],
        code=1,
        is_local=True,
        is_cancelled=True,
    ),
    Scenario(
        "cancelled by the client, client streaming",
        "up",
        [["send", 2, 1], ["wait"], ["cancel"]],
        [["recv", 2], ["tell"], ["hold"]],
        code=1,
        is_local=True,
        is_cancelled=True,
        is_released=True,
    ),
    Scenario(
        "cancelled by the client, both",
        "both",
        [["ping", 3, 10], ["cancel"]],
        [["ping", 3], ["hold"]],
        code=1,
        is_local=True,
        is_cancelled=True,
    ),
    Scenario(
        "cancelled by the client while the server reads",
        "both",
        [["ping", 3, 10], ["cancel"]],
        [["ping", 3], ["recv", 1]],
        code=1,
        is_local=True,
        is_cancelled=True,
        # Node ends the messages of what it cancels, and a server may see that first; grpcio tells
        # its servers of a cancellation as of the end of the messages, now and then.
        pairs=tuple((client, server) for client in ("python", "go") for server in ("js", "go")),
    ),
]

_CANCELLATIONS += [
    Scenario(
        "cancelled by the server",
        "both",
        [["ping", 1, 10], ["drain"]],
        [["ping", 1], ["cancel"]],
        code=1,
        is_cancelled=True,
        # The other two have no such thing.
        pairs=tuple((client, "python") for client in ("python", "js", "go")),
    ),
]

_EARLY = [
    Scenario(
        "the server is through while the client is not",
        "both",
        [["send", 3, 10], ["drain"]],
        [["recv", 1], ["send", 1, 10]],
    ),
    Scenario(
        "the server fails while the client still sends",
        "up",
        [["send", 100, 65_536], ["drain"]],
        [["recv", 1], ["end", 8, "enough", []]],
        code=8,
    ),
    Scenario(
        "the server is through while the client still sends",
        "both",
        [["send", 100, 65_536], ["drain"]],
        [["recv", 1], ["send", 1, 10]],
        # grpc-js calls it an internal error of its own, whatever is between.
        pairs=NOT_FROM_JS,
    ),
]

_LARGE = [
    Scenario(
        "16 MiB each way, unary", "unary", [["send", 1, LARGE]], [["recv", 1], ["send", 1, LARGE]]
    ),
    Scenario("16 MiB each way, both", "both", [["ping", 1, LARGE]], [["ping", 1]]),
    # Not for all pairs: grpcio takes a second to send as many.
    Scenario(
        "ten thousand messages down",
        "down",
        [["send", 1, 1]],
        [["recv", 1], ["send", 10_000, 20]],
        pairs=(("python", "js"), ("js", "go"), ("go", "js")),
    ),
    Scenario(
        "ten thousand messages up",
        "up",
        [["send", 10_000, 20]],
        [["drain"], ["send", 1, 1]],
        pairs=(("go", "python"), ("js", "go"), ("go", "js")),
    ),
]

LIGHT = [
    *_KINDS,
    *_STATUSES,
    *_MESSAGES,
    *_ERRORS,
    *_METADATA,
    *_GZIP,
    *_DEADLINES,
    *_CANCELLATIONS,
    *_EARLY,
]
"""Calls that take no time."""
HEAVY = _LARGE
"""Calls that do."""

MANY = Scenario(
    "one of many",
    "both",
    [["ping", 1, 10], ["wait"], ["ping", 1, 10]],
    [["ping", 1], ["tell"], ["ping", 1]],
)
"""A call that stays open until it is released."""
SHORT = Scenario("short", "unary", [["send", 1, 10]], [["recv", 1], ["send", 1, 10]])
"""A call that is soon over."""
UNSERVED = Scenario(
    "unserved", "unary", [["send", 1, 10]], code=14, method="/peers.v1.Steps/Unary", is_local=True
)
"""A call that nobody is there to answer."""
BROKEN = Scenario("broken off", "both", [["ping", 1, 10], ["tell"]], [["ping", 1], ["hold"]])
"""A call whose server goes away in the middle of it."""
FLOOD = (10_000, 64 * 1024)
FLOOD_DOWN = Scenario(
    "a stalled client",
    "down",
    [["send", 1, 1], ["recv", 1], ["tell"], ["wait"], ["cancel"]],
    [["recv", 1], ["send", *FLOOD]],
    code=1,
    is_local=True,
    is_cancelled=True,
)
FLOOD_UP = Scenario(
    "a stalled server",
    "up",
    [["send", *FLOOD]],
    [["recv", 1], ["tell"], ["wait"], ["end", 8, "enough", []]],
    code=8,
)

ECHOED = [
    Scenario("plain", "both", [["send", 3, 1000]], metadata=_ODD, method=ECHO),
    Scenario("gzip", "both", [["send", 3, 1000]], options={"gzip": True}, method=ECHO),
    Scenario("with a deadline", "both", [["send", 1, 1000]], timeout=20.0, method=ECHO),
]
"""Calls to a server that sends back what comes."""
KEPT_ALIVE = Scenario(
    "kept alive",
    "both",
    [["ping", 1, 10], ["wait"], ["ping", 1, 10]],
    [["ping", 1], ["tell"], ["ping", 1]],
    options={"keepalive": 50},
)
"""A call whose client pings while it waits."""
ODD = Scenario("odd", "unary", [["send", 1, 10]], code=9, method="/peers.v1.Steps/Unary")
"""A call to a server that answers oddly."""
ANSWERED = [
    Scenario("one message", "unary", server=[["recv", 1], ["send", 1, 100]]),
    Scenario("messages in gzip", "down", server=[["compress"], ["recv", 1], ["send", 3, 5000]]),
    Scenario("an error alone", "unary", server=[["end", 5, "not h\u00e9re", [["k", "v"]]]]),
    Scenario("an error of a stream alone", "down", server=[["end", 5, "not here", [["k", "v"]]]]),
    Scenario(
        "an error after a message",
        "down",
        server=[
            ["initial", _ODD],
            ["send", 1, 1],
            ["end", 5, "no", [[DETAILS, _details(5, "no")]]],
        ],
    ),
]
"""Calls whose answer is looked at byte by byte."""


def _control(**changed):
    """A call in which something may differ."""
    told = {
        "send": 3,
        "answer": 100,
        "metadata": [["key", "value"], ["raw-bin", "00ff"]],
        "initial": [["early", "1"]],
        "trailing": [["late", "1"], ["late", "2"]],
        "text": "as asked",
    } | changed
    return Scenario(
        "control",
        "both",
        [["send", told["send"], 10]],
        [
            ["drain"],
            ["initial", told["initial"]],
            ["send", 2, told["answer"]],
            ["end", 9, told["text"], told["trailing"]],
        ],
        metadata=told["metadata"],
        code=9,
    )


CONTROL = _control()
"""A call like any other."""
DIFFERENT = {
    "a message more": _control(send=4),
    "a byte more": _control(answer=101),
    "a value of the metadata": _control(metadata=[["key", "value"], ["raw-bin", "00fe"]]),
    "metadata that are missing": _control(metadata=[["key", "value"]]),
    "the initial metadata": _control(initial=[["early", "2"]]),
    "the order of trailing metadata": _control(trailing=[["late", "2"], ["late", "1"]]),
    "trailing metadata that are missing": _control(trailing=[]),
    "the text of the status": _control(text="as asked "),
}
"""Calls that differ from it in one respect."""
