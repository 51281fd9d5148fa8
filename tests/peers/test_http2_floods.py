"""Floods of frames: the connection ends or memory stays flat, and others are served meanwhile."""

from contextlib import closing

import pytest

from support.h2raw import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RawClient,
    RawOrigin,
    block,
    frame,
    head,
    literal,
    request,
    reset,
    settings,
    window,
)

CALM = "ENHANCE_YOUR_CALM"
MOST = 48 << 20
"""Bytes of memory that all floods together may take beyond what the process had before."""
PATIENCE = 0.5
"""Seconds after which a peer that reads no more is taken to have stopped."""


def script(_stream, fields):
    """The application's answers."""
    return b"" if dict(fields)[b":path"] == b"/hold" else None


@pytest.fixture(scope="module")
def origin(loop):
    """The application."""
    with closing(RawOrigin(loop, script)) as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(module_sidecar, origin):
    """The sidecar before it."""
    return module_sidecar(origin.port)


def _open_and_reset(number):
    return request(number, head("/hold")) + reset(number)


def _bomb(size):
    entry = literal("n", "v" * size, 0x40)
    return frame(HEADERS, END_STREAM | END_HEADERS, 1, block(head()) + entry) + b"".join(
        frame(HEADERS, END_STREAM | END_HEADERS, number, block(head()) + b"\xbe" * 16_000)
        for number in range(3, 41, 2)
    )


POST = request(1, head("/hold", "POST"), END_HEADERS)
FLOODS = {
    "streams that are reset at once": (b"".join(map(_open_and_reset, range(1, 40_001, 2))), CALM),
    "CONTINUATION without end": (
        frame(HEADERS, 1, 1, block(head())) + frame(CONTINUATION, 0, 1) * 100_000,
        CALM,
    ),
    "CONTINUATION with a byte each": (
        frame(HEADERS, 1, 1, block(head())) + frame(CONTINUATION, 0, 1, b"\x82") * 100_000,
        CALM,
    ),
    "a head of megabytes": (
        frame(HEADERS, 1, 1, block(head()))
        + frame(CONTINUATION, 0, 1, literal("n", "v" * 200)[:16_000] * 70) * 1_000,
        CALM,
    ),
    "heads that unpack to megabytes": (_bomb(200), None),
    "heads that unpack to tens of megabytes": (_bomb(3_900), CALM),
    "malformed requests": (
        b"".join(request(n, [*head(), ("BAD", "v")]) for n in range(1, 10_001, 2)),
        CALM,
    ),
    "empty DATA": (POST + frame(DATA, 0, 1) * 500_000, CALM),
    "DATA of a byte": (POST + frame(DATA, 0, 1, b"x") * 20_000, None),
    "PING": (frame(PING, 0, 0, b"12345678") * 500_000, None),
    "SETTINGS": (settings((4, 1_000)) * 500_000, None),
    "empty SETTINGS": (settings() * 500_000, None),
    "PRIORITY": (frame(PRIORITY, 0, 1, b"\0\0\0\1\1") * 500_000, None),
    "unknown frames": (frame(0xFA, 0, 0, b"what") * 500_000, None),
    "windows that grow by a byte": (
        request(1, head("/hold")) + window(0, 1) * 250_000 + window(1, 1) * 250_000,
        None,
    ),
    "DATA for streams that have ended": (
        request(1, head("/hold")) + reset(1) + frame(DATA, 0, 1, b"x") * 500_000,
        None,
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_ended_or_borne_in_flat_memory(proxy, flood):
    data, code = FLOODS[flood]
    with RawClient(proxy.inbound) as other:
        other.send(request(1))
        assert other.answer(1) == 200
        before = proxy.peak_memory()
        with RawClient(proxy.inbound) as client:
            # Nothing is read while the flood lasts: what it is answered with has nowhere to go.
            client.send_as_taken(data, PATIENCE)
            other.send(request(3))
            assert other.answer(3) == 200
            if code:
                assert client.end() in (code, None)
        assert proxy.peak_memory() - before < MOST
        other.send(request(5))
        assert other.answer(5) == 200


def test_streams_that_are_reset_at_once_end_a_connection_by_a_code(sidecar, origin):
    proxy = sidecar(origin.port, settings={"limits.pending_resets": 3})
    with RawClient(proxy.inbound) as client:
        client.send(b"".join(map(_open_and_reset, range(1, 101, 2))))
        assert client.end() == CALM


def test_as_many_are_borne_as_was_set(sidecar, origin):
    proxy = sidecar(origin.port, settings={"limits.pending_resets": 60})
    with RawClient(proxy.inbound) as client:
        client.send(b"".join(map(_open_and_reset, range(1, 101, 2))) + request(101))
        assert client.answer(101) == 200


@pytest.mark.parametrize(("most", "is_borne"), [(5, True), (4, False)])
def test_faults_of_a_client_are_borne_up_to_a_limit(sidecar, origin, most, is_borne):
    proxy = sidecar(origin.port, settings={"limits.error_resets": most})
    with RawClient(proxy.inbound) as client:
        for number in range(1, 11, 2):
            client.send(request(number, [*head(), ("BAD", "v")]))
        client.send(request(11))
        assert client.answer(11) == (200 if is_borne else f"GOAWAY {CALM}")


@pytest.mark.parametrize(("most", "is_borne"), [(3, True), (2, False)])
def test_a_head_goes_on_up_to_a_limit(sidecar, origin, most, is_borne):
    proxy = sidecar(origin.port, settings={"limits.continuations": most})
    whole = block(head())
    parts = [frame(CONTINUATION, 0, 1, whole[:9]), frame(CONTINUATION, 0, 1, whole[9:20])]
    with RawClient(proxy.inbound) as client:
        client.send(frame(HEADERS, END_STREAM, 1) + b"".join(parts))
        client.send(frame(CONTINUATION, END_HEADERS, 1, whole[20:]))
        assert client.answer(1) == (200 if is_borne else f"GOAWAY {CALM}")
