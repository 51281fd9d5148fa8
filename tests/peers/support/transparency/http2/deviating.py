"""Cases that show a deviation and nothing else: what is for one hop alone, or cannot be helped."""

from ..script import END, HERE, client, deviates, from_act, server
from .parts import (
    CANCEL,
    INTERNAL_ERROR,
    LAST,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    exchange,
    grpc,
    grpc_reply,
    lines,
    reply,
    request,
    response,
    seen,
)
from .parts import stream_case as case

_GET, _OK = request(), response()
_ASKED, _ANSWERED = {1: [seen(_GET, LAST)]}, {1: [seen(_OK, LAST)]}
_POST = request(method="POST")
_MANY_LINES = [f"x-{n}: {n}" for n in range(200)]
_CLOSED = "the upstream closed the connection"
_LOST = "the upstream reset the connection"
_BAD = reply(502, "the upstream's response is not valid HTTP")
_TOO_LARGE = reply(
    431, "the request's head is larger than limits.header_bytes or limits.header_count"
)
_PSEUDO = [(":path", "/"), (":authority", HERE), (":scheme", "http"), (":method", "GET")]
_GONE = (0, 0, b"")
_EXTENDED = [
    (":method", "CONNECT"),
    (":scheme", "http"),
    (":authority", HERE),
    (":path", "/chat"),
    (":protocol", "websocket"),
]


def _reset(code):
    return ("reset", code)


def _is_refused(title, asked, told, name="malformed messages of HTTP/2", ended=""):
    """A request that goes no further; the client is told so."""
    refused = deviates(
        name,
        client.instead_sees(from_act(0), told, ended),
        server.instead_sees(from_act(0), {}, ""),
        requests=0,
    )
    return case(title, client.heads(1, asked, LAST), deviations=refused)


def _hop(title, *acts, **more):
    """A case in which the first act is a request, and nothing that follows reaches anybody."""
    return case(title, client.heads(1, _POST), *acts, server.heads(1, _OK, LAST), **more)


def _frames_of_a_hop(last):
    return deviates(
        "frames of one hop",
        server.instead_sees(range(1, last), {1: [seen(_POST)]}),
        client.instead_sees(range(1, last), {}),
        server.instead_sees(last, {1: [seen(_POST)]}),
        client.instead_sees(last, _ANSWERED),
    )


_HOPS = [
    _hop(
        "a ping is answered by the next hop",
        client.pings(b"12345678"),
        server.pings(b"87654321"),
        deviations=_frames_of_a_hop(3),
    ),
    _hop(
        "a priority frame is for the next hop",
        client.prioritises(1),
        deviations=_frames_of_a_hop(2),
    ),
    _hop(
        "a frame of an unknown type is for the next hop",
        client.says_something_unknown(1, 0xFA, b"what"),
        server.says_something_unknown(0, 0xFB, b"what"),
        deviations=_frames_of_a_hop(3),
    ),
    _hop(
        "a setting that nobody knows is for the next hop",
        client.sets({0xF0: 1}),
        server.sets({0xF1: 1}),
        deviations=_frames_of_a_hop(3),
    ),
    case(
        "a stream that the server does not take yet waits",
        client.heads(1, _GET, LAST),
        client.heads(3, _GET, LAST),
        server.heads(1, _OK, LAST),
        server.heads(3, _OK, LAST),
        requests=2,
        settings={"server": {3: 1}},
        deviations=deviates("settings of one hop", server.instead_sees(1, _ASKED)),
    ),
]

