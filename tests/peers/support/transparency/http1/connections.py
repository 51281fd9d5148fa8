"""Cases: what becomes of connections, and what they become when they leave HTTP."""

from ..script import END, HERE, client, deviates, from_act, server
from .parts import (
    CONNECT,
    asked_and_answered,
    chunks,
    empty,
    get,
    ok,
    post,
    wire_case,
)

_KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
_WEBSOCKET = get(
    "upgrade: WebSocket",
    "Connection: keep-alive, Upgrade",
    _KEY,
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    b"Origin: http://" + HERE,
)
_SWITCHED = empty(
    "101 Switching Protocols",
    "upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
)
_CLOSE_FRAMES = (b"\x88\x82\x00\x00\x00\x00\x03\xe8", b"\x88\x02\x03\xe8")
_UNKNOWN = get("Connection: upgrade", "Upgrade: chargen/9")
_UNKNOWN_SWITCHED = empty("101 Switching Protocols", "Connection: upgrade", "Upgrade: chargen/9")
_CHUNKED = empty("200 OK", "Transfer-Encoding: chunked")
_OPAQUE = bytes(range(256)) + b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"

_REUSE = [
    wire_case(
        "ten requests share a connection",
        [asked_and_answered(get(target=f"/{n}"), ok(f"N: {n}")) for n in range(10)],
        requests=10,
    ),
    wire_case(
        "requests of every kind share a connection",
        asked_and_answered(post(b"body")),
        asked_and_answered(get(method="HEAD"), empty("200 OK", "Content-Length: 5")),
        asked_and_answered(
            get("Transfer-Encoding: chunked", method="PUT") + chunks(b"x"), _CHUNKED + chunks(b"y")
        ),
        asked_and_answered(None, empty("204 No Content")),
        requests=4,
    ),
    wire_case(
        "a connection of version 1.0 is kept if both say so",
        [
            asked_and_answered(
                get("Connection: keep-alive", version="1.0"),
                ok("Connection: keep-alive", version="1.0"),
            )
            for _ in range(2)
        ],
        requests=2,
    ),
    wire_case(
        "two connections at once do not mix",
        client[0].sends(get(target="/first")),
        client[1].sends(get(target="/second")),
        server[1].sends(ok(body=b"second")),
        server[0].sends(ok(body=b"first")),
        client[0].sends(get(target="/third")),
        server[0].sends(ok(body=b"third")),
        client[1].closes(),
        requests=3,
    ),
    wire_case(
        "a client that says close may go first",
        asked_and_answered(get("Connection: close"), ok("Connection: close")),
    ),
    wire_case(
        "a server closes after its response",
        asked_and_answered(get("Connection: close"), ok("Connection: close")),
        server.closes(),
    ),
    wire_case(
        "a server half-closes after its response",
        asked_and_answered(None, ok("Connection: close")),
        server.half_closes(),
        deviations=deviates("a server that half-closes", server.instead_sees(2, ended=END)),
    ),
    wire_case(
        "a server closes a kept connection between requests",
        asked_and_answered(),
        server.closes(),
    ),
    wire_case(
        "a server closes without an answer a connection that has had one",
        asked_and_answered(),
        client.sends(get(target="/again")),
        server.closes(),
        requests=2,
    ),
    wire_case(
        "a server resets without an answer a connection that has had one",
        asked_and_answered(),
        client.sends(get(target="/again")),
        server.resets(),
        requests=2,
    ),
]

