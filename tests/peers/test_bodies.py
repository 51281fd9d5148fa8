"""Bodies of 100 MB, whole and in flat memory."""

import hashlib
import json
import subprocess

import pytest

from support.clients import TIMEOUT, RawClient, curl, curl_command
from support.ports import HOST

MIB = 1024**2
LENGTH = 100 * MIB
MOST_MEMORY = 40 * MIB
"""What the process may ever hold."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file of 100 MB no two pieces of which are alike, and its hash."""
    path = tmp_path_factory.mktemp("bodies") / "large"
    digest, seed = hashlib.sha256(), b"spandrel"
    with path.open("wb") as file:
        for number in range(LENGTH // MIB):
            piece = hashlib.shake_128(seed + bytes([number])).digest(MIB)
            digest.update(piece)
            file.write(piece)
    return path, digest.hexdigest()


def download(*arguments):
    """The length and the hash of what curl gets."""
    command = curl_command("--fail", *arguments)
    digest, length = hashlib.sha256(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={}) as process:
        while piece := process.stdout.read(MIB):
            digest.update(piece)
            length += len(piece)
        assert process.wait(TIMEOUT) == 0
    return length, digest.hexdigest()


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_100_mb_come_down_whole_and_in_flat_memory(sidecar, nginx, large, version):
    path, digest = large
    (nginx.files / "large").symlink_to(path)
    proxy = sidecar(nginx.port if version == "--http1.1" else nginx.port_h2)
    assert download(version, proxy.inbound_url("/large")) == (LENGTH, digest)
    assert proxy.peak_memory() < MOST_MEMORY
    assert proxy.span()["http.response.body.size"] == LENGTH


@pytest.mark.parametrize(
    "framing", [[], ["--header", "Transfer-Encoding: chunked"]], ids=["length", "chunks"]
)
def test_100_mb_go_up_whole_and_in_flat_memory(sidecar, web, large, framing):
    path, digest = large
    proxy = sidecar(web.port)
    upload = ["--request", "POST", "--upload-file", path, *framing]
    answer = curl(proxy.inbound_url("/upload"), *upload)
    assert json.loads(answer.body) == {"length": LENGTH, "sha256": digest}
    assert proxy.peak_memory() < MOST_MEMORY
    assert proxy.span()["http.request.body.size"] == LENGTH


def test_100_mb_go_up_and_come_down_on_the_outbound_side(sidecar, nginx, web, large):
    path, digest = large
    (nginx.files / "large").symlink_to(path)
    proxy = sidecar(web.port)
    through = ["--proxy", proxy.proxy]
    url = f"http://{HOST}:{nginx.port}/large"
    assert download(*through, url) == (LENGTH, digest)
    answer = curl(web.url("/upload"), "--request", "POST", "--upload-file", path, proxy=proxy.proxy)
    assert json.loads(answer.body) == {"length": LENGTH, "sha256": digest}
    assert proxy.peak_memory() < MOST_MEMORY
    spans = {span["http.request.method"]: span for span in proxy.spans(2)}
    assert spans["GET"]["http.response.body.size"] == LENGTH
    assert spans["POST"]["http.request.body.size"] == LENGTH


def test_a_client_that_does_not_read_stops_the_application_and_not_the_memory(sidecar, web):
    proxy = sidecar(web.port)
    with RawClient(proxy.inbound_url("/flood/100"), [("Connection", "close")]) as client:
        web.wait_until_stopped()
        assert web.written < LENGTH / 2
        client.count_rest()
    assert web.written == LENGTH
    assert proxy.peak_memory() < MOST_MEMORY
    assert proxy.span()["http.response.body.size"] == LENGTH