_ENDINGS = [
    _hop(
        "a client that goes away lets its streams end",
        client.goes_away(0),
        deviations=deviates("GOAWAY", server.instead_sees(from_act(1), {1: [seen(_POST)]})),
    ),
    case(
        "a server that goes away answers what it took, and the next request finds another way",
        client.heads(1, _GET, LAST),
        server.goes_away(1),
        server.heads(1, _OK, LAST),
        client.heads(3, _GET, LAST),
        requests=2,
        deviations=deviates(
            "GOAWAY",
            client.instead_sees(1, {}),
            client.instead_sees(from_act(2), _ANSWERED),
            server.instead_sees(from_act(2), _ASKED | {0: [("goaway", *_GONE)]}, END),
            server[1].instead_sees(from_act(3), _ASKED),
        ),
    ),
    case(
        "a request that a server that goes away did not take is refused and may be tried again",
        client.heads(1, _GET, LAST),
        client.heads(3, _GET, LAST),
        server.goes_away(1),
        server.heads(1, _OK, LAST),
        requests=2,
        deviations=deviates(
            "GOAWAY",
            client.instead_sees(2, {3: [_reset(REFUSED_STREAM)]}),
            client.instead_sees(from_act(3), {3: [_reset(REFUSED_STREAM)]} | _ANSWERED),
            server.instead_sees(
                3, {1: [seen(_GET, LAST)], 3: [seen(_GET, LAST)], 0: [("goaway", *_GONE)]}, END
            ),
        ),
    ),
    case(
        "a client that closes resets its streams",
        client.heads(1, _POST),
        server.heads(1, _OK),
        client.half_closes(),
        deviations=deviates(
            "the end of an HTTP/2 connection",
            client.instead_sees(2, ended=END),
            server.instead_sees(2, {1: [seen(_POST), _reset(CANCEL)], 0: [("goaway", *_GONE)]}),
        ),
    ),
    case(
        "a client that is reset resets its streams",
        client.heads(1, _POST),
        server.heads(1, _OK),
        client.resets(),
        deviations=deviates(
            "the end of an HTTP/2 connection",
            server.instead_sees(
                2, {1: [seen(_POST), _reset(CANCEL)], 0: [("goaway", *_GONE)]}, END
            ),
        ),
    ),
    case(
        "a client that closes without a stream says that it goes away",
        exchange(),
        client.half_closes(),
        deviations=deviates(
            "the end of an HTTP/2 connection",
            client.instead_sees(2, ended=END),
            server.instead_sees(2, _ASKED | {0: [("goaway", *_GONE)]}),
        ),
    ),
    case(
        "a server that closes without a stream leaves the client its connection",
        exchange(),
        server.half_closes(),
        client.heads(3, _GET, LAST),
        requests=2,
        deviations=deviates(
            "the end of an HTTP/2 connection",
            client.instead_sees((2, 3), ended=""),
            server.instead_sees((2, 3), _ASKED, END),
            server[1].instead_sees(3, _ASKED),
        ),
    ),
    case(
        "a server that closes without an answer is answered for",
        client.heads(1, _GET, LAST),
        server.half_closes(),
        deviations=deviates(
            "a server that does not answer",
            client.instead_sees(1, {1: reply(502, _CLOSED)}, ""),
            server.instead_sees(1, ended=END),
        ),
    ),
    case(
        "a server that resets without an answer is answered for",
        client.heads(1, _GET, LAST),
        server.resets(),
        deviations=deviates(
            "a server that does not answer", client.instead_sees(1, {1: reply(502, _LOST)}, "")
        ),
    ),
    case(
        "a server that closes without an answer to gRPC is answered for",
        client.heads(1, grpc(), LAST),
        server.half_closes(),
        deviations=deviates(
            "a server that does not answer",
            client.instead_sees(1, {1: grpc_reply(14, _CLOSED)}, ""),
            server.instead_sees(1, ended=END),
        ),
    ),
    *(
        case(
            f"a server that {what} within a body resets the stream",
            client.heads(1, _GET, LAST),
            server.heads(1, _OK),
            server.sends(1, b"part"),
            act,
            deviations=deviates(
                "the end of an HTTP/2 connection",
                client.instead_sees(
                    3, {1: [seen(_OK), ("data", b"part", False), _reset(INTERNAL_ERROR)]}, ""
                ),
                server.instead_sees(3, ended=END if what == "closes" else ""),
            ),
        )
        for what, act in {"closes": server.half_closes(), "resets": server.resets()}.items()
    ),
]

