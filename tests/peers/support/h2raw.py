"""HTTP/2 frame by frame: a client and an origin that keep no rule unless told to.

The bytes of frames come from hyperframe where it agrees to build them, else from `frame`; header
blocks come from hpack, or are written out by hand where hpack would refuse.
"""

import asyncio
import contextlib
import socket
import struct

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame

from .ports import HOST

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32
DEADLINE = 10

CODES = {
    0: "NO_ERROR",
    1: "PROTOCOL_ERROR",
    2: "INTERNAL_ERROR",
    3: "FLOW_CONTROL_ERROR",
    4: "SETTINGS_TIMEOUT",
    5: "STREAM_CLOSED",
    6: "FRAME_SIZE_ERROR",
    7: "REFUSED_STREAM",
    8: "CANCEL",
    9: "COMPRESSION_ERROR",
    10: "CONNECT_ERROR",
    11: "ENHANCE_YOUR_CALM",
    12: "INADEQUATE_SECURITY",
    13: "HTTP_1_1_REQUIRED",
}
"""The error codes (RFC 9113, section 7)."""


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """Any frame at all."""
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value, kind=0x00):
    """A header field as it stands in a block, whatever it holds; by default not indexed."""

    def text(value):
        if len(value) < 127:
            return bytes([len(value)]) + value
        left, length = len(value) - 127, [127]
        while left > 127:
            length.append(left & 127 | 128)
            left >>= 7
        return bytes([*length, left]) + value

    return bytes([kind]) + text(_bytes(name)) + text(_bytes(value))


def block(fields):
    """A block of fields, none of which is indexed."""
    return b"".join(literal(name, value) for name, value in fields)


def settings(*pairs):
    """A SETTINGS frame."""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def head(path="/", method="GET", authority="shop.example", *more):
    """The fields of a request."""
    fields = [(":method", method), (":scheme", "http"), (":path", path)]
    return [*fields, (":authority", authority), *more]


def request(stream=1, fields=None, flags=END_STREAM | END_HEADERS):
    """A HEADERS frame with a request."""
    return frame(HEADERS, flags, stream, block(head() if fields is None else fields))


def reset(stream, code=8):
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window(stream, increment):
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


class RawClient:
    """A connection that sends what it is told to, and reads frames."""

    def __init__(self, port, first=None):
        self._socket = socket.create_connection((HOST, port), timeout=DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self._decoder = Decoder()
        self._decoder.max_header_list_size = 1 << 24
        self.encoder = Encoder()
        self.settings = {}
        self._is_cut_off = False
        self.send(PREFACE + settings() if first is None else first)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, data):
        """Sends bytes; a peer that has gone is found when reading."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def send_as_taken(self, data, timeout):
        """Sends until the peer takes no more for a while; gives how much it took."""
        self._socket.settimeout(timeout)
        sent = 0
        try:
            while sent < len(data):
                sent += self._socket.send(data[sent : sent + 65536])
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._socket.settimeout(DEADLINE)
        # A frame that was cut off cannot be followed by another.
        self._is_cut_off = sent < len(data)
        return sent

    def read(self):
        """The next frame, decoded as far as needed, or None at the end."""
        while True:
            raw = self._read_exactly(9)
            if raw is None:
                return None
            found, length = Frame.parse_frame_header(memoryview(raw))
            payload = self._read_exactly(length)
            if payload is None:
                return None
            found.parse_body(memoryview(payload))
            if found.type == SETTINGS and "ACK" not in found.flags:
                self.settings |= found.settings
                if not self._is_cut_off:
                    self.send(frame(SETTINGS, ACK))
            if isinstance(found, HeadersFrame):
                assert "END_HEADERS" in found.flags or self._gather(found)
                found.fields = self._decoder.decode(found.data, raw=True)
            return found

    def until(self, is_it):
        """Reads until a frame for which this holds; gives all frames, that one last."""
        seen = []
        while True:
            seen.append(self.read())
            assert seen[-1] is not None, f"the connection ended after {seen[:-1]}"
            if is_it(seen[-1]):
                return seen

    def answer(self, stream):
        """Reads one stream's response to its end: its status, or the code of its reset."""
        status = None
        while True:
            found = self.read()
            if found is None:
                return "closed"
            if isinstance(found, GoAwayFrame) and found.error_code:
                return f"GOAWAY {name(found.error_code)}"
            if found.stream_id != stream:
                continue
            if isinstance(found, RstStreamFrame):
                return f"RST_STREAM {name(found.error_code)}" if found.error_code else status
            if isinstance(found, HeadersFrame):
                status = int(dict(found.fields).get(b":status", status or 0))
            if "END_STREAM" in found.flags and isinstance(found, HeadersFrame | DataFrame):
                return status

    def end(self):
        """Reads to the end of the connection; gives the code of its GOAWAY."""
        code = None
        while True:
            try:
                found = self.read()
            except ConnectionError:
                return code
            if found is None:
                return code
            if isinstance(found, GoAwayFrame):
                code = name(found.error_code)

    def _gather(self, found):
        while True:
            raw = self._read_exactly(9)
            more, length = Frame.parse_frame_header(memoryview(raw))
            found.data += self._read_exactly(length)
            if "END_HEADERS" in more.flags:
                return True

    def _read_exactly(self, count):
        while len(self._unread) < count:
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self._unread += data
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken


