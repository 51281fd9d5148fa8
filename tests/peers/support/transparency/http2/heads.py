"""Cases: header lists, and how messages end."""

from ...contexts import GOOD, IDS
from ..context import REWRITTEN, UNTOUCHED
from ..script import HERE, client, server
from .parts import LAST, exchange, lines, request, response, stream_case

_REQUESTS = {
    "nothing is added to a request but its context": [],
    "lines of a request keep their order": ["zebra: 1", "accept: a", "mouse: 2", "dnt: 1"],
    "cookies stay in crumbs": ["cookie: a=1", "cookie: b=2", "cookie: c=3"],
    "empty values of a request are kept": ["x-empty: ", "x-full: 1"],
    "repeats in a row stay apart": ["x-a: 1", "x-a: 2", "x-a: 1"],
    "a hundred lines of a request are kept": [f"x-{n}: {n}" for n in range(100)],
    "a value of 40 KiB of a request is kept": [f"x-long: {'v' * 40_960}"],
    "a name of odd characters is kept": ["!#$%&'*+-.^_`|~09az: 1"],
    "a length of a request without a body is kept": ["content-length: 0"],
    "what other proxies said is kept": [
        "via: 2 fred, 1.1 p.example",
        "forwarded: for=192.0.2.60",
        "x-forwarded-for: 203.0.113.1",
        "max-forwards: 0",
        "x-request-id: abc",
    ],
    "credentials are kept": ["authorization: Bearer x", "proxy-authorization: Basic y"],
    "a wish for trailers is kept": ["te: trailers"],
    "an expectation is kept": ["expect: 100-continue"],
    "a priority in a line is kept": ["priority: u=1, i"],
    "a tenant line is kept": ["x-tenant-id: acme"],
    "a baggage line is kept": ["baggage: a=1 , b=2;p=3", "baggage: c=%20"],
    "coding wishes are neither added nor changed": ["accept-encoding: br;q=1.0, gzip;q=0.8"],
}

_RESPONSES = {
    "nothing is added to a response": [],
    "lines of a response keep their order": ["z: 1", "a: 2", "m: 3"],
    "forty cookies are set one by one": [f"set-cookie: c{n}={n}; Path=/" for n in range(40)],
    "empty values of a response are kept": ["x-empty: "],
    "a server and a date are kept as they are": ["server: ", "date: yesterday"],
    "a value of 40 KiB of a response is kept": [f"x-long: {'v' * 40_960}"],
    "an alternative service is kept": ['alt-svc: h3=":443"'],
    "a length of no body is kept": ["content-length: 0"],
}

_STATUS = [200, 201, 204, 205, 226, 299, 300, 304, 399, 404, 421, 425, 451, 499, 500, 503, 599, 999]
_METHODS = ["HEAD", "DELETE", "PATCH", "PROPFIND", "QUERY", "get", "TRACE", "X!#$%&'*+.^_`|~"]
_TARGETS = {
    "a path that is not tidy": "//a/../b/./c//",
    "percent encoding": "/%2F%2e%2E/%zz/%",
    "a query of nothing": "/?",
    "a query of many marks": "/a?b?c&d=?&&=",
    "8 KiB": "/" + "t" * 8_192,
    "a star": "*",
}
_BYTES = bytes(b for b in range(0x21, 0x100) if b != 0x7F)

CASES = [
    stream_case(
        "a host beside the same authority is kept", exchange(ask=[*request(), ("host", HERE)])
    ),
    stream_case(
        "white space around a value of a response is kept",
        exchange(answer=[*response(), ("grpc-message", "  gone "), ("x-joined", ", ")]),
    ),
    *(stream_case(title, exchange(ask=request(*texts))) for title, texts in _REQUESTS.items()),
    *(stream_case(title, exchange(answer=response(*texts))) for title, texts in _RESPONSES.items()),
    *(
        stream_case(f"the status {code} passes", exchange(answer=response(status=code)))
        for code in _STATUS
    ),
    *(
        stream_case(f"the method {method} passes", exchange(ask=request(method=method)))
        for method in _METHODS
    ),
    *(
        stream_case(
            f"a target with {title} is kept",
            exchange(ask=request(path=path, method="OPTIONS" if path == "*" else "GET")),
        )
        for title, path in _TARGETS.items()
    ),
    stream_case(
        "values of bytes that are not UTF-8 are kept",
        exchange(
            ask=[*request(), (b"x-bytes", _BYTES)], answer=[*response(), (b"x-bytes", _BYTES[::-1])]
        ),
    ),
    stream_case(
        "a context keeps its place",
        exchange(ask=request("x-a: 1", f"traceparent: {GOOD}", "x-b: 2")),
        context=REWRITTEN,
    ),
    stream_case(
        "a context that is not recorded keeps every byte",
        exchange(
            ask=request(f"traceparent: 00-{IDS}-00", "tracestate: a=1,,b=2", "tracestate: c=3")
        ),
        context=UNTOUCHED,
    ),
    stream_case(
        "a response to HEAD keeps the length it would have",
        exchange(ask=request(method="HEAD"), answer=response("content-length: 1000")),
    ),
    stream_case(
        "304 keeps the length it would have",
        exchange(answer=response("content-length: 1000", "etag: x", status=304)),
    ),
    *(
        stream_case(
            f"the interim response {code} passes when it is sent",
            client.heads(1, request(), LAST),
            server.heads(1, response("link: </a.css>", "link: </b.css>", status=code)),
            server.heads(1, response(), LAST),
        )
        for code in (100, 102, 103, 199)
    ),
    stream_case(
        "several interim responses pass one by one",
        client.heads(1, request(), LAST),
        [server.heads(1, response(f"n: {code}", status=code)) for code in (102, 103, 103, 102)],
        server.heads(1, response(), LAST),
    ),
    stream_case(
        "only the application answers an expectation",
        client.heads(1, request("expect: 100-continue", method="PUT")),
        server.heads(1, response(status=100)),
        client.sends(1, b"body", LAST),
        server.heads(1, response(), LAST),
    ),
    stream_case(
        "an expectation may be refused",
        client.heads(1, request("expect: 100-continue", method="PUT")),
        server.heads(1, response(status=417), LAST),
        client.sends(1, b"body", LAST),
    ),
    stream_case(
        "a head of several frames is passed",
        exchange(ask=request(*(f"x-{n}: {'v' * 500}" for n in range(100)))),
    ),
    stream_case(
        "trailers of both sides are kept in order",
        client.heads(1, request("te: trailers", method="POST")),
        client.sends(1, b"up"),
        client.heads(1, lines("x-b: 1", "x-a: 2", "x-a: 3", "x-e: "), LAST),
        server.heads(1, response("trailer: x-z")),
        server.sends(1, b"down"),
        server.heads(1, lines("x-z: 1", "x-y: 2", "x-y: 3"), LAST),
    ),
    stream_case(
        "trailers of 40 KiB of both sides are kept",
        client.heads(1, request(method="POST")),
        client.heads(1, lines(f"x-long: {'u' * 40_960}"), LAST),
        server.heads(1, response()),
        server.heads(1, lines(f"x-long: {'d' * 40_960}"), LAST),
    ),
    stream_case(
        "a hundred trailers are kept",
        client.heads(1, request(), LAST),
        server.heads(1, response()),
        server.heads(1, lines(*(f"x-{n}: {n}" for n in range(100))), LAST),
    ),
]