_ENDINGS = [
    wire_case(
        "a client half-closes behind its request and gets its answer",
        client.sends(get()),
        client.half_closes(),
        server.sends(ok()),
        server.closes(),
    ),
    wire_case(
        "a client half-closes behind a body and gets a long answer",
        client.sends(post(b"body")),
        client.half_closes(),
        server.sends(_CHUNKED),
        server.sends(b"4\r\npart\r\n"),
        server.sends(b"0\r\n\r\n"),
        server.closes(),
    ),
    wire_case(
        "a client half-closes while the answer is on its way",
        client.sends(get()),
        server.sends(_CHUNKED),
        client.half_closes(),
        server.sends(b"4\r\npart\r\n0\r\n\r\n"),
        server.closes(),
    ),
    wire_case(
        "a client half-closes in the middle of its body",
        client.sends(get("Content-Length: 10", method="POST") + b"12345"),
        client.half_closes(),
        server.sends(ok("Connection: close", status="400 Bad Request")),
        server.closes(),
    ),
    wire_case(
        "a client closes while it waits for the answer",
        client.sends(get()),
        client.half_closes(),
        server.closes(),
    ),
    wire_case(
        "a client resets before the answer",
        client.sends(get()),
        client.resets(),
    ),
    wire_case(
        "a client resets in the middle of its body",
        client.sends(get("Content-Length: 10", method="POST") + b"12345"),
        client.resets(),
    ),
    wire_case(
        "a client resets in the middle of the answer",
        client.sends(get()),
        server.sends(_CHUNKED + b"4\r\npart\r\n"),
        client.resets(),
    ),
    wire_case(
        "a client resets a kept connection between requests",
        asked_and_answered(),
        client.resets(),
        deviations=deviates("a reset outside of an exchange", server.instead_sees(2, ended=END)),
    ),
    wire_case(
        "a server closes in the middle of a body with a length",
        client.sends(get()),
        server.sends(empty("200 OK", "Content-Length: 10") + b"12345"),
        server.closes(),
    ),
    wire_case(
        "a server closes in the middle of a chunk",
        client.sends(get()),
        server.sends(_CHUNKED + b"a\r\n12345"),
        server.closes(),
    ),
    wire_case(
        "a server closes between chunks",
        client.sends(get()),
        server.sends(_CHUNKED + b"5\r\n12345\r\n"),
        server.closes(),
    ),
    wire_case(
        "a server closes behind the last chunk without the last line",
        client.sends(get()),
        server.sends(_CHUNKED + b"5\r\n12345\r\n0\r\n"),
        server.closes(),
    ),
    wire_case(
        "a server half-closes in the middle of a body",
        client.sends(get()),
        server.sends(empty("200 OK", "Content-Length: 10") + b"12345"),
        server.half_closes(),
        deviations=deviates(
            "a server that half-closes", server.instead_sees(from_act(2), ended=END)
        ),
    ),
    wire_case(
        "a server resets in the middle of a body with a length",
        client.sends(get()),
        server.sends(empty("200 OK", "Content-Length: 10") + b"12345"),
        server.resets(),
    ),
    wire_case(
        "a server resets in the middle of a chunked body",
        client.sends(get()),
        server.sends(_CHUNKED + b"5\r\n12345\r\n"),
        server.resets(),
    ),
    wire_case(
        "a server resets a body that would end with the connection",
        client.sends(get()),
        server.sends(empty("200 OK") + b"12345"),
        server.resets(),
    ),
    wire_case(
        "a server resets a kept connection between requests",
        asked_and_answered(),
        server.resets(),
        deviations=deviates(
            "a reset outside of an exchange", client.instead_sees(from_act(2), ended=END)
        ),
    ),
]

