"""Cases: resets, many streams, and what belongs to a connection."""

from ..script import client, server
from .parts import CODES, LAST, exchange, lines, request, response
from .parts import stream_case as case


def _resets(title, before, reset):
    return [case(f"{title} with {name}", before, reset(1, code)) for name, code in CODES.items()]


_OPEN = [client.heads(1, request(method="POST"))]
_ANSWERING = [*_OPEN, server.heads(1, response())]
_FLOWING = [*_ANSWERING, client.sends(1, b"up"), server.sends(1, b"down")]
_MANY = range(1, 201, 2)

CASES = [
    *_resets("a server resets before its answer", _OPEN, server.resets_stream),
    *_resets("a server resets behind its head", _ANSWERING, server.resets_stream),
    *_resets("a server resets within its body", _FLOWING, server.resets_stream),
    *_resets("a client resets before the answer", _OPEN, client.resets_stream),
    *_resets("a client resets behind the head of the answer", _ANSWERING, client.resets_stream),
    *_resets("a client resets within the bodies", _FLOWING, client.resets_stream),
    case(
        "a client resets behind its whole request",
        client.heads(1, request(), LAST),
        client.resets_stream(1, 8),
    ),
    case(
        "a reset of one stream leaves the others alone",
        client.heads(1, request(method="POST")),
        client.heads(3, request(method="POST")),
        server.heads(1, response()),
        server.heads(3, response()),
        client.resets_stream(1, 8),
        server.sends(3, b"still here"),
        client.sends(3, b"here too", LAST),
        server.sends(3, b"", LAST),
        exchange(5),
        requests=3,
    ),
    case(
        "a hundred streams are open at once and answered in another order",
        [client.heads(stream, request(f"n: {stream}", method="POST")) for stream in _MANY],
        [server.heads(stream, response(f"n: {stream}"), LAST) for stream in reversed(_MANY)],
        [client.sends(stream, b"late", LAST) for stream in _MANY],
        requests=len(_MANY),
    ),
    case(
        "bodies of many streams do not mix",
        [client.heads(stream, request(method="POST")) for stream in _MANY[:20]],
        [client.sends(stream, b"%d." % stream * 5_000, LAST) for stream in _MANY[:20]],
        [server.heads(stream, response()) for stream in _MANY[:20]],
        [server.sends(stream, b"%d!" % stream * 5_000) for stream in reversed(_MANY[:20])],
        [server.heads(stream, lines("x: 1"), LAST) for stream in _MANY[:20]],
        requests=20,
    ),
    case(
        "two connections at once do not mix",
        client[0].heads(1, request(path="/first"), LAST),
        client[1].heads(1, request(path="/second"), LAST),
        server[1].heads(1, response("n: second"), LAST),
        server[0].heads(1, response("n: first"), LAST),
        requests=2,
    ),
    case(
        "thirty requests share a connection",
        [exchange(stream, request(path=f"/{stream}")) for stream in _MANY[:30]],
        requests=30,
    ),
    case(
        "CONNECT to the application may be refused",
        client.heads(1, [(":method", "CONNECT"), (":authority", "other.example:443")]),
        server.heads(1, response(status=405), LAST),
        client.sends(1, b"", LAST),
        paths=("inbound",),
    ),
    case(
        "CONNECT to the application may be taken",
        client.heads(1, [(":method", "CONNECT"), (":authority", "other.example:443")]),
        server.heads(1, response()),
        client.sends(1, b"\x00opaque"),
        server.sends(1, b"\xffopaque"),
        client.sends(1, b"", LAST),
        server.sends(1, b"", LAST),
        paths=("inbound",),
    ),
]
