"""Cases: what a response says in its head, and how its body is framed."""

import gzip

from ..script import client, server
from .parts import asked_and_answered, chunks, empty, get, head, ok, wire_case

_LINES = {
    "nothing is added to a response of two lines": [],
    "names of a response keep their case": ["X-cUsToM: 1", "SERVER: s", 'etag: W/"x"'],
    "lines of a response keep their order": ["Z: 1", "A: 2", "M: 3"],
    "repeated lines of a response stay apart": ["A: 1", "B: 2", "A: 3", "a: 4"],
    "white space in a response is kept": ["A:1", "B:  2 ", "C:\t3\t"],
    "empty values in a response are kept": ["A:", "B: "],
    "values of a response that are not UTF-8 are kept": [b"X-Bytes: \xff\xfe\x80", b"Y: caf\xe9"],
    "a hundred lines of a response are kept": [f"X-{n}: {n}" for n in range(100)],
    "forty cookies are set one by one": [f"Set-Cookie: c{n}={n}; Path=/" for n in range(40)],
    "a value of 40 KiB in a response is kept": [f"X-Long: {'v' * 40_960}"],
    "a server and a date are kept as they are": ["Server:", "Date: yesterday"],
    "what other proxies said in a response is kept": [
        "Via: 1.1 a, 1.0 b",
        "Age: 3",
        "X-Cache: HIT",
    ],
    "options of a response are kept": [
        "Connection: keep-alive, X-Hop",
        "Keep-Alive: timeout=5, max=99",
        "X-Hop: 1",
        "Proxy-Authenticate: Basic realm=x",
        "Proxy-Connection: keep-alive",
    ],
    "an upgrade that is offered is kept": ["Upgrade: h2c, foo/2", "Connection: Upgrade"],
    "a context in a response is nobody's business": [
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Server-Timing: traceparent;desc=x",
        "X-Tenant-ID: acme",
    ],
    "alternative services are kept": ['Alt-Svc: h3=":443"; ma=86400'],
    "a location is not rewritten": ["Location: http://127.0.0.1:1/else?x#y", "Refresh: 0; url=/"],
}

_STATUS = [
    "200",
    "200 ",
    "200 OK",
    "200 all is well",
    "200 Ça va ✓",
    "201 Created",
    "207 Multi-Status",
    "226 IM Used",
    "299 Odd",
    "300 Multiple Choices",
    "399 Odder",
    "418 I'm a teapot",
    "421 Misdirected Request",
    "426 Upgrade Required",
    "451 Unavailable For Legal Reasons",
    "499 Client Closed Request",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "599 Oddest",
    "600 Beyond",
    "999 Request Denied",
]

_NO_BODY = {
    "204 has no body": empty("204 No Content"),
    "204 may have lines": empty("204 No Content", "Allow: GET", "X: 1"),
    "304 has no body though it says a length": empty("304 Not Modified", "Content-Length: 1000"),
    "304 has no body though it says chunks": empty(
        "304 Not Modified", "Transfer-Encoding: chunked", 'ETag: "x"'
    ),
    "304 has no body and says nothing of it": empty("304 Not Modified", 'ETag: "x"'),
    "205 has a body of no length": empty("205 Reset Content", "Content-Length: 0"),
    "200 may have a body of no length": empty("200 OK", "Content-Length: 0"),
    "a length with zeros in front is kept": empty("200 OK", "Content-Length: 000"),
    "a chunked body of nothing is kept": empty("200 OK", "Transfer-Encoding: chunked") + chunks(),
    "a chunked body of nothing with zeros is kept": empty("200 OK", "transfer-encoding:  Chunked")
    + b"0000\r\n\r\n",
}

_TO_HEAD = {
    "with a length": empty("200 OK", "Content-Length: 1000"),
    "with chunks": empty("200 OK", "Transfer-Encoding: chunked"),
    "with nothing about a body": empty("200 OK", "X: 1"),
    "that is an error": empty("404 Not Found", "Content-Length: 9"),
}

_CHUNKED = empty("200 OK", "Transfer-Encoding: chunked")

_BODIES = {
    "the sizes of chunks are kept": _CHUNKED + chunks(b"a", b"bc", b"d" * 300, b"e"),
    "the spelling of a chunk's size is kept": _CHUNKED
    + b"00A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    "extensions of chunks are kept": _CHUNKED
    + b'2;name=value;q="a b;c"\r\nok\r\n1 ;x\r\n!\r\n0;last\r\n\r\n',
    "trailers are kept with case and order and repeats": _CHUNKED
    + chunks(b"ok", trailers=["X-B: 1", "x-a:2 ", "X-b: 3", "Empty:"]),
    "trailers of 40 KiB are kept": _CHUNKED + chunks(b"ok", trailers=[f"X-Sum: {'s' * 40_960}"]),
    "a hundred trailers are kept": _CHUNKED
    + chunks(b"ok", trailers=[f"X-{n}: {n}" for n in range(100)]),
    "trailers that should be headers are kept": _CHUNKED
    + chunks(b"ok", trailers=["Content-Length: 7", "Host: x", "traceparent: y"]),
    "a chunk of 1 MiB is kept": _CHUNKED + chunks(b"c" * (1 << 20)),
    "ten thousand chunks are kept": _CHUNKED + chunks(*([b"x"] * 10_000)),
    "a body of 1 MiB is kept": ok(body=bytes(range(256)) * 4_096),
    "a body that looks like a response is kept": ok(body=ok()),
    "a compressed body is not touched": ok(
        "Content-Encoding: gzip", body=gzip.compress(b"a" * 999)
    ),
    "a body with a false coding is not touched": ok("Content-Encoding: br", body=b"\x00\xff"),
    "a range is not touched": ok(
        "Content-Range: bytes 0-1/9", status="206 Partial Content", body=b"ok"
    ),
    "two equal lengths are kept": empty("200 OK", "Content-Length: 2", "Content-Length: 2") + b"ok",
}

