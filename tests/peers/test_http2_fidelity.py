"""What HTTP/2 can say and a proxy could lose: moments, crumbs, sizes, indexing, many at once."""

from contextlib import closing

import pytest
from hpack import Decoder
from hpack.struct import NeverIndexedHeaderTuple

from support.h2raw import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RawClient,
    RawOrigin,
    answer_head,
    block,
    frame,
    head,
    ordinary,
    request,
    settings,
    window,
)
from support.waiting import eventually

SECRET = (b"secret", b"key")
LARGE = [(f"x-{number}", "v" * 3_000) for number in range(18)]
"""Fields of 54 KB; the limit is 64 KiB."""


def fields_in_frames(number, fields, flags):
    """A block of fields that is larger than a frame."""
    whole = block(fields)
    parts = [whole[at : at + 16_000] for at in range(0, len(whole), 16_000)]
    first = frame(HEADERS, flags, number, parts[0])
    middle = b"".join(frame(CONTINUATION, 0, number, part) for part in parts[1:-1])
    return first + middle + frame(CONTINUATION, END_HEADERS, number, parts[-1])


def script(stream, fields):
    """Answers by the path."""
    match dict(fields)[b":path"].partition(b"?")[0]:
        case b"/hold":
            return b""
        case b"/large":
            return fields_in_frames(stream, [(":status", "200"), *LARGE], 0) + frame(
                DATA, END_STREAM, stream
            )
        case b"/trailers":
            start = answer_head(stream, [(":status", "200")]) + frame(DATA, 0, stream, b"data")
            return start + fields_in_frames(stream, LARGE, END_STREAM)
        case b"/secret":
            never = b"\x10\x06secret\x03key"
            start = frame(HEADERS, END_HEADERS, stream, b"\x88" + never)
            return start + frame(HEADERS, END_HEADERS | END_STREAM, stream, never + b"\0\1n\1v")
        case _:
            return None


@pytest.fixture(scope="module")
def origin(loop):
    """The application."""
    with closing(RawOrigin(loop, script, settings((3, 1_000), (4, 1 << 20)))) as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(module_sidecar, origin):
    """The sidecar before it."""
    return module_sidecar(origin.port)


@pytest.fixture
def client(proxy):
    """A client with wide windows."""
    with RawClient(proxy.inbound) as client:
        client.send(window(0, 1 << 24) + settings((4, 1 << 20)))
        yield client


def _regular(fields):
    added = (b"traceparent",)
    return [pair for pair in fields if pair[0] not in added and not pair[0].startswith(b":")]


def _raw(fields):
    return [(name.encode(), value.encode()) for name, value in fields]


def _heads(found):
    return hasattr(found, "fields")


def test_interim_responses_pass_at_the_moment_they_are_sent(client, origin):
    asked = len(origin.requests)
    client.send(request(1, head("/hold")))
    eventually(lambda: len(origin.requests) > asked, "the application to be asked")
    for status, hint in [("103", "</a>"), ("100", "</b>"), ("103", "</c>"), ("199", "</d>")]:
        fields = [(":status", status), ("link", hint)]
        origin.send(answer_head(1, fields))
        # The application says nothing more until this has arrived.
        assert client.until(_heads)[-1].fields == _raw(fields)
    origin.send(ordinary(1))
    assert client.answer(1) == 200


def test_the_crumbs_of_cookies_stay_as_they_are(client, origin):
    crumbs = [("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "")]
    client.send(request(1, [*head(), *crumbs]))
    assert client.answer(1) == 200
    assert _regular(origin.requests[-1]) == _raw(crumbs)


def test_fields_of_one_name_stay_apart_and_in_order(client, origin):
    fields = [("a", "1"), ("a", "2, 3"), ("a", ""), ("b", "\xff"), ("a-b", "4")]
    client.send(request(1, [*head(), *fields]))
    assert client.answer(1) == 200
    expected = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    assert _regular(origin.requests[-1]) == expected


def test_a_head_of_almost_the_limit_passes(client, origin):
    client.send(fields_in_frames(1, [*head(), *LARGE], END_STREAM))
    assert client.answer(1) == 200
    assert _regular(origin.requests[-1]) == _raw(LARGE)


def test_a_head_beyond_the_limit_is_a_431(client):
    client.send(fields_in_frames(1, [*head(), *LARGE, *LARGE], END_STREAM))
    assert client.answer(1) == 431


def test_an_answers_head_of_almost_the_limit_passes(client):
    client.send(request(1, head("/large")))
    assert client.until(_heads)[-1].fields == _raw([(":status", "200"), *LARGE])


def test_trailers_of_a_request_may_be_larger_than_a_frame(client, origin):
    known = len(origin.frames)
    client.send(request(1, head("/x", "POST"), END_HEADERS) + frame(DATA, 0, 1, b"data"))
    client.send(fields_in_frames(1, LARGE, END_STREAM))
    assert client.answer(1) == 200
    sent = [f for f in origin.frames[known:] if f[0] in (HEADERS, CONTINUATION)]
    first, trailers, decoder = [], [], Decoder()
    decoder.max_header_list_size = 1 << 20
    for kind, _, _, payload in sent:
        if kind == HEADERS:
            first, trailers = trailers, []
        trailers.append(payload)
    decoder.decode(b"".join(first))
    assert decoder.decode(b"".join(trailers), raw=True) == _raw(LARGE)


def test_trailers_of_an_answer_may_be_larger_than_a_frame(client):
    client.send(request(1, head("/trailers")))
    trailers = client.until(lambda found: _heads(found) and "END_STREAM" in found.flags)[-1]
    assert trailers.fields == _raw(LARGE)


def test_fields_of_an_answer_that_must_not_be_indexed_stay_so(client):
    client.send(request(1, head("/secret")))
    answer = client.until(lambda found: _heads(found) and "END_STREAM" in found.flags)
    for found in filter(_heads, answer):
        never = [pair for pair in found.fields if isinstance(pair, NeverIndexedHeaderTuple)]
        assert never == [SECRET]


def test_three_hundred_streams_at_once_are_answered_in_any_order(sidecar, origin):
    proxy = sidecar(origin.port, settings={"limits.streams": 400})
    numbers = range(1, 601, 2)
    with RawClient(proxy.inbound) as client:
        client.send(window(0, 1 << 24))
        asked = len(origin.requests)
        client.send(b"".join(request(number, head(f"/hold?{number}")) for number in numbers))
        eventually(lambda: len(origin.requests) == asked + 300, "all to have arrived")
        paths = [dict(fields)[b":path"] for fields in origin.requests[asked:]]
        assert paths == [f"/hold?{number}".encode() for number in numbers], "in order"
        for number in reversed(numbers):
            origin.send(ordinary(number, body=str(number).encode()))
            data = client.until(lambda found: found.type == DATA)[-1]
            assert (data.stream_id, data.data) == (number, str(number).encode())
    proxy.wait_for_books(lambda books: books.created == 300)
    proxy.stop()
