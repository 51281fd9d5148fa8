"""One end of an HTTP/2 connection, frame by frame, that holds to no rule it was not told to.

What belongs to a hop alone is not recorded: the settings that RFC 9113 names, window updates, and
how data is cut into frames.
"""

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from .ends import End
from .script import HERE, Seen

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER = 9
FRAME_SIZE = 16_384
WINDOW = 65_535
INITIAL_WINDOW_SIZE = 4
_KNOWN_SETTINGS = (1, 2, 3, 4, 5, 6, 8)
_LARGEST_LIST = 1 << 20
_ENDS = ("END_STREAM",)

NEVER_INDEXED = True
"""Third in a header line: it is sent as one that no hop may put into a table."""


class Frames(End):
    """An end that sends and sees frames; what it sees is told stream by stream."""

    NOTHING = Seen({})

    def __init__(self, connection, authority, settings=None):
        super().__init__(connection, authority)
        self._settings = settings or {}
        self._unread = b""
        self._is_server = False
        self._encoder = Encoder()
        self._decoder = Decoder(max_header_list_size=_LARGEST_LIST)
        self._block = None
        self._streams = {}
        self._windows = {0: WINDOW}
        self._first_window = WINDOW
        self._pending = {}
        self._withheld = None
        self._counts = {"sent": 0, "received": 0}

    def opens(self, side):
        self._is_server = side == "server"
        if self._is_server:
            self._unread_preface = len(PREFACE)
        else:
            self._unread_preface = 0
            self.queue(PREFACE)
        self._write(SettingsFrame(0, settings=self._settings))

    # What is seen.

    def arrived(self, data):
        self._unread += data
        if self._unread_preface:
            if len(self._unread) < self._unread_preface:
                return
            self._unread = self._unread[self._unread_preface :]
            self._unread_preface = 0
        while len(self._unread) >= FRAME_HEADER:
            frame, length = Frame.parse_frame_header(memoryview(self._unread[:FRAME_HEADER]))
            end = FRAME_HEADER + length
            if len(self._unread) < end:
                return
            frame.parse_body(memoryview(self._unread[FRAME_HEADER:end]))
            self._unread = self._unread[end:]
            self._take(frame)

    def _take(self, frame):
        match frame:
            case HeadersFrame() | ContinuationFrame():
                self._take_block(frame)
            case DataFrame():
                self._note(frame.stream_id, "data", bytes(frame.data), _is_last(frame))
                self._give_window(frame)
            case RstStreamFrame():
                self._pending.pop(frame.stream_id, None)
                self._note(frame.stream_id, "reset", frame.error_code)
            case GoAwayFrame():
                told = (frame.last_stream_id, frame.error_code, bytes(frame.additional_data))
                self._note(0, "goaway", *told)
            case PingFrame():
                self._take_ping(frame)
            case SettingsFrame():
                self._take_settings(frame)
            case WindowUpdateFrame():
                self._windows[frame.stream_id] = (
                    self._window(frame.stream_id) + frame.window_increment
                )
                self._send_pending()
            case PriorityFrame():
                self._note(frame.stream_id, "priority")
            case ExtensionFrame():
                self._note(frame.stream_id, "unknown frame", frame.type)

    def _take_block(self, frame):
        if isinstance(frame, HeadersFrame):
            self._block = (frame.stream_id, _is_last(frame), bytearray())
        stream, is_last, block = self._block
        block += frame.data
        if "END_HEADERS" in frame.flags:
            lines = tuple(map(_line, self._decoder.decode(bytes(block), raw=True)))
            self._note(stream, "headers", lines, is_last)

    def _take_ping(self, frame):
        if "ACK" not in frame.flags:
            self._note(0, "ping", bytes(frame.opaque_data))
            self._write(PingFrame(0, frame.opaque_data, flags=("ACK",)))

    def _take_settings(self, frame):
        if "ACK" in frame.flags:
            return
        if INITIAL_WINDOW_SIZE in frame.settings:
            window = frame.settings[INITIAL_WINDOW_SIZE]
            for stream in self._windows.keys() - {0}:
                self._windows[stream] += window - self._first_window
            self._first_window = window
        for key in frame.settings.keys() - set(_KNOWN_SETTINGS):
            self._note(0, "setting", key, frame.settings[key])
        self._write(SettingsFrame(0, flags=("ACK",)))
        self._send_pending()

    def _note(self, stream, what, *more):
        self._counts["received"] += 1
        noted = self._streams.setdefault(stream, [])
        if what == "data" and noted and noted[-1][0] == "data":
            noted[-1][1] += more[0]
            noted[-1][2] = more[1]
        elif what == "data":
            noted.append(["data", bytearray(more[0]), more[1]])
        else:
            noted.append([what, *more])

    def seen(self, context):
        self.ours = 0
        told = {}
        for stream, noted in self._streams.items():
            told[stream] = [self._told(n, i == 0, context) for i, n in enumerate(noted)]
        return Seen(told, self.ended)

    def _told(self, noted, is_first, context):
        what, *more = noted
        if what == "data":
            return (what, bytes(more[0]), more[1])
        if what != "headers":
            return (what, *more)
        lines = [(line[0], line[1].replace(self._authority, HERE), *line[2:]) for line in more[0]]
        if is_first and self._is_server:
            lines, count = context.lines_less_ours(lines)
            self.ours += count
        return (what, tuple(lines), more[1])

    def count_body(self, stream):
        """How many bytes of data have come on a stream."""
        noted = self._streams.get(stream, [])
        return sum(len(one[1]) for one in noted if one[0] == "data")

    def has_received(self, seen):
        return True

    def has_passed_to(self, peer):
        is_pending = bool(self._pending) and peer._withheld is None
        return not is_pending and super().has_passed_to(peer)

    def count_waiting(self):
        """How many bytes wait for room, or for a window."""
        parts = [data for parts in self._pending.values() for data, _ in parts]
        return super().count_waiting() + sum(map(len, parts))

    def count_received(self):
        return self._counts["received"]

    def count_sent(self):
        return self._counts["sent"]

    # What scripts let it do.

    def heads(self, stream, lines, is_last=False):
        """Sends a header list: of a request, a response, or trailers."""
        self._window(stream)
        lines = [(name, self.addressed(_bytes(value)), *more) for name, value, *more in lines]
        block = self._encoder.encode(lines)
        pieces = [block[at : at + FRAME_SIZE] for at in range(0, len(block), FRAME_SIZE)]
        first, *rest = pieces or [b""]
        flags = _ENDS * is_last + ("END_HEADERS",) * (not rest)
        self._write(HeadersFrame(stream, first, flags=flags), is_counted=True)
        for number, piece in enumerate(rest, 1):
            flags = ("END_HEADERS",) * (number == len(rest))
            self._write(ContinuationFrame(stream, piece, flags=flags))

    def sends(self, stream, data, is_last=False):
        """Sends data, as far as the windows allow, and the rest when they do."""
        self._pending.setdefault(stream, []).append((data, is_last))
        self._send_pending()

    def pads(self, stream, data, is_last=False):
        """Sends data in one frame, with padding."""
        flags = (*_ENDS * is_last, "PADDED")
        self._write(DataFrame(stream, data, pad_length=100, flags=flags), is_counted=True)

    def resets_stream(self, stream, code):
        """Resets a stream."""
        self._write(RstStreamFrame(stream, code), is_counted=True)

    def goes_away(self, last, code=0, data=b""):
        """Says that it takes no more streams."""
        self._write(GoAwayFrame(0, last, code, data), is_counted=True)

    def pings(self, data):
        """Sends a ping."""
        self._write(PingFrame(0, data), is_counted=True)

    def sets(self, settings):
        """Sends settings."""
        counted = len(settings.keys() - set(_KNOWN_SETTINGS))
        self._counts["sent"] += counted
        self._write(SettingsFrame(0, settings=settings))

    def prioritises(self, stream):
        """Sends a priority."""
        self._write(PriorityFrame(stream, 0, 7), is_counted=True)

    def says_something_unknown(self, stream, kind, data):
        """Sends a frame of a type that nobody knows."""
        self._counts["sent"] += 1
        header = len(data).to_bytes(3, "big") + bytes([kind, 0]) + stream.to_bytes(4, "big")
        self.queue(header + data)

    def withholds_windows(self):
        """Gives no window for what comes from now on."""
        self._withheld = {}

    def gives_windows(self):
        """Gives all the windows that were withheld, and again as data comes."""
        withheld, self._withheld = self._withheld or {}, None
        for stream, count in withheld.items():
            self._write(WindowUpdateFrame(stream, count))

    # Writing.

    def _write(self, frame, is_counted=False):
        self._counts["sent"] += is_counted
        self.queue(frame.serialize())

    def _window(self, stream):
        return self._windows.setdefault(stream, self._first_window)

    def _give_window(self, frame):
        count = frame.flow_controlled_length
        if not count:
            return
        streams = (0,) if _is_last(frame) else (0, frame.stream_id)
        for stream in streams:
            if self._withheld is None:
                self._write(WindowUpdateFrame(stream, count))
            else:
                self._withheld[stream] = self._withheld.get(stream, 0) + count

    def _send_pending(self):
        for stream in [*self._pending]:
            parts = self._pending[stream]
            while parts:
                data, is_last = parts.pop(0)
                room = min(FRAME_SIZE, self._windows[0], self._window(stream))
                if data and room <= 0:
                    parts.insert(0, (data, is_last))
                    break
                piece, rest = data[:room] if data else b"", data[room:] if data else b""
                if rest:
                    parts.insert(0, (rest, is_last))
                flags = _ENDS * (is_last and not rest)
                self._windows[0] -= len(piece)
                self._windows[stream] -= len(piece)
                self._write(DataFrame(stream, piece, flags=flags), is_counted=True)
            if not parts:
                del self._pending[stream]


def _is_last(frame):
    return "END_STREAM" in frame.flags


def _line(line):
    name, value = bytes(line[0]), bytes(line[1])
    if isinstance(line, NeverIndexedHeaderTuple):
        return name, value, NEVER_INDEXED
    return name, value


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode()