_UPGRADES = [
    wire_case(
        "a websocket is shaken hands on and closed without a change",
        asked_and_answered(_WEBSOCKET, _SWITCHED),
        client.sends(b"\x81\x85\x00\x00\x00\x00hello"),
        server.sends(b"\x81\x05hello"),
        client.sends(_CLOSE_FRAMES[0]),
        server.sends(_CLOSE_FRAMES[1]),
        server.closes(),
    ),
    wire_case(
        "a websocket is closed by the server",
        asked_and_answered(_WEBSOCKET, _SWITCHED),
        server.sends(_CLOSE_FRAMES[1]),
        client.sends(_CLOSE_FRAMES[0]),
        server.closes(),
    ),
    wire_case(
        "a websocket that is reset by the client is reset",
        asked_and_answered(_WEBSOCKET, _SWITCHED),
        client.resets(),
    ),
    wire_case(
        "a websocket that is reset by the server is reset",
        asked_and_answered(_WEBSOCKET, _SWITCHED),
        server.resets(),
    ),
    wire_case(
        "a websocket may be refused",
        asked_and_answered(_WEBSOCKET, ok(status="403 Forbidden")),
        asked_and_answered(),
        requests=2,
    ),
    wire_case(
        "an unknown protocol is switched to and then opaque both ways",
        asked_and_answered(_UNKNOWN, _UNKNOWN_SWITCHED),
        client.sends(_OPAQUE),
        server.sends(_OPAQUE[::-1]),
        client.sends(b"\x00"),
        server.sends(b"\xff" * 100_000),
    ),
    wire_case(
        "bytes of the new protocol may come with the answer",
        asked_and_answered(_UNKNOWN, _UNKNOWN_SWITCHED + _OPAQUE),
        client.sends(_OPAQUE),
    ),
    wire_case(
        "the client half-closes what it switched to",
        asked_and_answered(_UNKNOWN, _UNKNOWN_SWITCHED),
        client.half_closes(),
        server.sends(_OPAQUE),
        server.closes(),
    ),
    wire_case(
        "the server half-closes what it switched to",
        asked_and_answered(_UNKNOWN, _UNKNOWN_SWITCHED),
        server.half_closes(),
        client.sends(_OPAQUE),
        client.closes(),
    ),
    wire_case(
        "an expectation is answered before the switch",
        client.sends(
            get(
                "Connection: upgrade",
                "Upgrade: x",
                "Expect: 100-continue",
                "Content-Length: 2",
                method="POST",
            )
        ),
        server.sends(empty("100 Continue")),
        client.sends(b"ok"),
        server.sends(empty("101 Switching Protocols", "Upgrade: x", "Connection: upgrade")),
        client.sends(_OPAQUE),
        server.sends(_OPAQUE),
    ),
    wire_case(
        "an upgrade may be ignored",
        asked_and_answered(_UNKNOWN),
        asked_and_answered(),
        requests=2,
    ),
    wire_case(
        "an upgrade may be required",
        asked_and_answered(
            None,
            ok("Upgrade: TLS/1.0, HTTP/2.0", "Connection: Upgrade", status="426 Upgrade Required"),
        ),
    ),
    wire_case(
        "an upgrade to h2c passes and may be ignored",
        asked_and_answered(
            get(
                "Connection: Upgrade, HTTP2-Settings",
                "Upgrade: h2c",
                "HTTP2-Settings: AAMAAABkAAQAAP__",
            )
        ),
        asked_and_answered(),
        requests=2,
    ),
    wire_case(
        "an upgrade to h2c passes and may be taken",
        asked_and_answered(
            get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
            empty("101 Switching Protocols", "Connection: Upgrade", "Upgrade: h2c")
            + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        ),
        client.sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    ),
    wire_case(
        "an upgrade of a version 1.0 request is the server's business",
        asked_and_answered(
            get("Connection: upgrade", "Upgrade: x", version="1.0"), ok("Connection: close")
        ),
        server.closes(),
    ),
    wire_case(
        "several protocols in several lines pass",
        asked_and_answered(
            get("Upgrade: a/1, b", "Connection: Upgrade", "Upgrade: websocket", "Connection: x")
        ),
    ),
]

_TUNNELS = [
    wire_case(
        "CONNECT to the application passes and becomes a tunnel",
        asked_and_answered(CONNECT, empty("200 Fine", "X: 1")),
        client.sends(_OPAQUE),
        server.sends(_OPAQUE),
        client.half_closes(),
        server.sends(b"last"),
        server.closes(),
        paths=("inbound",),
    ),
    wire_case(
        "CONNECT to the application may be refused",
        asked_and_answered(CONNECT, ok(status="405 Method Not Allowed")),
        asked_and_answered(),
        requests=2,
        paths=("inbound",),
    ),
]

CASES = [*_REUSE, *_ENDINGS, *_UPGRADES, *_TUNNELS]
