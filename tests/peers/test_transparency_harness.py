"""The harness of the transparency tests notices what a proxy changes, and how it is told."""

import re
from contextlib import closing

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, RstStreamFrame, SettingsFrame

from support.transparency.compare import Different, Play
from support.transparency.context import ADDED, UNTOUCHED
from support.transparency.ends import Bytes
from support.transparency.frames import Frames
from support.transparency.http1.parts import (
    asked_and_answered,
    chunks,
    empty,
    get,
    ok,
    post,
    wire_case,
)
from support.transparency.http2.parts import LAST, request, response
from support.transparency.meddler import Meddler
from support.transparency.script import case, client, server
from support.transparency.stage import DEADLINE, Server, Way, authority

SOON = 0.3
"""Seconds after which what is missing counts as missing; what is wrong never comes."""

CHUNKED = empty("200 OK", "Transfer-Encoding: chunked")
HINTS = empty("103 Early Hints", "Link: </a.css>")
ID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

CASES = {
    "exchange": asked_and_answered(get("X-A: 1", "X-B:  2"), ok("X-C: 3")),
    "body": [client.sends(post(b"body")), server.sends(CHUNKED + chunks(b"ok", trailers=["X: 1"]))],
    "interim": [client.sends(get()), server.sends(HINTS), server.sends(ok())],
    "expect": [
        client.sends(get("Expect: 100-continue", "Content-Length: 2", method="PUT")),
        server.sends(empty("100 Continue")),
        client.sends(b"ok"),
        server.sends(ok()),
    ],
    "half-close": [client.sends(get()), client.half_closes(), server.sends(ok()), server.closes()],
    "server reset": [client.sends(get()), server.sends(CHUNKED), server.resets()],
    "client reset": [client.sends(get()), client.resets()],
}


def replaced(old, new):
    """A change of some bytes for others."""
    return lambda data: data.replace(old, new)


def held_until(end):
    """Holds everything back until some bytes have come."""
    held = bytearray()

    def change(data):
        held.extend(data)
        if end not in held:
            return b""
        whole = bytes(held)
        held.clear()
        return whole

    return change


def first_line_again(data):
    """Sends the whole again, if it is a request of the case."""
    return data * 2 if data.startswith(b"GET") else data


MEDDLINGS = {
    "a line is added to the request": ("exchange", {"up": replaced(b"X-A", b"Via: 1.1 p\r\nX-A")}),
    "a line is taken from the request": ("exchange", {"up": replaced(b"X-A: 1\r\n", b"")}),
    "a name is written in another case": ("exchange", {"up": replaced(b"X-A", b"x-a")}),
    "white space is tidied up": ("exchange", {"up": replaced(b"X-B:  2", b"X-B: 2")}),
    "lines change places": (
        "exchange",
        {"up": replaced(b"X-A: 1\r\nX-B:  2\r\n", b"X-B:  2\r\nX-A: 1\r\n")},
    ),
    "a line is added to the response": (
        "exchange",
        {"down": replaced(b"X-C", b"Date: now\r\nX-C")},
    ),
    "the reason is another": ("exchange", {"down": replaced(b"200 OK", b"200 Fine")}),
    "the request is sent twice": ("exchange", {"up": first_line_again}),
    "the body is changed": ("body", {"up": replaced(b"body", b"b0dy")}),
    "a trailer is lost": ("body", {"down": replaced(b"X: 1\r\n", b"")}),
    "chunks are framed anew": ("body", {"down": replaced(b"2\r\nok", b"1\r\no\r\n1\r\nk")}),
    "an interim response is swallowed": ("interim", {"down": replaced(HINTS, b"")}),
    "an interim response comes late": ("interim", {"down": held_until(b"200 OK")}),
    "an expectation is swallowed": ("expect", {"up": replaced(b"Expect: 100-continue\r\n", b"")}),
    "an expectation is answered twice": (
        "expect",
        {"down": replaced(b"HTTP/1.1 100", empty("100 Continue") + b"HTTP/1.1 100")},
    ),
    "the head waits for the body": ("expect", {"up": held_until(b"\r\n\r\nok")}),
    "a half-close is kept back": ("half-close", {"keeps_half_closes": True}),
    "a reset of the server becomes an end": ("server reset", {"passes_resets": False}),
    "a reset of the client becomes an end": ("client reset", {"passes_resets": False}),
}

LINES = {
    "is there twice": f"traceparent: {ID}\r\ntraceparent: {ID}\r\n",
    "is spelled in another case": f"Traceparent: {ID}\r\n",
    "has other white space": f"traceparent:{ID}\r\n",
    "is not the last": f"traceparent: {ID}\r\nX: 1\r\n",
    "has no digits": f"traceparent: {ID.replace('b7', 'B7')}\r\n",
    "has an id of zeros": f"traceparent: {ID[:36]}{'0' * 16}-01\r\n",
    "is missing": "",
}


