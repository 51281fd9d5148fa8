"""Messages of HTTP/2, as header lists and data."""

from ..script import HERE, case, client, server

CALL = "/shop.Orders/Place"
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR = 0, 1, 2
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED = 7, 8, 11, 13
CODES = {
    "NO_ERROR": 0,
    "PROTOCOL_ERROR": 1,
    "INTERNAL_ERROR": 2,
    "FLOW_CONTROL_ERROR": 3,
    "SETTINGS_TIMEOUT": 4,
    "STREAM_CLOSED": 5,
    "FRAME_SIZE_ERROR": 6,
    "REFUSED_STREAM": 7,
    "CANCEL": 8,
    "COMPRESSION_ERROR": 9,
    "CONNECT_ERROR": 10,
    "ENHANCE_YOUR_CALM": 11,
    "INADEQUATE_SECURITY": 12,
    "HTTP_1_1_REQUIRED": 13,
    "an unknown code": 0xBEEF,
}

LAST = True
"""The frame is the last of its message."""


def lines(*texts):
    """Header lines written as `name: value`."""
    split = (text.partition(": ") for text in texts)
    return [(name, value) for name, _, value in split]


def request(*texts, method="GET", path="/"):
    """The header list of a request."""
    pseudo = [(":method", method), (":scheme", "http"), (":authority", HERE), (":path", path)]
    return [*pseudo, *lines(*texts)]


def response(*texts, status=200):
    """The header list of a response."""
    return [(":status", str(status)), *lines(*texts)]


def grpc(*texts):
    """The header list of a gRPC call."""
    usual = ["te: trailers", "content-type: application/grpc+proto"]
    return request(*usual, *texts, method="POST", path=CALL)


def message(data, flag=0):
    """A gRPC message with its prefix."""
    return bytes([flag]) + len(data).to_bytes(4, "big") + data


def exchange(stream=1, ask=None, answer=None):
    """An exchange of two heads."""
    return [
        client.heads(stream, ask or request(), LAST),
        server.heads(stream, answer or response(), LAST),
    ]


def stream_case(title, *acts, **more):
    """A case of HTTP/2."""
    return case(title, *acts, **more)


def seen(header_list, is_last=False):
    """A header list as an end sees it."""
    return ("headers", tuple((_bytes(name), _bytes(value)) for name, value in header_list), is_last)


def reply(status, sentence):
    """What spandrel answers in the place of the server, as the client sees it."""
    usual = lines("content-type: text/plain; charset=utf-8")
    body = f"spandrel: {sentence}\n".encode()
    return [seen([(":status", str(status)), *usual]), ("data", body, True)]


def grpc_reply(code, sentence):
    """The same for a gRPC call."""
    usual = ["content-type: application/grpc", f"grpc-status: {code}", f"grpc-message: {sentence}"]
    return [seen(response(*usual), LAST)]


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode()
