"""What the programs in Python share: bodies, and how they are told of."""

import functools
import hashlib

_MOST_TEXT = 2048


def message(body):
    """A body in short: its text as Latin-1 while it is short, else its length and hash."""
    short = {"text": body.decode("latin-1")} if len(body) <= _MOST_TEXT else {}
    return short | {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@functools.cache
def numbered(length):
    """A body of a length that no part of it repeats: numbers of seven digits, each on a line."""
    lines = "".join(f"{number:07d}\n" for number in range(-(-length // 8)))
    return lines.encode()[:length]


def text_lines(lines):
    """Header lines of bytes as text."""
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in lines]


def byte_lines(lines):
    """Header lines of text as bytes."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines]
