"""Cases that show a deviation and nothing else: what spandrel does on purpose, or cannot help."""

from ..script import BOTH, END, HERE, OUTBOUND, client, deviates, from_act, server
from .parts import (
    BAD_GATEWAY,
    BAD_REQUEST,
    CONNECT,
    ESTABLISHED,
    TOO_LARGE,
    asked_and_answered,
    chunks,
    empty,
    get,
    head,
    is_refused,
    ok,
    post,
    refusal,
    wire_case,
)

_FIRST, _SECOND, _THIRD = (get(target=f"/{n}") for n in range(3))
_POST = post(b"body")
_WISH = get("Connection: upgrade", "Upgrade: chargen/9")
_GRANTED = empty("101 Switching Protocols", "Connection: upgrade", "Upgrade: chargen/9")
_LINES = [f"X-{n}: {n}" for n in range(200)]
_HALF = get("X: 1")[:-6]
_AT_HERE = b"http://" + HERE


def _bad_response(title, response):
    """A response whose end is in doubt is not passed on."""
    return wire_case(
        title,
        client.sends(get()),
        server.sends(response),
        deviations=deviates(
            "a response that could be read in two ways",
            client.instead_sees(from_act(1), received=BAD_GATEWAY, ended=END),
            server.instead_sees(from_act(1), ended=END),
        ),
    )


def _bad_request(title, request):
    """A request whose end is in doubt is not passed on."""
    refused = is_refused("a request that could be read in two ways", 0, BAD_REQUEST)
    return wire_case(title, client.sends(request), deviations=refused)


