"""A proxy that meddles, each in one way: what the comparison must find, whatever it is.

It relays bytes and changes some as they come, so it is for short messages only.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass

from ..ports import HOST

_CONTEXT = b"\r\ntraceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\r\nX-Scenario:"


def _same(piece):
    return piece


def _traced(piece):
    return piece.replace(b"\r\nX-Scenario:", _CONTEXT)


@dataclass(frozen=True)
class Meddling:
    """What is done to what the client says, to what the origin says, and at its end."""

    request: callable = _same
    response: callable = _same
    end: bytes = b""
    scenario: str = None
    """The scenario in which it is seen; none if nothing is."""
    context: callable = _traced


def _replacing(old, new):
    return lambda piece: re.sub(old, new, piece, flags=re.DOTALL | re.MULTILINE)


def _lower(found):
    return found[0].lower()


MEDDLINGS = {
    "does nothing": Meddling(),
    "writes no context": Meddling(context=_same, scenario="a plain request"),
    "lower-cases names": Meddling(
        request=_replacing(rb"^[A-Z][\w-]*:", _lower), scenario="a plain request"
    ),
    "adds Via": Meddling(
        response=_replacing(rb"^HTTP/1.1 200 OK\r\n", rb"\g<0>Via: 1.1 meddler\r\n"),
        scenario="a HEAD request",
    ),
    "takes a repeat for an error": Meddling(
        request=_replacing(rb"^x-odd-case: two\r\n", b""), scenario="names of odd spelling"
    ),
    "changes the order of lines": Meddling(
        response=_replacing(rb"^(Set-Cookie: c0.*?\r\n)(.*?\r\n)", rb"\2\1"),
        scenario="cookies one by one",
    ),
    "resolves what is escaped": Meddling(
        request=_replacing(rb"%7E", b"~"), scenario="a path of odd characters"
    ),
    "drops trailers": Meddling(
        response=_replacing(rb"^0\r\nX-Sum.*?\r\n\r\n", b"0\r\n\r\n"),
        scenario="trailers of a response",
    ),
    "swallows interim responses": Meddling(
        response=_replacing(rb"^HTTP/1.1 103.*?\r\n\r\n", b""), scenario="an interim response"
    ),
    "says other words": Meddling(
        response=_replacing(rb"Not Found\r\n", b"Lost\r\n"), scenario="a path that is not there"
    ),
    "makes whole what broke off": Meddling(
        end=b"0\r\n\r\n", scenario="a response that breaks off"
    ),
    "changes a byte of a body": Meddling(
        request=_replacing(rb"0000099", b"0000098"), scenario="a body with a length"
    ),
}
"""The ways to meddle."""


class Meddler:
    """The proxy before an origin; `port` is where it listens."""

    def __init__(self, loop, upstream, meddling):
        self._loop, self._upstream, self._meddling = loop, upstream, meddling
        self._server = loop.run(asyncio.start_server(self._relay, HOST, 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self):
        """Takes no more connections."""
        self._loop.call(self._server.close)

    async def _relay(self, reader, writer):
        meddling = self._meddling
        other_reader, other_writer = await asyncio.open_connection(HOST, self._upstream)
        await asyncio.gather(
            _copy(reader, other_writer, lambda p: meddling.context(meddling.request(p)), b""),
            _copy(other_reader, writer, meddling.response, meddling.end),
        )


async def _copy(reader, writer, change, end):
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 20):
            writer.write(change(piece))
            await writer.drain()
        writer.write(end)
    with suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()
