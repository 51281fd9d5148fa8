"""A caller: `caller.py HOST PORT` prints what address it is seen by, after bytes went both ways."""

import socket
import sys

SIZE = 300_000

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
    stream = connection.makefile("rwb")
    seen = stream.readline().decode().strip()
    stream.write(b"x" * SIZE)
    stream.flush()
    connection.shutdown(socket.SHUT_WR)
    assert len(stream.read()) == SIZE, "bytes are lost"
    print(seen)
