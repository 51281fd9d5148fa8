"""nghttp2's h2load: a hundred streams on each of several connections, and not one error."""

import re
import shutil
import subprocess

import pytest

CONNECTIONS, STREAMS = 8, 100
REQUESTS = {"nginx": 10_000, "hypercorn": 2_400}
"""How many requests in all: hypercorn ends a connection after a thousand."""


def h2load(url, requests):
    """Runs h2load; gives what it says of its requests, by word."""
    program = shutil.which("h2load")
    assert program, "there is no h2load: install it (apt-get install nghttp2-client)"
    counts = ["-n", str(requests), "-c", str(CONNECTIONS), "-m", str(STREAMS)]
    done = subprocess.run(
        [program, *counts, url], capture_output=True, text=True, timeout=120, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("requests:"))
    said = {word: int(count) for count, word in re.findall(r"(\d+) ([a-z]+)", line)}
    statuses = re.search(r"status codes: (\d+) 2xx", done.stdout)
    return said | {"2xx": int(statuses[1])}


@pytest.mark.parametrize("application", REQUESTS)
def test_every_request_succeeds_and_makes_a_span(sidecar, nginx, echo, application):
    (nginx.files / "page").write_text("page\n")
    proxy = sidecar({"nginx": nginx.port_h2, "hypercorn": echo.port}[application])
    requests = REQUESTS[application]
    said = h2load(proxy.inbound_url("/page"), requests)
    expected = dict.fromkeys(["total", "started", "done", "succeeded", "2xx"], requests)
    assert said == expected | dict.fromkeys(["failed", "errored", "timeout"], 0)
    proxy.wait_for_books(lambda books: books.created == requests)
    proxy.stop()
