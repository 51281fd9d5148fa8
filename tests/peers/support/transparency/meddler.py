"""A relay that changes something on purpose: what the harness must notice."""

import contextlib
import select
import socket
import threading

from ..ports import HOST
from .ends import reset

_PIECE = 64 * 1024
_OUR_OWN = (b"PROBE", b"HTTP/1.1 204")
"""What the probes of the stage say, which are left alone."""


def as_it_is(data):
    """No change at all."""
    return data


class Meddler:
    """Relays connections to a port, and changes what `up` and `down` and the flags say."""

    def __init__(
        self, port, up=as_it_is, down=as_it_is, passes_resets=True, keeps_half_closes=False
    ):
        self._target = port
        self._up = up
        self._down = down
        self._passes_resets = passes_resets
        self._keeps_half_closes = keeps_half_closes
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._open = []
        self._threads = []
        self._start(self._accept)

    def close(self):
        """Ends it, and every thread of it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):  # it may be over already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._open:
            connection.close()

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, name="meddler")
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection((HOST, self._target))
            self._open += [near, far]
            self._start(self._pass, near, far)

    def _pass(self, near, far):
        flows = {near: (far, self._up), far: (near, self._down)}
        while flows:
            for source in select.select([*flows], [], [])[0]:
                sink, change = flows[source]
                try:
                    if _moved(source, sink, change):
                        continue
                except OSError:
                    if self._passes_resets:
                        return reset(sink)
                del flows[source]
                self._pass_end(sink)
        return None

    def _pass_end(self, sink):
        if not self._keeps_half_closes:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)


def _moved(source, sink, change):
    """Moves a piece; whether there was one."""
    data = source.recv(_PIECE)
    sink.sendall(data if data.startswith(_OUR_OWN) else change(data))
    return bool(data)