_LISTS = [
    case(
        "repeats between other names move to the first",
        exchange(
            ask=request("x-a: 1", "x-b: 2", "x-a: 3"), answer=response("y: 1", "z: 2", "y: 3")
        ),
        deviations=deviates(
            "repeats between other names in HTTP/2",
            server.instead_sees((0, 1), {1: [seen(request("x-a: 1", "x-a: 3", "x-b: 2"), LAST)]}),
            client.instead_sees(1, {1: [seen(response("y: 1", "y: 3", "z: 2"), LAST)]}),
        ),
    ),
    case(
        "pseudo-headers are written in one order",
        exchange(ask=_PSEUDO),
        deviations=deviates(
            "the order of pseudo-headers", server.instead_sees((0, 1), {1: [seen(_GET, LAST)]})
        ),
    ),
    case(
        "lines that are never to be indexed keep that mark",
        exchange(
            ask=[*_GET, ("authorization", "secret", True)],
            answer=[*_OK, ("set-cookie", "secret", True)],
        ),
    ),
    case(
        "pseudo-headers that are never to be indexed lose that mark",
        exchange(ask=[*_GET[:-1], (_GET[-1][0], _GET[-1][1], True)]),
        deviations=deviates(
            "lines never to be indexed", server.instead_sees((0, 1), {1: [seen(_GET, LAST)]})
        ),
    ),
    _is_refused(
        "a fragment is refused",
        request(path="/a?b#c"),
        {1: [_reset(PROTOCOL_ERROR)]},
        "targets that are no URI in HTTP/2",
    ),
    _is_refused(
        "a target of characters that no URI has is refused",
        request(path='/"<>\\^`'),
        {1: [_reset(PROTOCOL_ERROR)]},
        "targets that are no URI in HTTP/2",
    ),
    _is_refused(
        "more lines than the limit are refused",
        request(*_MANY_LINES),
        {1: _TOO_LARGE},
        "the bounds of a head",
    ),
    _is_refused(
        "a list larger than the limit is refused",
        request(f"x-long: {'v' * 70_000}"),
        {1: _TOO_LARGE},
        "the bounds of a head",
    ),
    case(
        "more trailers than the limit reset the stream",
        client.heads(1, _GET, LAST),
        server.heads(1, _OK),
        server.heads(1, lines(*_MANY_LINES), LAST),
        deviations=deviates(
            "the bounds of a head",
            client.instead_sees(2, {1: [seen(_OK), _reset(INTERNAL_ERROR)]}),
        ),
    ),
]

_MALFORMED = [
    _is_refused(
        "a request with a line of the connection is reset",
        request("connection: close"),
        {1: [_reset(PROTOCOL_ERROR)]},
    ),
    _is_refused(
        "a request whose host is not its authority is reset",
        request("host: other.example"),
        {1: [_reset(PROTOCOL_ERROR)]},
    ),
    _is_refused(
        "a request with a TE other than trailers is reset",
        request("te: gzip"),
        {1: [_reset(PROTOCOL_ERROR)]},
    ),
    case(
        "a request that is shorter than it says is reset",
        client.heads(1, request("content-length: 10", method="POST")),
        client.sends(1, b"12345", LAST),
        deviations=deviates(
            "malformed messages of HTTP/2",
            client.instead_sees(1, {1: [_reset(PROTOCOL_ERROR)]}),
            server.instead_sees(
                1,
                {
                    1: [
                        seen(request("content-length: 10", method="POST")),
                        _reset(PROTOCOL_ERROR),
                    ]
                },
            ),
        ),
    ),
    case(
        "a response that is shorter than it says is reset",
        client.heads(1, _GET, LAST),
        server.heads(1, response("content-length: 10")),
        server.sends(1, b"12345", LAST),
        deviations=deviates(
            "malformed messages of HTTP/2",
            client.instead_sees(
                2, {1: [seen(response("content-length: 10")), _reset(PROTOCOL_ERROR)]}
            ),
            server.instead_sees(2, {1: [seen(_GET, LAST), _reset(PROTOCOL_ERROR)]}),
        ),
    ),
    case(
        "a response with a line of the connection is answered for",
        client.heads(1, _GET, LAST),
        server.heads(1, response("connection: close"), LAST),
        deviations=deviates(
            "malformed messages of HTTP/2",
            client.instead_sees(1, {1: _BAD}),
            server.instead_sees(1, {1: [seen(_GET, LAST), _reset(PROTOCOL_ERROR)]}),
        ),
    ),
]

_CONNECTS = [
    case(
        "extended CONNECT passes where the server takes it",
        exchange(),
        client.heads(3, _EXTENDED),
        server.heads(3, _OK),
        client.sends(3, b"up"),
        server.sends(3, b"down", LAST),
        requests=2,
        settings={"server": {8: 1}},
    ),
]

CASES = [*_HOPS, *_ENDINGS, *_LISTS, *_MALFORMED, *_CONNECTS]
