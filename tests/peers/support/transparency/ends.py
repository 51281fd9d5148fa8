"""One end of a TCP connection, without blocking: what it has sent, and what it has seen."""

import socket
import struct

from .script import END, HERE, RESET, Seen

_PIECE = 256 * 1024


def reset(connection):
    """Closes a connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class End:
    """A socket whose reading and writing are done in turns of the stage."""

    def __init__(self, connection, authority):
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self.is_open = True
        self.is_reading = True
        self.ended = ""
        self.has_ended = False
        self.ours = 0
        self._authority = authority
        self._waiting = bytearray()
        self._ends_when_written = False

    def wants(self):
        """Whether it waits to read, and whether it waits to write."""
        return self.is_open and self.is_reading and not self.ended, bool(self._waiting)

    def read(self):
        """Takes what has arrived."""
        try:
            data = self.socket.recv(_PIECE)
        except BlockingIOError:
            return
        except ConnectionError:
            self.ended = RESET
            return
        if data:
            self.arrived(data)
        else:
            self.ended = END

    def write(self):
        """Sends what there is room for."""
        try:
            count = self.socket.send(self._waiting[:_PIECE])
        except BlockingIOError:
            return
        except ConnectionError:
            self._waiting.clear()
            return
        del self._waiting[:count]
        if not self._waiting and self._ends_when_written:
            self.half_closes()

    def queue(self, data):
        """Sends soon."""
        self._waiting += data
        self.write()

    def addressed(self, data):
        """What a script says, with the authority that is meant."""
        return data.replace(HERE, self._authority)

    def opens(self, side):
        """Says what an end says first, as the client or as the server."""

    def arrived(self, data):
        """Takes the bytes that came."""
        raise NotImplementedError

    def has_received(self, seen):
        """Whether as much has come as was seen elsewhere; what is ours only adds to it."""
        raise NotImplementedError

    def has_passed_to(self, peer):
        """Whether the other end of the same connection has seen all that was sent from here."""
        if not peer.is_open or not peer.is_reading or peer.ended:
            return True
        return (
            not self._waiting and peer.count_received() == self.count_sent() and not self.has_ended
        )

    def count_waiting(self):
        """How many bytes wait for room to be sent."""
        return len(self._waiting)

    # What an end can do in every protocol.

    def half_closes(self):
        """Says that nothing more will come."""
        self.has_ended = True
        if self._waiting:
            self._ends_when_written = True
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side was faster

    def closes(self, close=socket.socket.close):
        """Closes, with a reset if something is unread, as the system does it."""
        if self.is_open:
            self.is_open, self.has_ended = False, True
            self._waiting.clear()
            close(self.socket)

    def resets(self):
        """Closes with a reset."""
        if self.is_open:
            self.closes(reset)

    def stops_reading(self):
        """Leaves what comes where it is."""
        self.is_reading = False

    def reads_again(self):
        """Reads again."""
        self.is_reading = True


class Bytes(End):
    """An end that sends and sees bytes as they are."""

    NOTHING = Seen(b"")

    def __init__(self, connection, authority, _settings=None):
        super().__init__(connection, authority)
        self.received = bytearray()
        self.sent = 0

    def arrived(self, data):
        self.received += data

    def seen(self, context):
        """What it has seen, less what belongs to the path."""
        received = bytes(self.received).replace(self._authority, HERE)
        self.ours = context.count_ours(received)
        return Seen(context.less_ours(received), self.ended)

    def has_received(self, seen):
        return len(self.received) >= len(seen.received)

    def count_received(self):
        """How much has come, in the same units as `count_sent`."""
        return len(self.received)

    def count_sent(self):
        """How much was sent."""
        return self.sent

    def sends(self, data):
        """Sends these bytes at once."""
        self.sent += len(data)
        self.queue(self.addressed(data))

    def trickles(self, data):
        """Sends these bytes one by one, each in a segment of its own."""
        data = self.addressed(data)
        for at in range(len(data)):
            self.sends(data[at : at + 1])
