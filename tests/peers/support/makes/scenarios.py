"""What clients ask and origins answer: one table of answers, one of scenarios."""

import base64
import gzip
from dataclasses import dataclass

MEBIBYTE = 1024**2
_TEXT = ["Content-Type", "text/plain"]
_LONG = "x" * 6_000
_ODD_PATH = "/p%2Fq%20%C3%A9;v=1/%7Euser"
_CAFE = "caf\xe9"


def _answer(text=b"", status=200, headers=(_TEXT,), **more):
    body = {"base64": base64.b64encode(text).decode()} if text else {}
    return {"status": status, "headers": [list(line) for line in headers]} | body | more


_ODD_LINES = [
    ["X-ODD-Case", "One"],
    ["x-odd-case", "two"],
    ["X-oDD-cASE", "three,  four"],
    ["X-Empty", ""],
    ["X_Under_Score", "1"],
    ["X-Latin", _CAFE],
    ["Via", "1.0 elsewhere (odd)"],
    ["Server", "something else/1"],
]
_COOKIES = [["Set-Cookie", f"c{n}={n}; Path=/; HttpOnly"] for n in range(3)]
_VALIDATORS = [["ETag", '"v1"'], ["Last-Modified", "Tue, 01 Jul 2025 00:00:00 GMT"]]
_GZIPPED = gzip.compress(b"squeezed " * 500, mtime=0)
_EVENT = b"id: 1\ndata: an event\n\n"

ANSWERS = {
    "/ok": _answer(b"hello from the origin\n"),
    "/ack": _answer(status=204, headers=()),
    "/204": _answer(status=204, headers=[["X-Why", "nothing to say"]]),
    "/299": _answer(b"odd\n", 299),
    "/304": _answer(status=304, headers=_VALIDATORS),
    "/404": _answer(b"there is none\n", 404),
    "/500": _answer(b"it failed\n", 500),
    "/503": _answer(b"later\n", 503, [_TEXT, ["Retry-After", "7"]]),
    "/empty": _answer(headers=[["X-Length", "none"]]),
    "/big": _answer(size=MEBIBYTE, headers=[["Content-Type", "application/octet-stream"]]),
    "/big-chunked": _answer(size=MEBIBYTE, chunked=True),
    "/chunked": _answer(b"piece by piece\n", chunked=True),
    "/gzip": _answer(_GZIPPED, headers=[["Content-Encoding", "gzip"], ["Vary", "Accept-Encoding"]]),
    "/odd": _answer(b"odd\n", headers=_ODD_LINES),
    "/long-head": _answer(b"long\n", headers=[[f"X-Long-{n}", "y" * 250] for n in range(20)]),
    "/cookies": _answer(b"sweet\n", headers=_COOKIES),
    "/early": _answer(b"late\n", early=[["Link", "</style.css>; rel=preload; as=style"]]),
    "/trailers": _answer(
        b"summed\n", chunked=True, trailers=[["X-Sum", "17"], ["X-Note", "after the body"]]
    ),
    "/206": _answer(b"lo fr", 206, [["Content-Range", "bytes 3-7/22"], ["Accept-Ranges", "bytes"]]),
    "/302": _answer(status=302, headers=[["Location", "/ok?from=302"]]),
    "/close": _answer(b"good-bye\n", headers=[_TEXT, ["Connection", "close"]]),
    "/break": _answer(size=4_000, end="break", chunked=True),
    "/break-later": _answer(_EVENT, events=1, end="break"),
    "/events": _answer(_EVENT, headers=[["Content-Type", "text/event-stream"]], events=4),
    "/hang": _answer(b"and then nothing\n", end="hang"),
    "/echo": _answer(b"upgrade\n", 426, upgrade="parrot"),
    "/socket": _answer(b"upgrade\n", 426, websocket=True),
    _ODD_PATH: _answer(b"an odd path\n"),
}
"""What every origin says, by path; what is not here is said as for `/404`."""


@dataclass(frozen=True)
class Scenario:
    """What a client asks, and what it and the origin must be able to do for it."""

    name: str
    requests: list
    needs: frozenset = frozenset()
    at_once: bool = False
    reports: int = None
    """How many requests the origin sees, if other than are asked; none if it is no program."""
    only: str = None
    """The only origin that this is asked of."""

    @property
    def seen(self):
        """How many requests the origin tells of."""
        return len(self.requests) if self.reports is None else self.reports

    def order(self):
        """What a client program is told."""
        tagged = [
            asked | {"headers": [["X-Scenario", self.name], *asked["headers"]]}
            for asked in self.requests
        ]
        return {"name": self.name, "requests": tagged, "at_once": self.at_once}


def _ask(path, method="GET", headers=(), **more):
    return {"method": method, "path": path, "headers": [list(line) for line in headers]} | more


def _one(name, path, method="GET", headers=(), needs=(), reports=None, only=None, **more):
    requests = [_ask(path, method, headers, **more)]
    return Scenario(name, requests, frozenset(needs), reports=reports, only=only)


