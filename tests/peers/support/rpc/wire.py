"""gRPC as it is on the wire: a server and a client on `h2` that keep what they see, and a tap that
counts pings."""

import asyncio
import socket
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from ..ports import HOST
from ..waiting import DEADLINE

_READ = 65_536
_WINDOW = 2**24
_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_FRAME = 9
_PING, _ACK = 6, 1
PLAIN = [(b"grpc-status", b"0")]


def _connection(is_client):
    # What is odd must go out as it is, and come in as it came.
    config = h2.config.H2Configuration(
        client_side=is_client,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    return h2.connection.H2Connection(config)


@dataclass
class Request:
    """What came on a stream."""

    headers: list
    body: bytearray = field(default_factory=bytearray)


class WireApp:
    """A server that keeps requests, and sends each body back as it came.

    What it ends with are `trailers`; with no body before them if `is_trailers_only`.
    """

    def __init__(self, loop):
        self._loop = loop
        self.requests = []
        self.trailers = PLAIN
        self.is_trailers_only = False
        self._server = loop.run(asyncio.start_server(self._serve, HOST, 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self):
        """Ends it."""
        self._loop.call(self._server.close)

    async def _serve(self, reader, writer):
        connection, open_streams = _connection(is_client=False), {}
        connection.initiate_connection()
        connection.increment_flow_control_window(_WINDOW)
        writer.write(connection.data_to_send())
        while data := await reader.read(_READ):
            for event in connection.receive_data(data):
                self._see(connection, open_streams, event)
            writer.write(connection.data_to_send())
        writer.close()

    def _see(self, connection, open_streams, event):
        if isinstance(event, h2.events.RequestReceived):
            open_streams[event.stream_id] = Request(list(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            open_streams[event.stream_id].body.extend(event.data)
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            request = open_streams.pop(event.stream_id)
            self.requests.append(request)
            self._answer(connection, event.stream_id, request)

    def _answer(self, connection, stream, request):
        head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
        if self.is_trailers_only:
            connection.send_headers(stream, head + self.trailers, end_stream=True)
            return
        coding = [pair for pair in request.headers if pair[0] == b"grpc-encoding"]
        connection.send_headers(stream, head + coding)
        connection.send_data(stream, bytes(request.body))
        connection.send_headers(stream, self.trailers, end_stream=True)


def ask(port, headers, body):
    """A request whose headers are just these; gives the parts that came back: what it is, whether
    it is headers, and those or else the bytes."""
    connection = _connection(is_client=True)
    connection.initiate_connection()
    connection.increment_flow_control_window(_WINDOW)
    connection.send_headers(1, headers)
    connection.send_data(1, body, end_stream=True)
    seen, data, is_over = [], bytearray(), False
    with socket.create_connection((HOST, port), timeout=DEADLINE) as peer:
        peer.sendall(connection.data_to_send())
        while not is_over:
            piece = peer.recv(_READ)
            assert piece, f"the connection ends after {seen}"
            for event in connection.receive_data(piece):
                if isinstance(event, h2.events.ResponseReceived):
                    name = "head, and the end" if event.stream_ended else "head"
                    seen.append((name, True, list(event.headers)))
                elif isinstance(event, h2.events.DataReceived):
                    data += event.data
                elif isinstance(event, h2.events.TrailersReceived):
                    seen += [("data", False, bytes(data)), ("trailers", True, list(event.headers))]
                elif isinstance(event, h2.events.StreamEnded):
                    is_over = True
                elif isinstance(event, h2.events.StreamReset):
                    seen.append(("reset", False, event.error_code))
                    is_over = True
            peer.sendall(connection.data_to_send())
    return seen


class Tap:
    """A port before another one; counts the pings that pass it."""

    def __init__(self, loop, to):
        self._loop = loop
        self._to = to
        self.pings = 0
        self._server = loop.run(asyncio.start_server(self._serve, HOST, 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self):
        """Takes no more connections."""
        self._loop.call(self._server.close)

    async def _serve(self, reader, writer):
        from_app, to_app = await asyncio.open_connection(HOST, self._to)
        down = asyncio.ensure_future(self._pass(from_app, writer, lambda _: None))
        await self._pass(reader, to_app, _Frames(self._count).add)
        await down

    async def _pass(self, reader, writer, see):
        while data := await reader.read(_READ):
            see(data)
            writer.write(data)
            await writer.drain()
        writer.close()

    def _count(self, kind, flags):
        self.pings += kind == _PING and not flags & _ACK


class _Frames:
    """Finds the frames that a client sends."""

    def __init__(self, tell):
        self._tell = tell
        self._rest = bytearray()
        self._skip = _PREFACE

    def add(self, data):
        """Takes more bytes."""
        self._rest += data
        while True:
            skipped = min(self._skip, len(self._rest))
            del self._rest[:skipped]
            self._skip -= skipped
            if self._skip or len(self._rest) < _FRAME:
                return
            self._tell(self._rest[3], self._rest[4])
            self._skip = _FRAME + int.from_bytes(self._rest[:3])
