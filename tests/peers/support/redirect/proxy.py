"""A proxy of bytes that is not spandrel: `proxy.py OUTBOUND INBOUND redirect|tproxy`.

It does with redirected connections what spandrel is to do with them, in as few lines as can be:
outbound to where they were meant to go; inbound to the application, from an address that the rules
spare, or from the caller's own with the mark 1773.
"""

import os
import socket
import struct
import sys
import threading

SO_ORIGINAL_DST, IP_TRANSPARENT, MARK = 80, 19, 1773


def say(*words):
    """Says a line in one piece, whoever else says one meanwhile."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def original(connection):
    """Where a connection was meant to go: if nothing has rewritten it, its own address."""
    peer = connection.getpeername()[0]
    try:
        if peer.startswith("::ffff:"):
            raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
            return socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack_from("!H", raw, 2)[0]
        raw = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack_from("!H", raw, 2)[0]
    except OSError:
        host, port = connection.getsockname()[:2]
        return host.removeprefix("::ffff:"), port


def dial(direction, connection, is_tproxy):
    """Connects to where the connection was meant to go."""
    host, port = original(connection)
    is_v6 = ":" in host
    upstream = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET)
    if direction == "inbound" and is_tproxy:
        upstream.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        upstream.bind((connection.getpeername()[0].removeprefix("::ffff:"), 0))
    elif direction == "inbound":
        upstream.bind(("::1" if is_v6 else "127.0.0.6", 0))
    upstream.settimeout(5)
    upstream.connect((host, port))
    upstream.settimeout(None)
    return upstream


def copy(source, sink):
    """Passes bytes on until there are no more."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(direction, listener, is_tproxy):
    """Takes connections for ever."""
    while True:
        connection, _ = listener.accept()
        try:
            upstream = dial(direction, connection, is_tproxy)
        except OSError as error:
            say(direction, error)
            connection.close()
            continue
        say(direction, *original(connection))
        for pair in ((connection, upstream), (upstream, connection)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def main():
    """Listens on both ports of all addresses; stays as it is started, or becomes user 1773."""
    ports, is_tproxy = sys.argv[1:3], sys.argv[3] == "tproxy"
    if not is_tproxy:
        os.setgid(1773)
        os.setuid(1773)
    else:
        os.setegid(1773)
    for direction, port in zip(("outbound", "inbound"), ports, strict=True):
        listener = socket.socket(socket.AF_INET6)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_tproxy:
            listener.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        listener.bind(("::", int(port)))
        listener.listen()
        threading.Thread(target=serve, args=(direction, listener, is_tproxy), daemon=True).start()
    say("ready")
    sys.stdin.read()


main()