STREAM = (1).to_bytes(4, "big")
CANCELLED, FAILED = (RstStreamFrame(1, code).serialize() for code in (8, 2))
GO_AWAY = GoAwayFrame(0, 0, 0).serialize()
NOTHING_MORE = DataFrame(1, b"", flags=("END_STREAM",)).serialize()
SETTINGS_ACK = SettingsFrame(0, flags=("ACK",)).serialize()

STREAM_CASES = {
    "exchange": [client.heads(1, request(), LAST), server.heads(1, response(), LAST)],
    "bodies": [
        client.heads(1, request()),
        client.sends(1, b"up"),
        server.heads(1, response()),
        server.sends(1, b"down", LAST),
    ],
    "reset": [client.heads(1, request()), client.resets_stream(1, 8)],
    "connection reset": [client.heads(1, request()), client.resets()],
}


def ended_by_data(data):
    """Ends a head that is all there is by a frame of data instead."""
    whole, open_ = b"\x01\x05" + STREAM, b"\x01\x04" + STREAM
    return data.replace(whole, open_) + NOTHING_MORE if whole in data else data


STREAM_MEDDLINGS = {
    "a head is ended by data": ("exchange", {"down": ended_by_data}),
    "a pseudo-header is another": ("exchange", {"up": replaced(b"\x82\x86", b"\x83\x86")}),
    "a status is another": ("exchange", {"down": replaced(STREAM + b"\x88", STREAM + b"\x89")}),
    "data are changed": ("bodies", {"up": replaced(b"up", b"Up")}),
    "data wait for more": ("bodies", {"down": held_until(b"down")}),
    "the end of data is lost": (
        "bodies",
        {"down": replaced(b"\x00\x01" + STREAM + b"down", b"\x00\x00" + STREAM + b"down")},
    ),
    "the code of a reset is another": ("reset", {"up": replaced(CANCELLED, FAILED)}),
    "a reset is swallowed": ("reset", {"up": replaced(CANCELLED, b"")}),
    "a frame is added": ("exchange", {"down": replaced(SETTINGS_ACK, SETTINGS_ACK + GO_AWAY)}),
    "a reset becomes an end": ("connection reset", {"passes_resets": False}),
}


@pytest.fixture
def played():
    """Plays a case through a meddler: `played(acts, context, up=...)`."""

    def play(acts, context=UNTOUCHED, deadline=SOON, kind=Bytes, **meddling):
        with closing(Server()) as server, closing(Meddler(server.port, **meddling)) as meddler:
            way = Way("inbound", meddler.port, authority(server.port))
            make = wire_case if kind is Bytes else case
            Play(server, make("a case", acts, context=context), kind).over(way, deadline)

    return play


@pytest.mark.parametrize("acts", CASES.values(), ids=CASES)
def test_a_relay_that_changes_nothing_passes(played, acts):
    played(acts, deadline=DEADLINE)


@pytest.mark.parametrize(("name", "meddling"), MEDDLINGS.values(), ids=MEDDLINGS)
def test_a_relay_that_changes_something_is_noticed(played, name, meddling):
    with pytest.raises(Different):
        played(CASES[name], **meddling)


@pytest.mark.parametrize("acts", STREAM_CASES.values(), ids=STREAM_CASES)
def test_a_relay_that_changes_no_frame_passes(played, acts):
    played(acts, deadline=DEADLINE, kind=Frames)


@pytest.mark.parametrize(("name", "meddling"), STREAM_MEDDLINGS.values(), ids=STREAM_MEDDLINGS)
def test_a_relay_that_changes_frames_is_noticed(played, name, meddling):
    with pytest.raises(Different):
        played(STREAM_CASES[name], kind=Frames, **meddling)


def with_line(line):
    """Writes a line of context behind the head of a request of the case."""
    return lambda data: re.sub(
        rb"^(GET.*\r\n)\r\n$", rb"\1%b\r\n" % line.encode(), data, flags=re.S
    )


def test_one_line_of_context_passes(played):
    one = with_line(f"traceparent: {ID}\r\n")
    played(CASES["exchange"], ADDED, DEADLINE, up=one)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_of_context_that_is_not_as_it_should_be_is_noticed(played, line):
    with pytest.raises(Different):
        played(CASES["exchange"], ADDED, up=with_line(line))


def test_a_difference_is_told_by_the_act_the_side_and_the_bytes(played):
    with pytest.raises(Different) as told:
        played(CASES["exchange"], up=replaced(b"X-A", b"x-a"))
    text = str(told.value)
    assert text.startswith("after act 0, client 0 sends b'GET / HTTP/1.1"), text
    assert "server 0 sees a difference" in text
    assert "x-a: 1" in text
    assert "instead of" in text
