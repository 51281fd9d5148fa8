"""Messages of HTTP/1.x, written down to the byte."""

from ..script import END, HERE, PATHS, Act, case, client, deviates, from_act, server

HOST = b"Host: " + HERE


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")


def head(*lines):
    """A start line and header lines, of text or of bytes."""
    return b"\r\n".join(map(_bytes, lines)) + b"\r\n\r\n"


def get(*lines, method="GET", target="/", version="1.1"):
    """A request without a body; `Host` is its first line."""
    start = b" ".join([_bytes(method), _bytes(target), b"HTTP/" + _bytes(version)])
    return head(start, HOST, *lines)


def post(body=b"", *lines, method="POST"):
    """A request with a body, of a length that is said first."""
    return get(f"Content-Length: {len(body)}", *lines, method=method) + body


def ok(*lines, status="200 OK", body=b"ok", version="1.1"):
    """A response with a body, of a length that is said last."""
    return head(f"HTTP/{version} {status}", *lines, f"Content-Length: {len(body)}") + body


def empty(status, *lines):
    """A response of a head alone."""
    return head(f"HTTP/1.1 {status}", *lines)


def chunks(*pieces, trailers=()):
    """A body in chunks."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return framed + b"0\r\n" + b"".join(_bytes(line) + b"\r\n" for line in trailers) + b"\r\n"


def refusal(status, sentence):
    """What spandrel answers in the place of the server."""
    body = f"spandrel: {sentence}\n"
    lines = ["content-type: text/plain; charset=utf-8", f"content-length: {len(body)}"]
    return head(f"HTTP/1.1 {status}", *lines, "connection: close") + body.encode()


CONNECT = head(b"CONNECT " + HERE + b" HTTP/1.1", HOST)
ESTABLISHED = head("HTTP/1.1 200 Connection Established")
BAD_REQUEST = refusal("400 Bad Request", "the request is not HTTP or can be read in two ways")
BAD_GATEWAY = refusal("502 Bad Gateway", "the upstream's response is not valid HTTP")
TOO_LARGE = refusal(
    "431 Request Header Fields Too Large",
    "the request's head is larger than limits.header_bytes or limits.header_count",
)


def is_refused(name, act, reply, on=PATHS, requests=0):
    """spandrel answers this act itself, and the server sees nothing more."""
    return deviates(
        name,
        client.instead_sees(from_act(act), received=reply, ended=END),
        server.instead_sees(from_act(act), received=b"", ended=""),
        on=on,
        requests=requests,
    )


def asked_and_answered(request=None, response=None):
    """An exchange whose request has passed before the response is sent."""
    return [client.sends(request or get()), server.sends(response or ok())]


def wire_case(title, *acts, **more):
    """A case whose connections are closed by the client in the end, for the server to see."""
    made = case(title, *acts, **more)
    used = sorted({act.connection for act in made.acts if act.side == "client"})
    gone = {act.connection for act in made.acts if act.side == "client" and _is_end(act)}
    ends = [client[number].closes() for number in used if number not in gone]
    return case(title, made.acts, ends, **more)


def _is_end(act: Act):
    return act.what in ("closes", "resets")
