"""SIGTERM under load: what has begun is finished and exported, and then it ends."""

import collections
import subprocess

import pytest

from support.apps.rpc import SERVICE, RpcClient
from support.apps.web import PART
from support.clients import TIMEOUT, RawClient, curl_command, websocket_client

PATIENT = {"limits.drain_timeout": "10s", "export.batch.schedule_delay": "60s"}
"""Time for what is in flight; and only the end itself can make the spans arrive in time."""
CLIENTS = 16


def test_no_request_in_flight_is_lost_and_every_span_is_exported(sidecar, web, load, protocol):
    proxy = sidecar(web.port, protocol=protocol, settings=PATIENT)
    load = load(proxy.inbound_url("/pause/150/"), clients=CLIENTS, most=2_000)
    web.wait_until(lambda app: len(app.seen) > 100 and app.in_flight >= CLIENTS // 2, "be busy")
    assert load.is_faultless, load.failed
    proxy.terminate()
    proxy.wait()
    load.finish()

    # Who asked too late was refused; but what reached the application, its client got back.
    served = [path for path, status in load.answers.items() if status == 200]
    assert sorted(web.paths()) == sorted(served)
    assert len(served) > 100
    paths = collections.Counter(span["url.path"] for span in proxy.all_spans())
    assert paths == collections.Counter(load.answers.keys())


def test_a_long_answer_in_flight_is_finished(sidecar, web, protocol):
    proxy = sidecar(web.port, protocol=protocol, settings=PATIENT)
    with RawClient(proxy.inbound_url("/held")) as client:
        client.read_until(PART)
        proxy.terminate()
        proxy.wait_for_drain()
        web.release()
        assert client.read_until(2 * PART).endswith(2 * PART)
        proxy.wait()
    assert proxy.span()["http.response.status_code"] == 200


def test_a_stream_of_grpc_in_flight_is_finished(sidecar, rpc):
    proxy = sidecar(rpc.port, settings=PATIENT)
    with RpcClient(proxy.inbound) as client:
        call = client.server_stream("Held", b"")
        assert next(call) == b"one"
        proxy.terminate()
        proxy.wait_for_drain()
        rpc.released.set()
        assert list(call) == [b"two"]
        proxy.wait()
    span = proxy.span()
    assert (span.name, span["rpc.response.status_code"]) == (f"{SERVICE}/Held", "OK")


def test_an_idle_connection_does_not_hold_up_the_end(sidecar, web):
    proxy = sidecar(web.port, settings=PATIENT)
    with RawClient(proxy.inbound_url("/status/200")) as client:
        client.read_until(b"status 200\n")
        proxy.terminate()
        assert client.read_to_the_end()[1] == "closed"
        proxy.wait()
    assert proxy.span()["http.response.status_code"] == 200


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_a_download_in_flight_is_finished(sidecar, nginx, version):
    length = 64 * 1024**2
    (nginx.files / "large").write_bytes(bytes(length))
    proxy = sidecar(nginx.port if version == "--http1.1" else nginx.port_h2, settings=PATIENT)
    command = curl_command(version, "--fail", proxy.inbound_url("/large"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={}) as process:
        read = len(process.stdout.read(1024**2))
        proxy.terminate()
        proxy.wait_for_drain()
        read += len(process.stdout.read())
        assert process.wait(TIMEOUT) == 0
    assert read == length
    proxy.wait()
    assert proxy.span()["http.response.body.size"] == length


def test_a_connection_that_never_ends_is_cut_when_the_time_is_up(sidecar, websocket):
    proxy = sidecar(websocket.port, settings={"limits.drain_timeout": "500ms"})
    with websocket_client(proxy.inbound) as connection:
        connection.send("hello")
        assert connection.recv() == "hello"
        proxy.terminate()
        proxy.wait()
    assert proxy.span()["http.response.status_code"] == 101
