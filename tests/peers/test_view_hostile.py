"""Senders that `view` must not be harmed by: too much, nonsense, and too slow."""

import gzip
import socket
from contextlib import ExitStack, closing, suppress
from urllib.parse import urlsplit

import grpc
import pytest

from support.clients import TIMEOUT, curl
from support.collector import GRPC, HTTP
from support.sdk import SdkTrace
from support.told import assert_answered
from support.waiting import eventually

MIB = 1024**2
PROGRAM = 24 * MIB
"""Bytes that the program may need beside what a test says."""
PROTOBUF = ("--header", "content-type: application/x-protobuf")
SIGNALS = ("traces", "metrics", "logs")
SERVICES = ("trace.v1.TraceService", "metrics.v1.MetricsService", "logs.v1.LogsService")


def assert_sound(view):
    """It takes a trace and shows it, as ever."""
    sent = SdkTrace(view, HTTP, is_zipped=False)
    assert_answered(view.trace(sent.trace_id), sent.told())


@pytest.fixture
def large(tmp_path):
    """A file of 100 MB."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    return path


@pytest.fixture
def bomb(tmp_path):
    """A file of 1 MiB that becomes 1 GiB."""
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(bytes(64 * MIB)) * 16)
    return path


@pytest.mark.parametrize(
    "how",
    [
        ("--data-binary", "@{}"),
        ("--header", "expect:", "--data-binary", "@{}"),
        ("--header", "transfer-encoding: chunked", "--data-binary", "@{}"),
    ],
    ids=["asks first", "sends at once", "does not tell"],
)
def test_a_body_of_100_mb_is_refused_and_the_connection_closed(view, large, how):
    idle = view.resident()
    options = [option.format(large) for option in how]
    answer = curl(view.receiver(), *PROTOBUF, "--include", *options)
    assert answer.status == 413
    assert b"\r\nconnection: close\r\n" in answer.body
    assert b"send at most 16 MiB at a time" in answer.body
    assert view.most_resident() < idle + 16 * MIB + PROGRAM
    assert view.books()["requests_refused"] == 1
    assert_sound(view)


def test_a_bomb_of_gzip_is_refused(view, bomb):
    idle = view.resident()
    zipped = (*PROTOBUF, "--header", "content-encoding: gzip", "--data-binary", f"@{bomb}")
    assert bomb.stat().st_size < 2 * MIB
    for _ in range(3):
        assert curl(view.receiver(), *zipped).status == 413
    # What is unpacked doubles as it grows: up to 64 MiB, and once more while it moves.
    assert view.most_resident() < idle + 2 * 64 * MIB + PROGRAM
    assert view.resident() < idle + PROGRAM
    assert_sound(view)


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("garbage", ["@/etc/os-release", "\x0a\xff", "<html></html>"])
def test_what_is_no_protobuf_is_refused(view, signal, garbage):
    answer = curl(view.receiver(signal), *PROTOBUF, "--data-binary", garbage)
    assert answer.status == 400
    assert b"the body is not the protobuf of OTLP" in answer.body
    assert view.books()["requests_refused"] == 1
    assert_sound(view)


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_no_protobuf_is_refused_over_grpc(view, service):
    with grpc.insecure_channel(urlsplit(view.endpoint(GRPC)).netloc) as channel:
        export = channel.unary_unary(f"/opentelemetry.proto.collector.{service}/Export")
        with pytest.raises(grpc.RpcError) as refusal:
            export(b"\x0a\xff")
        assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert export(b"") == b"", "a message of nothing is one"
    assert view.books()["requests_refused"] == 1
    assert_sound(view)


def test_bodies_that_never_end_do_not_hold_up_others(view):
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(closing(slow_body(view, 1_000, sent=500)))
        for protocol in (GRPC, HTTP):
            sent = SdkTrace(view, protocol, is_zipped=True)
            assert_answered(view.trace(sent.trace_id), sent.told())
        assert curl(f"{view.url}/").status == 200
        assert view.books()["requests_refused"] == 0, "they may still come to their end"


def test_many_large_bodies_at_a_time_are_not_taken(view):
    idle, number, fit = view.resident(), 30, 8
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(closing(slow_body(view, 16_000_000, sent=15_900_000)))
        eventually(
            lambda: view.books()["requests_refused"] >= number - fit,
            lambda: f"refusals, not {view.books()}",
        )
        assert view.most_resident() < idle + 128 * MIB + PROGRAM
    eventually(lambda: view.resident() < idle + PROGRAM, lambda: f"room: {view.resident()}")
    assert_sound(view)


def slow_body(view, length, sent):
    """A request whose body has begun to come, as far as the other side lets it."""
    address = urlsplit(view.receiver())
    client = socket.create_connection((address.hostname, address.port), timeout=TIMEOUT)
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Content-Type: application/x-protobuf\r\nContent-Length: {length}\r\n\r\n"
    )
    client.sendall(head.encode())
    # Who is refused is cut off.
    with suppress(ConnectionError):
        client.sendall(bytes(sent))
    return client
