"""Bare connections of a pod."""

import socket

from .clients import TIMEOUT


def say(pod, host, port, line):
    """What a server says to a line."""
    with pod.inside(), socket.create_connection((host, port), TIMEOUT) as client:
        client.sendall(line)
        with client.makefile("rb") as answers:
            return answers.readline()


def hear_line(pod, host, port):
    """The first line that a server says on a connection on which nothing is said."""
    return say(pod, host, port, b"")


def hear(pod, host, port):
    """What comes of a connection on which nothing is said, until it ends or is reset."""
    try:
        with pod.inside(), socket.create_connection((host, port), TIMEOUT) as client:
            with client.makefile("rb") as said:
                return said.read()
    except ConnectionResetError:
        return b""
