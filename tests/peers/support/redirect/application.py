"""An application: `application.py PORT` tells every caller the address that it sees, and echoes."""

import socket
import sys
import threading


def answer(connection, peer):
    """Says who calls, then sends back what comes."""
    connection.sendall(f"{peer[0].removeprefix('::ffff:')}\n".encode())
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()


def main():
    """Takes connections for ever."""
    listener = socket.create_server(
        ("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True
    )
    print("ready", flush=True)
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=answer, args=(connection, peer), daemon=True).start()


main()