def name(code):
    """An error code by its name."""
    return CODES.get(int(code), str(int(code)))


class RawOrigin:
    """A server of HTTP/2 that keeps what it gets, and answers by a script of bytes.

    `script(stream, fields)` gives the frames that answer a request once it has ended, or None for
    an ordinary answer. An eager origin answers once the head has come.
    """

    def __init__(self, loop, script=lambda stream, fields: None, first=b"", eager=False):
        self._loop = loop
        self._script = script
        self._first = first
        self._eager = eager
        self.requests = []
        """The fields of each request, in order of their arrival."""
        self.frames = []
        """Every frame after the settings: its type, stream, flags and payload."""
        self.connections = 0
        self._writers = []
        self._server, self.port = loop.run(self._start())

    def close(self):
        """Ends the server."""
        self._loop.run(self._stop())

    def send(self, data):
        """Sends bytes over its newest connection."""
        self._loop.call(self._writers[-1].write, data)

    def bodies(self, stream):
        """What came as data on a stream."""
        return b"".join(f[3] for f in self.frames if f[0] == DATA and f[1] == stream)

    def resets(self):
        """The codes of the resets that came, by stream."""
        return {f[1]: name(struct.unpack(">I", f[3])[0]) for f in self.frames if f[0] == RST_STREAM}

    async def _start(self):
        server = await asyncio.start_server(self._handle, HOST, 0)
        return server, server.sockets[0].getsockname()[1]

    async def _stop(self):
        # A connection that is about to be accepted has its turn: asyncio would leave it open.
        for _ in range(10):
            await asyncio.sleep(0)
        self._server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _handle(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        try:
            await reader.readexactly(len(PREFACE))
            writer.write((self._first or settings()) + window(0, 1 << 24))
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the peer went first
        finally:
            writer.close()

    async def _serve(self, reader, writer):
        decoder, gathered, heads, ending = Decoder(), b"", {}, set()
        decoder.max_header_list_size = 1 << 24
        while True:
            raw = await reader.readexactly(9)
            length = int.from_bytes(raw[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", raw[3:])
            payload = await reader.readexactly(length)
            if kind == SETTINGS:
                if not flags & ACK:
                    writer.write(frame(SETTINGS, ACK))
                continue
            self.frames.append((kind, stream, flags, payload))
            if kind == DATA and length:
                writer.write(window(0, length) + window(stream, length))
            if kind in (HEADERS, CONTINUATION):
                gathered += payload
                if flags & END_HEADERS:
                    fields, gathered = decoder.decode(gathered, raw=True), b""
                    self.requests += [] if stream in heads else [fields]
                    heads.setdefault(stream, fields)
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                ending.add(stream)
            is_head = kind in (HEADERS, CONTINUATION) and flags & END_HEADERS
            ends = stream in ending and (is_head or kind == DATA)
            if is_head if self._eager else ends:
                answer = self._script(stream, heads[stream])
                writer.write(ordinary(stream) if answer is None else answer)


def ordinary(stream, status="200", body=b"ok"):
    """An ordinary answer."""
    return answer_head(stream, [(":status", status)]) + frame(DATA, END_STREAM, stream, body)


def answer_head(stream, fields, flags=END_HEADERS):
    """A HEADERS frame of a response."""
    return frame(HEADERS, flags, stream, block(fields))


def _bytes(text):
    return text.encode("latin-1") if isinstance(text, str) else text