_MANY = [[f"X-Many-{n % 20}", f"value {n}"] for n in range(60)]
_FORWARDED = [
    ["Via", "1.1 outer"],
    ["Forwarded", 'for="[2001:db8::1]";proto=https'],
    ["X-Forwarded-For", "203.0.113.7"],
    ["X-Forwarded-Proto", "https"],
    ["X-Request-Id", "a-b-c"],
    ["Cookie", "a=1; b=2"],
    ["Authorization", "Basic eDp5"],
    ["Cache-Control", "no-cache, max-age=0"],
]
_SEVERAL = [
    _ask("/ok?first"),
    _ask("/204", "DELETE"),
    _ask("/chunked", "POST", size=100),
    _ask("/302"),
    _ask("/big?last"),
]
_AGAIN = [_ask("/close"), _ask("/ok?again"), _ask("/close?last")]
_AT_ONCE = [_ask(f"/ok?n={n:02}") for n in range(50)]
_EXPECT = [["Expect", "100-continue"]]

_COMMON = [
    _one("a plain request", "/ok"),
    _one("a HEAD request", "/ok", "HEAD"),
    _one("OPTIONS of a path", "/ok", "OPTIONS"),
    _one("an unknown method", "/ok", "PURGE"),
    _one("a response without content", "/204"),
    _one("a response with an empty body", "/empty"),
    _one("a status nobody knows", "/299"),
    _one("a validator that still holds", "/304", headers=[["If-None-Match", '"v1"']]),
    _one("a part of a body", "/206", headers=[["Range", "bytes=3-7"]]),
    _one("a redirect", "/302"),
    _one("a path that is not there", "/nowhere"),
    _one("a failure of the origin", "/500"),
    _one("an origin that is busy", "/503"),
    _one("a path of odd characters", f"{_ODD_PATH}?a=%26&b=/?;c"),
    _one("a long query", f"/ok?{_LONG}"),
    _one("a body with a length", "/ok", "POST", size=1_000),
    _one("a body of no bytes", "/ok", "PUT", size=0),
    _one("a body in chunks", "/chunked", "POST", needs={"sent chunks"}, size=50_000, chunked=True),
    _one("a mebibyte each way", "/big", "POST", size=MEBIBYTE),
    _one(
        "a mebibyte each way in chunks",
        "/big-chunked",
        "POST",
        needs={"sent chunks"},
        size=MEBIBYTE,
        chunked=True,
    ),
    _one("a response in chunks", "/chunked"),
    _one("a compressed body", "/gzip", headers=[["Accept-Encoding", "gzip"]]),
    _one("names of odd spelling", "/odd", headers=_ODD_LINES[:6]),
    _one("many lines with repeats", "/long-head", headers=_MANY),
    _one("lines that other proxies wrote", "/ok", headers=_FORWARDED),
    _one("cookies one by one", "/cookies"),
    Scenario("several requests in a row", _SEVERAL, frozenset({"reuse"})),
    Scenario("fifty requests at once", _AT_ONCE, frozenset({"at once"}), at_once=True),
]

_SPECIAL = [
    _one("an interim response", "/early", needs={"early"}),
    _one("a body that waits to be wanted", "/ok", "POST", _EXPECT, {"expect"}, size=70_000),
    _one("trailers of a response", "/trailers", headers=[["TE", "trailers"]], needs={"trailers"}),
    _one(
        "trailers of a request",
        "/ok",
        "POST",
        [["Trailer", "X-Sum"]],
        {"sent chunks", "sent trailers"},
        size=3_000,
        chunked=True,
        trailers=[["X-Sum", "3000"], ["X-More", "yes"]],
    ),
    Scenario("connections that the origin closes", _AGAIN, frozenset({"close"})),
    _one("a response that breaks off", "/break", needs={"break"}),
    _one(
        "a response that breaks off once it is read",
        "/break-later",
        needs={"ack", "break"},
        reports=2,
        ack=True,
    ),
    _one("events, each awaited before the next", "/events", needs={"ack"}, reports=5, ack=True),
    _one("a client that leaves in the middle", "/hang", needs={"hang"}, stop=True),
    _one(
        "a protocol that is switched to",
        "/echo",
        headers=[["Connection", "Upgrade"], ["Upgrade", "parrot"]],
        needs={"upgrade"},
        size=20_000,
        upgrade="parrot",
    ),
    _one("a WebSocket", "/socket", needs={"websocket"}, websocket=["hello", "x" * 70_000]),
]

_FILES = [
    _one("a file", "/files/page.txt", reports=0, only="nginx"),
    _one("the head of a file", "/files/page.txt", "HEAD", reports=0, only="nginx"),
    _one(
        "a part of a file",
        "/files/page.txt",
        headers=[["Range", "bytes=0-9"]],
        reports=0,
        only="nginx",
    ),
    _one(
        "a file compressed on the way",
        "/files/page.txt",
        headers=[["Accept-Encoding", "gzip"]],
        reports=0,
        only="nginx",
    ),
    _one(
        "a file that has not changed",
        "/files/page.txt",
        headers=[["If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"]],
        reports=0,
        only="nginx",
    ),
    _one(
        "a range beyond the end",
        "/files/page.txt",
        headers=[["Range", "bytes=9999999-"]],
        reports=0,
        only="nginx",
    ),
    _one(
        "a file that takes no POST",
        "/files/page.txt",
        "POST",
        # Over HTTP/2, nginx resets the stream at once, and curl may see that before the answer.
        needs={"refused body"},
        reports=0,
        only="nginx",
        size=10,
    ),
    _one("an answer that HAProxy makes itself", "/own", reports=0, only="HAProxy"),
    _one("a request that HAProxy denies", "/denied", reports=0, only="HAProxy"),
]

SCENARIOS = [*_COMMON, *_SPECIAL, *_FILES]
"""Every scenario; not every pair of makes can do each."""