CASES = [
    wire_case(
        "two equal lengths of a request go on as one",
        client.sends(get("Content-Length: 2", "Content-Length: 2", method="POST") + b"ok"),
        deviations=deviates(
            "a length that is given twice",
            server.instead_sees(from_act(0), received=get("Content-Length: 2", method="POST") + b"ok"),
        ),
    ),
    wire_case(
        "three requests at once are answered in order",
        client.sends(_FIRST + _SECOND + _THIRD),
        server.sends(ok("N: 0")),
        server.sends(ok("N: 1")),
        server.sends(ok("N: 2")),
        requests=3,
        deviations=deviates(
            "pipelining",
            server.instead_sees(0, received=_FIRST),
            server.instead_sees(1, received=_FIRST + _SECOND),
        ),
    ),
    wire_case(
        "requests with bodies at once are answered in order",
        client.sends(_POST + _SECOND),
        server.sends(ok("N: 0")),
        server.sends(ok("N: 1")),
        requests=2,
        deviations=deviates("pipelining", server.instead_sees(0, received=_POST)),
    ),
    wire_case(
        "bytes of another protocol that come with the wish for it wait for the answer",
        client.sends(_WISH + b"\x00first"),
        server.sends(_GRANTED),
        client.sends(b"\xffmore"),
        deviations=deviates("pipelining", server.instead_sees(0, received=_WISH)),
    ),
    wire_case(
        "requests at once before a half-close are all answered",
        client.sends(_FIRST + _SECOND),
        client.half_closes(),
        server.sends(ok("N: 0")),
        server.sends(ok("N: 1")),
        server.closes(),
        requests=2,
        deviations=deviates(
            "pipelining",
            server.instead_sees((0, 1), received=_FIRST, ended=""),
        ),
    ),
    wire_case(
        "an empty line behind a body is not part of the next request",
        asked_and_answered(_POST + b"\r\n"),
        asked_and_answered(),
        requests=2,
        deviations=deviates(
            "an empty line before a request",
            server.instead_sees((0, 1), received=_POST),
            server.instead_sees(from_act(2), received=_POST + get()),
        ),
    ),
    wire_case(
        "half a head waits for the other half",
        client.sends(_HALF),
        client.sends(get("X: 1")[len(_HALF) :]),
        server.sends(empty("200 OK", "Content-Length: 2")[:-4]),
        server.sends(b"\r\n\r\nok"),
        deviations=deviates(
            "half a head",
            server.instead_sees(0, received=b""),
            client.instead_sees(2, received=b""),
        ),
    ),
    wire_case(
        "half a head that breaks off is not passed on",
        client.sends(_HALF),
        client.closes(),
        requests=0,
        deviations=deviates(
            "half a head", server.instead_sees(from_act(0), received=b"", ended="")
        ),
    ),
    wire_case(
        "a connection without a request reaches nobody",
        client.sends(b""),
        client.closes(),
        requests=0,
        deviations=deviates("a connection without a request", server.instead_sees(1, ended="")),
    ),
    wire_case(
        "a client that half-closes a kept connection is answered with the end",
        asked_and_answered(),
        client.half_closes(),
        server.closes(),
        deviations=deviates("a half-close between requests", client.instead_sees(2, ended=END)),
    ),
    wire_case(
        "a server that half-closes a kept connection is answered with the end",
        asked_and_answered(),
        server.half_closes(),
        deviations=deviates("a half-close between requests", server.instead_sees(2, ended=END)),
    ),
    wire_case(
        "a server that closes without an answer is answered for",
        client.sends(get()),
        server.closes(),
        deviations=deviates(
            "a server that does not answer",
            client.instead_sees(
                from_act(1),
                received=refusal("502 Bad Gateway", "the upstream closed the connection"),
            ),
        ),
    ),
    wire_case(
        "a server that resets without an answer is answered for",
        client.sends(get()),
        server.resets(),
        deviations=deviates(
            "a server that does not answer",
            client.instead_sees(
                from_act(1),
                received=refusal("502 Bad Gateway", "the upstream reset the connection"),
                ended=END,
            ),
        ),
    ),
    wire_case(
        "more lines than the limit are refused",
        asked_and_answered(get(*_LINES)),
        deviations=is_refused("the bounds of a head", 0, TOO_LARGE),
    ),
    wire_case(
        "a head larger than the limit is refused",
        asked_and_answered(get(f"X-Long: {'v' * 70_000}")),
        deviations=is_refused("the bounds of a head", 0, TOO_LARGE),
    ),
    wire_case(
        "a request of version 1.0 without a host has no way out",
        asked_and_answered(head("GET / HTTP/1.0", "Accept: */*"), ok(version="1.0")),
        server.closes(),
        deviations=[
            *is_refused("outbound, the host is the way", 0, BAD_REQUEST, on=(OUTBOUND, BOTH)),
        ],
    ),
    wire_case(
        "a whole URL is asked of its host in origin form",
        asked_and_answered(
            get("Proxy-Authorization: Basic x", "A: 1", target=_AT_HERE + b"/x?y", method="POST")
        ),
        deviations=deviates(
            "outbound, a whole URL",
            server.instead_sees(from_act(0), received=get("A: 1", target="/x?y", method="POST")),
            on=(OUTBOUND, BOTH),
        ),
    ),
    wire_case(
        "bytes behind a response are not passed on",
        client.sends(get()),
        server.sends(ok() + b"HTTP/1.1 200 OK\r\n\r\n"),
        deviations=deviates(
            "bytes behind a response",
            client.instead_sees(from_act(1), received=ok(), ended=END),
            server.instead_sees(from_act(1), ended=END),
        ),
    ),
    wire_case(
        "a response to no request is not passed on",
        asked_and_answered(),
        server.sends(ok("Connection: close", status="408 Request Timeout")),
        server.closes(),
        deviations=deviates(
            "bytes behind a response",
            client.instead_sees(from_act(2), received=ok(), ended=END),
            server.instead_sees(from_act(2), ended=END),
        ),
    ),
    wire_case(
        "CONNECT to a proxy makes a tunnel",
        client.sends(CONNECT),
        client.sends(get()),
        server.sends(ok()),
        paths=(OUTBOUND,),
        requests=0,
        deviations=deviates(
            "outbound, CONNECT",
            client.instead_sees((0, 1), received=ESTABLISHED),
            client.instead_sees(from_act(2), received=ESTABLISHED + ok()),
            server.instead_sees(0, received=b""),
            server.instead_sees(from_act(1), received=get()),
        ),
    ),
    _bad_request(
        "a request with a length and chunks is refused",
        get("Content-Length: 3", "Transfer-Encoding: chunked", method="POST") + chunks(b"ok"),
    ),
    _bad_request("a request with a folded line is refused", get("A: 1", " 2")),
    _bad_request("a request with bare line feeds is refused", get().replace(b"\r\n", b"\n")),
    _bad_request("a request with two hosts is refused", get(b"Host: " + HERE)),
    _bad_request("a request without a host is refused", head("GET / HTTP/1.1", "A: 1")),
    _bad_response(
        "a response with a length and chunks is not passed on",
        empty("200 OK", "Content-Length: 2", "Transfer-Encoding: chunked") + chunks(b"ok"),
    ),
    _bad_response(
        "a response with two lengths is not passed on",
        empty("200 OK", "Content-Length: 2", "Content-Length: 3") + b"ok!",
    ),
    _bad_response(
        "a response that is not HTTP is not passed on",
        b"\x16\x03\x01 this is no status line\r\n\r\n",
    ),
    _bad_response(
        "a response with a line that is no line is not passed on",
        empty("200 OK", "nonsense", "Content-Length: 0"),
    ),
    wire_case(
        "a server that closes with a request unread resets the connection behind its answer",
        client.sends(get("Content-Length: 10", method="POST")),
        server.stops_reading(),
        server.sends(ok("Connection: close", status="413 Content Too Large")),
        client.sends(b"12345"),
        server.closes(),
        deviations=deviates(
            "a reset outside of an exchange", client.instead_sees(from_act(4), ended=END)
        ),
    ),
]
