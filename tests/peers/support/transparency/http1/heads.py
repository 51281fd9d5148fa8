"""Cases: what a request says in its head."""

from ...contexts import GOOD, IDS, TRACE
from ..context import REWRITTEN, UNTOUCHED
from ..script import HERE, deviates, from_act, server
from .parts import HOST, asked_and_answered, get, head, ok, wire_case

_LINES = {
    "names keep the case they were written in": ["X-cUsToM-nAmE: 1", "ACCEPT: */*", "dnt: 1"],
    "lines keep their order": ["Zebra: 1", "Accept: a", "Mouse: 2", "Accept-Language: b"],
    "repeated lines stay apart and in their places": ["A: 1", "B: 2", "A: 3", "b: 4", "a: 5"],
    "identical lines stay two": ["X-Same: 1", "X-Same: 1"],
    "white space before a value is kept": ["A:1", "B:  2", "C:\t3", "D: \t 4"],
    "white space behind a value is kept": ["A: 1 ", "B: 2\t", "C: 3 \t "],
    "white space within a value is kept": ["A: x  y\tz"],
    "empty values are kept": ["A:", "B: ", "C:\t"],
    "a value of bytes that are not UTF-8 is kept": [b"X-Bytes: \xff\xfe\x80\x81"],
    "a value in latin 1 is kept": [b"X-Name: caf\xe9"],
    "a value in UTF-8 is kept": ["X-Name: Größe ✓"],
    "every byte that a value may have is kept": [
        b"X-All: " + bytes([b for b in range(0x21, 0x100) if b != 0x7F])
    ],
    "every character that a name may have is kept": ["!#$%&'*+-.^_`|~09azAZ: 1"],
    "a name of one character is kept": ["x: 1"],
    "a name of 200 characters is kept": [f"X-{'n' * 198}: 1"],
    "names with underscores are kept": ["X_User_Id: 7", "x-user-id: 8"],
    "a value of 8 KiB is kept": [f"X-Long: {'v' * 8192}"],
    "a value of 40 KiB is kept": [f"Cookie: {'v' * 40_960}"],
    "a hundred lines are kept": [f"X-{n}: {n}" for n in range(100)],
    "commas and quotes in values are kept": ['A: "x, y", z;q="1,2"', "B: ,,a,,", 'C: "'],
    "dates are kept as they were written": ["Date: Sunday, 06-Nov-94 08:49:37 GMT", "Date: now"],
    "several lines of cookies stay apart": ["Cookie: a=1", "Cookie: b=2", "cookie: c=3"],
    "nothing is added to a request of one line": [],
    "what other proxies said is kept": [
        "Via: 1.0 fred, 1.1 p.example",
        "Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43",
        "X-Forwarded-For: 203.0.113.1",
        "X-Forwarded-Proto: https",
        "X-Real-IP: 203.0.113.1",
        "X-Request-ID: abc",
    ],
    "the request to count hops down is not counted": ["Max-Forwards: 0"],
    "a wish for a coding is neither added nor changed": ["Accept-Encoding: br;q=1.0, gzip;q=0.8"],
    "credentials are kept": ["Authorization: Basic dTpw", "Proxy-Authorization: Basic dTpw"],
    "a user agent of nothing is kept": ["User-Agent:"],
    "options of the connection are kept": ["Connection: keep-alive, X-Hop", "X-Hop: 1"],
    "old keep-alive lines are kept": ["Connection: Keep-Alive", "Keep-Alive: timeout=5, max=100"],
    "an old proxy connection line is kept": ["Proxy-Connection: keep-alive"],
    "a TE line is kept with its connection option": ["TE: trailers, deflate", "Connection: TE"],
    "a TE line is kept without its connection option": ["TE: trailers"],
    "a connection line without an option is kept": ["Connection:"],
    "an odd connection line is kept": ['Connection: ,, ,"x y" ,@'],
    "two connection lines are kept": ["Connection: a", "X: 1", "Connection: b"],
    "an upgrade that is only mentioned is kept": ["Upgrade: HTTP/3.0, IRC/6.9"],
    "security fetch metadata are kept": ["Sec-Fetch-Mode: cors", 'sec-ch-ua: "x";v="1"'],
    "a connection option that names the host strips nothing": ["Connection: Host"],
    "a connection option that names credentials strips nothing": [
        "Authorization: Bearer x",
        "Connection: Authorization, close-not",
    ],
    "a connection option that names cookies strips nothing": ["Cookie: a=1", "Connection: cookie"],
    "a connection option that names the trace strips nothing": [
        "Connection: traceparent, tracestate, baggage"
    ],
    "a connection option that names the tenant strips nothing": [
        "X-Tenant-ID: acme",
        "Connection: x-tenant-id",
    ],
    "a baggage line is kept as it is": ["Baggage: a=1 , b=2;p=3", "baggage: c=%20"],
    "a tenant line keeps its spelling": ["X-TENANT-id:  acme "],
    "the contexts of other systems are kept": [
        "X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124",
        "b3: 0",
        "uber-trace-id: 1:2:3:1",
        "X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793",
    ],
}

