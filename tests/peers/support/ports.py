"""Ports on the loopback interface."""

import contextlib
import random
import socket

HOST = "127.0.0.1"

# The system gives outgoing connections ports above these (ip_local_port_range), so that none of
# them takes a port between our finding it and a server's listening on it.
_candidates = iter(random.sample(range(20_000, 32_000), 12_000))


def free_port():
    """A port that nobody listens on, and that no other call gives."""
    for port in _candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise AssertionError("no port is free")


def accepts(port):
    """Whether somebody accepts connections on this port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


class ReservedPort:
    """A port that refuses connections, and is kept from others, until it is closed.

    Who sets SO_REUSEADDR (every server here does) can listen on it all the same.
    """

    def __init__(self, host=HOST):
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.number = self._socket.getsockname()[1]

    def close(self):
        """Gives the port back."""
        self._socket.close()


class FullPort:
    """A port whose queue of connections is full, so that connecting to it hangs."""

    _MOST = 16

    def __init__(self):
        self._listener = socket.socket()
        self._listener.bind((HOST, 0))
        self._listener.listen(0)
        self.number = self._listener.getsockname()[1]
        self._waiting = []
        self._fill()

    def _fill(self):
        for _ in range(self._MOST):
            client = socket.socket()
            self._waiting.append(client)
            client.settimeout(0.2)
            try:
                client.connect((HOST, self.number))
            except TimeoutError:
                return
        raise AssertionError(f"the queue of port {self.number} does not fill")

    def close(self):
        """Ends every connection and the listener."""
        for one in [*self._waiting, self._listener]:
            one.close()
