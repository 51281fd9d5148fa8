"""Cases: bodies of requests, expectations, and answers that come before the request has ended."""

from ..script import client, server
from .parts import asked_and_answered, chunks, empty, get, ok, post, wire_case

_CHUNKED = get("Transfer-Encoding: chunked", method="POST")

_BODIES = {
    "a body of a request is kept": post(b"name=value"),
    "a request may say that it has no body": post(b""),
    "a body of GET is kept": post(b"query", method="GET"),
    "a body of DELETE is kept": post(b"why", method="DELETE"),
    "a body of an unknown method is kept": post(b"<q/>", method="REPORT"),
    "a compressed body of a request is kept": post(b"\x1f\x8b\x08\x00", "Content-Encoding: gzip"),
    "a connection option that names the length strips nothing": post(
        b"body", "Connection: Content-Length"
    ),
    "a connection option that names the framing strips nothing": get(
        "Connection: transfer-encoding, trailer",
        "Trailer: X",
        "Transfer-Encoding: chunked",
        method="POST",
    )
    + chunks(b"ok", trailers=["X: 1"]),
    "a body of version 1.0 is kept": get("Content-Length: 2", method="POST", version="1.0") + b"ok",
    "a body of 1 MiB of a request is kept": post(bytes(range(256)) * 4_096),
    "a body that looks like a request is kept": post(get()),
    "a chunked request of nothing is kept": _CHUNKED + chunks(),
    "the sizes of a request's chunks are kept": _CHUNKED + chunks(b"a", b"bc", b"d" * 300),
    "extensions of a request's chunks are kept": _CHUNKED + b'2;n=v;q="a;b"\r\nok\r\n0;z\r\n\r\n',
    "trailers of a request are kept": get(
        "Trailer: X-Sum, X-b", "TE: trailers", "Transfer-Encoding: chunked", method="POST"
    )
    + chunks(b"ok", trailers=["X-Sum: 1", "X-b:2 ", "X-Sum: 3"]),
    "trailers of 40 KiB of a request are kept": _CHUNKED
    + chunks(b"ok", trailers=[f"X-Sum: {'s' * 40_960}"]),
    "chunks of 1 MiB of a request are kept": _CHUNKED + chunks(*([b"c" * 65_536] * 16)),
    "a compressed and chunked request is kept": get(
        "Transfer-Encoding: gzip, chunked", method="POST"
    )
    + chunks(b"\x1f\x8b"),
}

_EXPECTS = get("Expect: 100-continue", "Content-Length: 4", method="PUT")

CASES = [
    *(
        wire_case(title, asked_and_answered(request), asked_and_answered(), requests=2)
        for title, request in _BODIES.items()
        if "1.0" not in title
    ),
    wire_case(
        "a body of version 1.0 is kept",
        asked_and_answered(_BODIES["a body of version 1.0 is kept"], ok(version="1.0")),
        server.closes(),
    ),
    wire_case(
        "each piece of a request passes when it is sent",
        client.sends(_CHUNKED),
        [client.sends(b"5\r\nhello\r\n"), client.sends(b"1;a=b\r\n"), client.sends(b"!")],
        [client.sends(b"\r\n0\r\n"), client.sends(b"X-Sum: 1\r\n"), client.sends(b"\r\n")],
        server.sends(ok()),
    ),
    wire_case(
        "a request whose body comes byte by byte passes whole",
        client.sends(_CHUNKED),
        client.trickles(chunks(b"one", b"two", trailers=["X: 1"])),
        server.sends(ok()),
    ),
    wire_case(
        "a request that comes byte by byte passes whole",
        client.trickles(get("A: 1", "B:2 ", method="POST", target="/slow")),
        server.sends(ok()),
    ),
    wire_case(
        "both bodies pass at the same time",
        client.sends(_CHUNKED),
        server.sends(empty("200 OK", "Transfer-Encoding: chunked")),
        client.sends(b"4\r\nping\r\n"),
        server.sends(b"4\r\npong\r\n"),
        client.sends(b"4\r\nping\r\n"),
        server.sends(b"4\r\npong\r\n"),
        client.sends(b"0\r\n\r\n"),
        server.sends(b"0\r\n\r\n"),
        asked_and_answered(),
        requests=2,
    ),
    wire_case(
        "both bodies of 1 MiB pass",
        client.sends(post(b"up" * 524_288)),
        server.sends(ok(body=b"down" * 262_144)),
    ),
    wire_case(
        "only the application answers an expectation",
        client.sends(_EXPECTS),
        server.sends(empty("100 Continue", "X: 1")),
        client.sends(b"body"),
        server.sends(ok()),
        asked_and_answered(),
        requests=2,
    ),
    wire_case(
        "an application may leave an expectation unanswered",
        client.sends(_EXPECTS),
        client.sends(b"body"),
        server.sends(ok()),
    ),
    wire_case(
        "an expectation may be refused with 417",
        client.sends(_EXPECTS),
        server.sends(ok("Connection: close", status="417 Expectation Failed")),
        server.closes(),
    ),
    wire_case(
        "an expectation may be answered with a final status and no body then",
        client.sends(_EXPECTS),
        server.sends(ok("Connection: close", status="401 Unauthorized")),
        server.closes(),
    ),
    wire_case(
        "an expectation may be answered finally and the body come all the same",
        client.sends(_EXPECTS),
        server.sends(ok(status="413 Content Too Large")),
        client.sends(b"body"),
        asked_and_answered(),
        requests=2,
    ),
    wire_case(
        "an unknown expectation passes",
        asked_and_answered(get("Expect: 200-ok; x=y, other", method="POST")),
    ),
    wire_case(
        "an expectation and its body may come at once",
        asked_and_answered(_EXPECTS + b"body", empty("100 Continue") + ok()),
    ),
    wire_case(
        "an early answer passes and the server goes on reading",
        client.sends(_CHUNKED),
        client.sends(b"4\r\npart\r\n"),
        server.sends(ok(status="202 Accepted")),
        client.sends(b"4\r\nmore\r\n"),
        client.sends(b"0\r\n\r\n"),
    ),
    wire_case(
        "an early answer of a known length is followed by the rest of the request",
        client.sends(post(b"12345678")[:-4]),
        server.sends(ok()),
        client.sends(b"5678"),
        asked_and_answered(),
        requests=2,
    ),
    wire_case(
        "an early answer passes and the server closes",
        client.sends(_CHUNKED),
        client.sends(b"4\r\npart\r\n"),
        server.sends(ok("Connection: close", status="413 Content Too Large")),
        server.closes(),
    ),
    wire_case(
        "an early last answer passes and the server goes on reading",
        client.sends(_CHUNKED),
        client.sends(b"4\r\npart\r\n"),
        server.sends(ok("Connection: close", status="202 Accepted")),
        client.sends(b"4\r\nmore\r\n"),
        client.sends(b"0\r\n\r\n"),
        server.closes(),
    ),
    wire_case(
        "an early answer in chunks passes while the request goes on",
        client.sends(_CHUNKED),
        server.sends(empty("200 OK", "Transfer-Encoding: chunked") + b"2\r\nok\r\n"),
        client.sends(b"4\r\nmore\r\n"),
        server.sends(b"0\r\n\r\n"),
        client.sends(b"0\r\n\r\n"),
    ),
]
