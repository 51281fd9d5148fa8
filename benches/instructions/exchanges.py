"""Fixed exchanges, one after the other on one connection, byte by byte the same each time."""

import socket
import struct

from hpack import Encoder

from support.h2raw import (
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, settings,
)  # fmt: skip
from support.ports import HOST

BODY = 1024
"""Length of the answers."""
PATH = "/page"
_FRAME = 9

FIELDS = (
    ("user-agent", "python-requests/2.32"),
    ("accept-encoding", "gzip, deflate"),
    ("accept", "*/*"),
    ("x-request-id", "0b8f8f1e-6f1a-4a51-9a4b-1f0e9f1d2c3b"),
    ("x-tenant-id", "acme"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)
"""What a request brings along."""


class Http1:
    """Requests over HTTP/1.1."""

    protocol = "http1"

    def __init__(self, more=()):
        self._fields = (*FIELDS, *more)

    def ask(self, port, times):
        """Asks so many times."""
        lines = [f"GET {PATH} HTTP/1.1", "Host: orders.shop.svc:8080"]
        lines += [f"{name}: {value}" for name, value in self._fields]
        request = "\r\n".join([*lines, "", ""]).encode()
        with socket.create_connection((HOST, port), timeout=60) as client:
            for _ in range(times):
                client.sendall(request)
                _read_http1(client)


class Http2:
    """Requests over HTTP/2, one stream at a time."""

    protocol = "http2"

    def __init__(self, more=()):
        self._fields = (*FIELDS, *more)

    def ask(self, port, times):
        """Asks so many times."""
        fields = [(":method", "GET"), (":scheme", "http"), (":path", PATH)]
        fields += [(":authority", "orders.shop.svc:8080"), *self._fields]
        encoder = Encoder()
        with socket.create_connection((HOST, port), timeout=60) as client:
            client.sendall(PREFACE + settings())
            for number in range(times):
                block = encoder.encode(fields)
                stream = 2 * number + 1
                client.sendall(frame(HEADERS, END_STREAM | END_HEADERS, stream, block))
                _read_http2(client, stream)


def _read_http1(client):
    answer = b""
    while True:
        piece = client.recv(65536)
        assert piece, f"the connection ended after {answer!r}"
        answer += piece
        head, is_whole, body = answer.partition(b"\r\n\r\n")
        if is_whole and len(body) == BODY:
            assert head.startswith(b"HTTP/1.1 200"), head
            return


def _read_http2(client, stream):
    received = 0
    while True:
        length, kind, flags, number = _head(client)
        payload = _exactly(client, length)
        assert kind not in (RST_STREAM, GOAWAY), (kind, payload)
        if kind == SETTINGS and not flags & ACK:
            client.sendall(frame(SETTINGS, ACK))
        if kind == DATA:
            received += length
        if number == stream and kind in (DATA, HEADERS) and flags & END_STREAM:
            assert received == BODY, received
            client.sendall(frame(WINDOW_UPDATE, payload=struct.pack(">I", received)))
            return


def _head(client):
    head = _exactly(client, _FRAME)
    kind, flags, number = struct.unpack(">BBI", head[3:])
    return int.from_bytes(head[:3], "big"), kind, flags, number


def _exactly(client, length):
    data = b""
    while len(data) < length:
        piece = client.recv(length - len(data))
        assert piece, "the connection ended"
        data += piece
    return data
