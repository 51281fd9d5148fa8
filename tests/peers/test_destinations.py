"""Several destinations at once: each with its own queue, books and filter, none in another's way."""

import json
import subprocess
from contextlib import ExitStack, closing

import pytest

from support.clients import curl
from support.collector import GRPC, HTTP
from support.faulty import modes
from support.faulty.receiver import FaultReceiver
from support.waiting import eventually

CLIENTS = 4
REQUESTS = 1_500
BACK = 60
SLOWER = 0.25
"""Seconds by which the export may be slower beside a dead destination: noise, and no time-out."""
DEAD = [modes.REFUSED, modes.BLACK_HOLE, modes.UNAVAILABLE, modes.SLOW]


@pytest.fixture
def receivers():
    """Two receivers that fail on demand."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(FaultReceiver(notes=True))) for _ in range(2)]


@pytest.fixture
def start(sidecars_of, web):
    """Starts a sidecar: `start(receiver, protocol, settings)`."""
    with ExitStack() as stack:

        def begin(receiver, settings, protocol=HTTP):
            sidecar = stack.enter_context(sidecars_of(receiver))
            settings = {"export.otlp.protocol": protocol, **settings}
            return sidecar(web.port, protocol=protocol, settings=settings)

        yield begin


def also(receiver, protocol=HTTP, name="second", **more):
    """The settings of a further destination."""
    settings = {"type": "otlp", "endpoint": receiver.endpoint(protocol), "protocol": protocol}
    return {f"export.destinations.{name}.{key}": v for key, v in {**settings, **more}.items()}


def load_whole(load, proxy, requests=REQUESTS, begin="/status/200/"):
    """Load that ends by itself; gives what was answered."""
    load = load(proxy.inbound_url(begin), clients=CLIENTS, most=requests, pause=0.001)
    eventually(lambda: not load.is_running, "the end of the load", BACK)
    load.finish()
    assert load.is_faultless, load.failed
    return {path: 1 for path in load.answers}


def delays(receiver, proxy, load, begin):
    """How long spans take from their end to the receiver, over a whole load."""
    receiver.forget_delays()
    exported = proxy.books().exported
    asked = load_whole(load, proxy, begin=begin)
    proxy.wait_for_books(lambda books: books.exported == exported + REQUESTS, BACK)
    return receiver.report(), asked


@pytest.mark.parametrize("mode", DEAD)
def test_a_dead_destination_does_not_slow_the_other(start, receivers, load, protocol, mode):
    good, dead = receivers
    settings = also(dead, protocol, **{"timeout": "3s"})
    proxy = start(good, settings, protocol)
    healthy, first = delays(good, proxy, load, "/status/200/healthy-")
    dead.switch(mode)
    beside, second = delays(good, proxy, load, "/status/200/beside-")
    assert good.paths() == first | second
    for share in ("delay_median", "delay_p99", "delay_most"):
        assert beside[share] <= healthy[share] + SLOWER, (share, healthy, beside)
    books = proxy.books("second")
    assert books.dropped == 0
    dead.switch(modes.HEALTHY)
    proxy.wait_for_books(lambda books: books.exported == 2 * REQUESTS, BACK, "second")
    assert dead.paths() == first | second
    assert dead.report()["twice"] == good.report()["twice"] == 0


def test_a_slow_receiver_delays_its_own_spans(start, receivers, load):
    """The negative control of the test above: its measure notices a delay."""
    good, _ = receivers
    proxy = start(good, {})
    healthy, _ = delays(good, proxy, load, "/status/200/healthy-")
    good.switch(modes.SLOW)
    slow, _ = delays(good, proxy, load, "/status/200/slow-")
    assert slow["delay_median"] > healthy["delay_median"] + SLOWER


def test_each_destination_gets_what_its_filter_lets_pass(start, receivers):
    everything, some = receivers
    passing = {"filter.tenants": ["acme"], "filter.attributes": {"http.request.method": "GET"}}
    settings = also(some, GRPC, **passing)
    proxy = start(everything, settings)
    for tenant, method, path in [
        ("acme", "GET", "/status/200/1"),
        ("acme", "POST", "/status/200/2"),
        ("other", "GET", "/status/200/3"),
        ("acme", "GET", "/status/200/4"),
    ]:
        asked = ["--request", method, "--header", f"x-tenant-id: {tenant}"]
        assert curl(proxy.inbound_url(path), *asked).status == 200
    assert curl(proxy.inbound_url("/status/200/5")).status == 200
    proxy.wait_for_books(lambda books: books.exported == 5)
    books = proxy.wait_for_books(lambda books: books.waiting == 0, destination="second")
    assert (books.exported, books.dropped) == (2, 3)
    reasons = {"destination": "second", "reason": "filtered"}
    assert proxy.metrics().sum("spandrel_spans_dropped_total", **reasons) == 3
    assert everything.paths() == {f"/status/200/{n}": 1 for n in range(1, 6)}
    assert some.paths() == {"/status/200/1": 1, "/status/200/4": 1}


def spans_of(lines):
    """The paths of the spans in lines of JSON, each an export request."""
    groups = [group for line in lines for group in json.loads(line)["resourceSpans"]]
    spans = [span for group in groups for scope in group["scopeSpans"] for span in scope["spans"]]
    paths = {}
    for span in spans:
        assert len(bytes.fromhex(span["traceId"])) == 16, span
        assert len(bytes.fromhex(span["spanId"])) == 8, span
        [path] = [a["value"]["stringValue"] for a in span["attributes"] if a["key"] == "url.path"]
        paths[path] = paths.get(path, 0) + 1
    return paths


def test_a_file_is_rotated_and_has_every_span_in_lines_that_are_whole(
    start, receivers, load, tmp_path
):
    file = tmp_path / "spans.jsonl"
    more = {"type": "file", "path": str(file), "max_bytes": "64KiB", "max_files": 100}
    settings = {f"export.destinations.lines.{key}": value for key, value in more.items()}
    proxy = start(receivers[0], settings)
    asked = load_whole(load, proxy)
    for destination in ("lines", "otlp"):
        proxy.wait_for_books(lambda books: books.exported == REQUESTS, BACK, destination)
    files = sorted(tmp_path.glob("spans.jsonl*"))
    assert len(files) > 2, files
    # A batch is never cut in two.
    assert all(one.stat().st_size <= 64 * 1024 or one.read_text().count("\n") == 1 for one in files)
    assert all(one.read_text().endswith("\n") for one in files)
    lines = [line for one in files for line in one.read_text().splitlines()]
    assert spans_of(lines) == asked == receivers[0].paths()


def test_no_more_files_are_kept_than_allowed(start, receivers, load, tmp_path):
    file = tmp_path / "spans.jsonl"
    more = {"type": "file", "path": str(file), "max_bytes": "16KiB", "max_files": 3}
    settings = {f"export.destinations.lines.{key}": value for key, value in more.items()}
    proxy = start(receivers[0], settings)
    load_whole(load, proxy)
    proxy.wait_for_books(lambda books: books.exported == REQUESTS, BACK, "lines")
    assert sorted(one.name for one in tmp_path.glob("spans.jsonl*")) == [
        "spans.jsonl",
        "spans.jsonl.1",
        "spans.jsonl.2",
    ]


def test_standard_output_has_spans_and_nothing_else(start, receivers, tmp_path):
    settings = {"export.destinations.lines.type": "file", "export.destinations.lines.path": "-"}
    proxy = start(receivers[0], settings)
    for number in range(5):
        assert curl(proxy.inbound_url(f"/status/200/{number}")).status == 200
    proxy.wait_for_books(lambda books: books.exported == 5, destination="lines")
    proxy.stop()
    assert spans_of(proxy.stdout().splitlines()) == {f"/status/200/{n}": 1 for n in range(5)}


def test_otel_traces_exporter_console_alone_needs_no_collector(binary, tmp_path):
    """Only what is checked of the settings: `spandrel check` knows the destination."""
    done = subprocess.run(
        [binary, "check"],
        env={"OTEL_TRACES_EXPORTER": "console", "SPANDREL_INBOUND_APP": "127.0.0.1:8080"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr


CANARY = {"export.canary": "true"}
SOON = 2
"""Seconds within which something is known of the canary: one, and what starting takes."""


def test_a_canary_says_that_the_way_is_free(start, receivers, protocol):
    proxy = start(receivers[0], CANARY, protocol)
    proxy.wait_for_books(lambda books: books.exported == 1, SOON)
    eventually(lambda: "the canary span arrived" in proxy.stderr(), proxy.stderr, SOON)
    assert "otlp: reachable" in proxy.page("/ready?verbose")
    assert sum(receivers[0].paths().values()) == 1


@pytest.mark.parametrize("mode", [modes.REFUSED, modes.BLACK_HOLE, modes.UNAVAILABLE])
def test_a_canary_says_why_the_way_is_blocked_and_the_sidecar_is_ready(
    start, receivers, protocol, mode
):
    receivers[0].switch(mode)
    proxy = start(receivers[0], CANARY, protocol)
    eventually(lambda: "does not arrive" in proxy.stderr(), proxy.stderr, SOON)
    assert "otlp: unreachable" in proxy.page("/ready?verbose")
    assert "canary span arrived" not in proxy.stderr()
    assert proxy.books().exported == 0
    receivers[0].switch(modes.HEALTHY)
    proxy.wait_for_books(lambda books: books.exported == 1, BACK)