_LENIENT = {
    "a folded line of a response is kept": empty("200 OK", "X: 1", " 2", "Content-Length: 0"),
    "bare line feeds of a response are kept": b"HTTP/1.1 200 OK\nX: 1\nContent-Length: 2\n\nok",
    "white space before a colon of a response is kept": empty(
        "200 OK", "X : 1", "Content-Length: 0"
    ),
}

_UNTIL_CLOSE = {
    "a body ends with the connection": empty("200 OK") + b"until the end",
    "a body of version 1.0 ends with the connection": head("HTTP/1.0 200 OK", "X: 1") + b"body",
    "a body that ends with the connection may be empty": empty("200 OK"),
    "a body of 1 MiB ends with the connection": empty("200 OK", "Connection: close")
    + b"b" * (1 << 20),
    "a coding that is not chunked ends with the connection": empty(
        "200 OK", "Transfer-Encoding: gzip"
    )
    + b"\x1f\x8b",
}

_LAST = {
    "a response that says close is followed by the end": ok("Connection: close"),
    "a response that says close may be chunked": empty(
        "200 OK", "Transfer-Encoding: chunked", "Connection: Close"
    )
    + chunks(b"ok"),
    "a response of version 1.0 with a length is followed by the end": ok(version="1.0"),
}

_INTERIM = {
    "100 passes at once": empty("100 Continue"),
    "102 passes at once": empty("102 Processing", "X-Progress: 10%"),
    "103 passes at once with its links": empty(
        "103 Early Hints", "Link: </a.css>; rel=preload", "Link: </b.js>; rel=preload"
    ),
    "an interim response of no name passes at once": empty("199", "X:  1 "),
    "an interim response without a reason passes at once": empty("103 ", "A: 1"),
}

CASES = [
    *(wire_case(title, asked_and_answered(None, ok(*lines))) for title, lines in _LINES.items()),
    *(
        wire_case(
            f"the status line {status!r} is kept", asked_and_answered(None, ok(status=status))
        )
        for status in _STATUS
    ),
    wire_case(
        "a reason of 2 KiB is kept", asked_and_answered(None, ok(status=f"200 {'why ' * 512}"))
    ),
    *(
        wire_case(title, asked_and_answered(None, response), asked_and_answered(), requests=2)
        for title, response in (_NO_BODY | _BODIES | _LENIENT).items()
    ),
    *(
        wire_case(
            f"a response to HEAD {title} has no body",
            asked_and_answered(get(method="HEAD"), response),
            asked_and_answered(),
            requests=2,
        )
        for title, response in _TO_HEAD.items()
    ),
    *(
        wire_case(title, client.sends(get()), server.sends(response), server.closes())
        for title, response in _UNTIL_CLOSE.items()
    ),
    *(
        wire_case(
            title,
            client.sends(get()),
            server.sends(response),
            server.closes(),
        )
        for title, response in _LAST.items()
    ),
    *(
        wire_case(
            title,
            client.sends(get()),
            server.sends(response),
            server.sends(ok()),
            asked_and_answered(),
            requests=2,
        )
        for title, response in _INTERIM.items()
    ),
    wire_case(
        "several interim responses pass one by one",
        client.sends(get()),
        [server.sends(response) for response in _INTERIM.values()],
        server.sends(ok()),
    ),
    wire_case(
        "interim responses pass together with the final one",
        asked_and_answered(None, b"".join(_INTERIM.values()) + ok()),
    ),
    wire_case(
        "each piece of a body passes when it is sent",
        client.sends(get()),
        server.sends(_CHUNKED),
        [server.sends(b"5\r\nhello\r\n"), server.sends(b"1;a=b\r\n"), server.sends(b"!")],
        [server.sends(b"\r\n0\r\n"), server.sends(b"X-Sum: 1\r\n"), server.sends(b"\r\n")],
    ),
    wire_case(
        "each event of a stream passes when it is sent",
        client.sends(get("Accept: text/event-stream")),
        server.sends(empty("200 OK", "Content-Type: text/event-stream", "Cache-Control: no-cache")),
        [server.sends(b"id: %d\ndata: x\n\n" % n) for n in range(5)],
        server.closes(),
    ),
    wire_case(
        "a response that comes byte by byte passes whole",
        client.sends(get()),
        server.trickles(empty("103 Early Hints", "A: 1") + _CHUNKED + chunks(b"ok", b"more")),
        asked_and_answered(),
        requests=2,
    ),
]
