"""RFC 9113 to the letter: what a raw client gets, frame by frame, and what the application sees."""

import socket
from contextlib import closing

import pytest
from hpack import Decoder
from hpack.struct import NeverIndexedHeaderTuple
from hyperframe.frame import GoAwayFrame, PingFrame, RstStreamFrame, SettingsFrame

from support.h2raw import (
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    PING,
    PREFACE,
    RawClient,
    RawOrigin,
    frame,
    head,
    name,
    request,
    settings,
)
from support.ports import HOST
from support.rfc9113 import TABLE, Answered
from support.waiting import eventually

LATER = 1_001
"""A stream that no case uses."""


def script(_stream, fields):
    """The application's answers."""
    return b"" if dict(fields).get(b":path") == b"/hold" else None


@pytest.fixture(scope="module")
def origin(loop):
    """The application."""
    with closing(RawOrigin(loop, script)) as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(module_sidecar, origin):
    """The sidecar before it."""
    return module_sidecar(origin.port, settings={"limits.header_count": 8})


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_the_rule_is_kept(proxy, origin, case):
    known, known_frames = len(origin.requests), len(origin.frames)
    with RawClient(proxy.inbound, case.first) as client:
        for at, step in enumerate(case.steps):
            if isinstance(step, Answered):
                assert client.answer(step.stream) == 200
            else:
                client.send(step)
            if case.cut_off and at == 0:
                eventually(lambda: _paths(origin, known) == 1, "the application to be asked")
        if case.connection:
            assert client.end() == case.connection
        else:
            if case.stream:
                assert client.answer(case.number) == f"RST_STREAM {case.stream}"
            client.send(request(LATER, head("/later")))
            assert client.answer(LATER) == 200
    assert _paths(origin, known) <= case.seen, origin.requests[known:]
    if case.cut_off:
        eventually(lambda: _is_cut_off(origin, known_frames), "the application to see a reset")


def _paths(origin, known):
    return len(
        [fields for fields in origin.requests[known:] if (b":path", b"/later") not in fields]
    )


def _is_cut_off(origin, known):
    return any(kind == 3 for kind, *_ in origin.frames[known:])


def test_a_ping_is_answered_with_its_own_bytes(proxy):
    with RawClient(proxy.inbound) as client:
        client.send(frame(PING, 0, 0, b"\0ping!\xff\xfe"))
        pong = client.until(lambda found: isinstance(found, PingFrame))[-1]
        assert ("ACK" in pong.flags, pong.opaque_data) == (True, b"\0ping!\xff\xfe")


def test_settings_are_acknowledged_each_time(proxy):
    def is_ack(found):
        return isinstance(found, SettingsFrame) and "ACK" in found.flags

    with RawClient(proxy.inbound) as client:
        client.until(is_ack)
        client.send(settings((4, 70_000)) + settings())
        client.until(is_ack)
        client.until(is_ack)


def test_the_first_frame_is_settings_and_offers_nothing_that_cannot_be_kept(proxy):
    with RawClient(proxy.inbound) as client:
        first = client.read()
        assert isinstance(first, SettingsFrame) and "ACK" not in first.flags
        assert 2 not in first.settings, "a server does not speak of push"
        assert first.settings[3] >= 100
        assert first.settings.get(5, 1 << 14) == 1 << 14


def test_a_window_that_became_negative_holds_data_back_until_it_has_grown(proxy, origin):
    with RawClient(proxy.inbound) as client:
        client.send(settings((4, 0)) + request(1))
        client.until(lambda found: found.stream_id == 1 and hasattr(found, "fields"))
        client.send(frame(PING, 0, 0, b"12345678"))
        between = client.until(lambda found: isinstance(found, PingFrame))
        assert not [found for found in between if found.stream_id == 1], "no window, no data"
        client.send(settings((4, 2)))
        client.until(lambda found: found.stream_id == 1 and "END_STREAM" in found.flags)


def test_a_stream_too_many_is_refused_and_the_others_go_on(sidecar, origin):
    proxy = sidecar(origin.port, settings={"limits.streams": 2})
    with RawClient(proxy.inbound) as client:
        client.until(lambda found: isinstance(found, SettingsFrame) and "ACK" in found.flags)
        client.send(request(1, head("/hold")) + request(3, head("/hold")) + request(5))
        refused = client.until(lambda found: isinstance(found, RstStreamFrame))[-1]
        assert (refused.stream_id, name(refused.error_code)) in [
            (5, "REFUSED_STREAM"),
            (5, "PROTOCOL_ERROR"),
        ]
        client.send(frame(3, 0, 1, b"\0\0\0\x08"))
        client.send(request(7))
        assert client.answer(7) == 200
    proxy.spans(4)


def test_every_request_makes_one_span_the_malformed_too_and_hypercorn_sees_none(sidecar, echo):
    proxy = sidecar(echo.port)
    known = echo.paths()
    heads = [case for case in TABLE if case.stream and len(case.steps) == 1]
    # hypercorn takes extended CONNECT.
    cases = [case for case in heads if case.section != "RFC 8441 3"]
    assert len(cases) >= 80
    with RawClient(proxy.inbound) as client:
        for at, case in enumerate(cases):
            stream = 2 * at + 1
            (whole,) = case.steps
            client.send(whole[:5] + stream.to_bytes(4, "big") + whole[9:])
            assert client.answer(stream) == f"RST_STREAM {case.stream}", case
        client.send(request(LATER, head("/later")))
        assert client.answer(LATER) == 200
    assert echo.paths() - known == {"/later"}
    spans = [span for span in proxy.spans(len(cases) + 1) if span["error.type"]]
    assert len(spans) == len(cases)
    assert {(span.status, span["error.type"]) for span in spans} == {("ERROR", "protocol_error")}


def test_a_client_that_goes_away_has_its_open_streams_answered(proxy):
    with RawClient(proxy.inbound) as client:
        client.send(request(1) + frame(7, 0, 0, bytes(8)))
        assert client.answer(1) == 200


def test_a_connection_error_names_the_last_stream_that_was_looked_at(proxy):
    with RawClient(proxy.inbound) as client:
        client.send(request(5))
        assert client.answer(5) == 200
        client.send(frame(PING, 0, 3, b"12345678"))
        away = client.until(lambda found: isinstance(found, GoAwayFrame))[-1]
        assert (away.last_stream_id, name(away.error_code)) == (5, "PROTOCOL_ERROR")
        assert client.read() is None


def test_who_goes_on_sending_still_reads_why_it_was_ended(proxy):
    wrong = frame(PING, 0, 3, b"12345678") + bytes(1 << 18)
    with socket.create_connection((HOST, proxy.inbound), timeout=10) as client:
        client.sendall(PREFACE + settings() + wrong)
        said = b""
        while data := client.recv(65_536):
            said += data
        # It is not reset for what it has not been told in time not to send.
        for _ in range(8):
            client.sendall(bytes(1 << 16))
    assert said.endswith(frame(GOAWAY, 0, 0, bytes(7) + b"\x01"))


def test_fields_that_must_not_be_indexed_stay_so(proxy, origin):
    known = len(origin.frames)
    secret = b"\x10\x06secret\x03key"
    with RawClient(proxy.inbound) as client:
        fields = frame(1, END_STREAM | END_HEADERS, 1, request()[9:] + secret)
        client.send(fields)
        assert client.answer(1) == 200
    kind, _, _, payload = next(f for f in origin.frames[known:] if f[0] == 1)
    found = Decoder().decode(payload, raw=True)
    assert [pair for pair in found if isinstance(pair, NeverIndexedHeaderTuple)] == [
        (b"secret", b"key")
    ]
