"""Cases: data, and calls of gRPC."""

import gzip

from ..script import client, server
from .parts import (
    CANCEL,
    LAST,
    NO_ERROR,
    exchange,
    grpc,
    lines,
    message,
    request,
    response,
)
from .parts import stream_case as case

_OK = response("content-type: application/grpc+proto")
_BIN = "details-bin: CgQI/+8B"

CASES = [
    case(
        "a body is ended by its data",
        client.heads(1, request("content-length: 4", method="POST")),
        client.sends(1, b"body", LAST),
        server.heads(1, response("content-length: 2")),
        server.sends(1, b"ok", LAST),
    ),
    case(
        "a body of nothing is ended by a frame of nothing",
        client.heads(1, request(method="POST")),
        client.sends(1, b"", LAST),
        server.heads(1, response()),
        server.sends(1, b"", LAST),
    ),
    case(
        "a body may be ended by a frame of nothing",
        client.heads(1, request(method="POST")),
        client.sends(1, b"body"),
        client.sends(1, b"", LAST),
        server.heads(1, response()),
        server.sends(1, b"ok"),
        server.sends(1, b"", LAST),
    ),
    case(
        "a message of a head and trailers has no data",
        client.heads(1, request(method="POST")),
        client.heads(1, lines("x: 1"), LAST),
        server.heads(1, response()),
        server.heads(1, lines("y: 2"), LAST),
    ),
    case(
        "trailers of no line end a message",
        client.heads(1, request(), LAST),
        server.heads(1, response()),
        server.sends(1, b"ok"),
        server.heads(1, [], LAST),
    ),
    case(
        "each piece of data passes when it is sent",
        client.heads(1, request(method="POST")),
        server.heads(1, response()),
        [(client.sends(1, b"ping"), server.sends(1, b"pong")) for _ in range(3)],
        client.sends(1, b"", LAST),
        server.sends(1, b"", LAST),
    ),
    case(
        "padding is not part of the data",
        client.heads(1, request(method="POST")),
        client.pads(1, b"body", LAST),
        server.heads(1, response()),
        server.pads(1, b"ok", LAST),
    ),
    case(
        "bodies of 1 MiB pass both ways",
        client.heads(1, request(method="POST")),
        client.sends(1, b"up" * 524_288, LAST),
        server.heads(1, response()),
        server.sends(1, b"down" * 262_144, LAST),
    ),
    case(
        "a compressed body is not touched",
        client.heads(1, request(), LAST),
        server.heads(1, response("content-encoding: gzip")),
        server.sends(1, gzip.compress(b"a" * 999), LAST),
    ),
    case(
        "a body that is not as long as it says is passed as far as it goes",
        client.heads(1, request(), LAST),
        server.heads(1, response("content-length: 10")),
        server.sends(1, b"12345"),
    ),
    case(
        "an early answer passes and the request goes on",
        client.heads(1, request(method="POST")),
        client.sends(1, b"part"),
        server.heads(1, response(status=202), LAST),
        client.sends(1, b"more"),
        client.sends(1, b"", LAST),
    ),
    case(
        "an early answer and a reset without an error",
        client.heads(1, request(method="POST")),
        client.sends(1, b"part"),
        server.heads(1, response(status=413)),
        server.sends(1, b"too much", LAST),
        server.resets_stream(1, NO_ERROR),
    ),
    case(
        "a gRPC call passes with its metadata",
        client.heads(1, grpc("grpc-timeout: 250m", "grpc-encoding: gzip", _BIN, "user-agent: x")),
        client.sends(1, message(b"order"), LAST),
        server.heads(1, _OK),
        server.sends(1, message(b"placed")),
        server.heads(1, lines("grpc-status: 0", "grpc-message: ", _BIN), LAST),
    ),
    case(
        "a gRPC answer of trailers alone is one frame",
        client.heads(1, grpc()),
        client.sends(1, message(b"order"), LAST),
        server.heads(1, [*_OK, *lines("grpc-status: 12", "grpc-message: no %F0%9F")], LAST),
    ),
    case(
        "the flag of compressed gRPC messages is kept",
        client.heads(1, grpc("grpc-encoding: gzip")),
        client.sends(1, message(gzip.compress(b"order"), 1) + message(b"plain"), LAST),
        server.heads(1, [*_OK, *lines("grpc-encoding: gzip")]),
        server.sends(1, message(gzip.compress(b"placed"), 1)),
        server.heads(1, lines("grpc-status: 0"), LAST),
    ),
    case(
        "gRPC messages pass in both directions at once",
        client.heads(1, grpc()),
        server.heads(1, _OK),
        [
            (client.sends(1, message(b"%d" % n)), server.sends(1, message(b"%d!" % n)))
            for n in range(4)
        ],
        client.sends(1, b"", LAST),
        server.heads(1, lines("grpc-status: 0"), LAST),
    ),
    case(
        "half a gRPC message passes when it is sent",
        client.heads(1, grpc()),
        client.sends(1, message(b"order")[:3]),
        client.sends(1, message(b"order")[3:], LAST),
        server.heads(1, _OK),
        server.sends(1, message(b"placed")[:7]),
        server.sends(1, message(b"placed")[7:]),
        server.heads(1, lines("grpc-status: 0"), LAST),
    ),
    case(
        "a gRPC message of 1 MiB passes",
        client.heads(1, grpc()),
        client.sends(1, message(b"m" * (1 << 20)), LAST),
        server.heads(1, _OK),
        server.sends(1, message(b"n" * (1 << 20))),
        server.heads(1, lines("grpc-status: 0"), LAST),
    ),
    case(
        "every deadline of gRPC is passed as it was written",
        [
            exchange(stream, grpc(f"grpc-timeout: {deadline}"), response("grpc-status: 0"))
            for stream, deadline in zip(
                (1, 3, 5, 7, 9, 11, 13),
                ("1H", "2M", "3S", "00000004m", "5u", "99999999n", "nonsense"),
                strict=True,
            )
        ],
        requests=7,
    ),
    case(
        "a gRPC call that ran out of time is cancelled",
        client.heads(1, grpc("grpc-timeout: 1m")),
        client.sends(1, message(b"order")),
        server.heads(1, _OK),
        client.resets_stream(1, CANCEL),
    ),
    case(
        "grpc-web is not touched",
        client.heads(1, request("content-type: application/grpc-web+proto", method="POST")),
        client.sends(1, message(b"order"), LAST),
        server.heads(1, response("content-type: application/grpc-web+proto")),
        server.sends(1, message(b"placed") + message(b"grpc-status:0\r\n", 0x80), LAST),
    ),
]
