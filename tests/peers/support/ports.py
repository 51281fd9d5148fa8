"""Ports on the loopback interface."""

import socket

HOST = "127.0.0.1"

_given = set()


def free_port():
    """A port that nobody listens on, and that no earlier call has given."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


class ReservedPort:
    """A port that refuses connections, and is kept from others, until it is closed.

    Who sets SO_REUSEADDR (every server here does) can listen on it all the same.
    """

    def __init__(self):
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, 0))
        self.number = self._socket.getsockname()[1]
        _given.add(self.number)

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
        _given.add(self.number)
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