_TARGETS = {
    "a target with dots and two slashes is not tidied up": "//a/../b/./c//",
    "percent encoding is neither undone nor done": "/%2F%2e%2E/%zz/%",
    "a target in plain UTF-8 is kept": "/größe/✓",
    "a query of nothing is kept": "/?",
    "a query of many marks is kept": "/a?b?c&d=?&&=",
    "a query with a plus and a semicolon is kept": "/a+b;c=1?d;e+f",
    "a target with a backslash and braces is kept": '/\\{a}|"<b>^`',
    "a target that looks like a URL behind a slash is kept": "/http://other.example/x",
    "a target of 8 KiB is kept": "/" + "t" * 8_192,
    "a target of 40 KiB is kept": "/?" + "q" * 40_960,
    "a fragment that should not be there is kept": "/a#b",
}

_METHODS = ["PROPFIND", "M-SEARCH", "QUERY", "get", "G", "PATCH", "TRACE", "PRI", "X!#$%&'*+.^_`|~"]


def _context(title, *lines, context=REWRITTEN):
    return wire_case(title, asked_and_answered(get(*lines)), context=context)


def _plain(title, lines):
    return wire_case(title, asked_and_answered(get(*lines)))


CASES = [
    *(_plain(title, lines) for title, lines in _LINES.items()),
    *(
        wire_case(title, asked_and_answered(get(target=target)))
        for title, target in _TARGETS.items()
    ),
    *(
        wire_case(f"the method {method} passes", asked_and_answered(get(method=method)))
        for method in _METHODS
    ),
    wire_case(
        "a method of 300 letters passes", asked_and_answered(get(method="VERYLONGMETHOD" * 21))
    ),
    wire_case(
        "OPTIONS asks of the whole server", asked_and_answered(get(method="OPTIONS", target="*"))
    ),
    wire_case(
        "the host need not come first",
        asked_and_answered(head("GET / HTTP/1.1", "A: 1", HOST, "B: 2")),
    ),
    wire_case(
        "the host keeps the spelling of its line",
        asked_and_answered(head("GET / HTTP/1.1", b"hOsT:\t" + HERE + b"  ", "B: 2")),
    ),
    wire_case(
        "an empty line before a request is not part of it",
        asked_and_answered(b"\r\n" + get()),
        deviations=deviates(
            "an empty line before a request", server.instead_sees(from_act(0), received=get())
        ),
    ),
    wire_case(
        "a request of version 1.0 stays one",
        asked_and_answered(get("Accept: */*", version="1.0"), ok()),
    ),
    _context("a context keeps its place", "A: 1", f"traceparent: {GOOD}", "B: 2"),
    _context("a context keeps the case of its name", "A: 1", f"TraceParent: {GOOD}", "B: 2"),
    _context("a context keeps its white space", f"traceparent:\t {GOOD}  ", "B: 2"),
    _context(
        "a state of the trace keeps its bytes",
        f"traceparent: {GOOD}",
        "TraceState: b=2 ,, a=1",
        "X: 1",
        "tracestate:\tc=3 ",
    ),
    _context(
        "a context that is not recorded keeps every byte",
        f"TRACEPARENT: \t00-{IDS}-00 ",
        "tracestate: a=1,,b=2",
        context=UNTOUCHED,
    ),
    _context(
        "a future context that is not recorded keeps every byte",
        f"traceparent: cc-{IDS}-02-what-the-future-holds",
        context=UNTOUCHED,
    ),
    _context(
        "a value that looks like a context passes elsewhere",
        f"X-Old: 00-{TRACE}-ffffffffffffffff-00",
        f"traceparent: {GOOD}",
    ),
]
