"""What an application receives of the context that a client sent, by the W3C decision tables."""

import itertools
import re

import pytest

from support.clients import RawClient, httpx_client
from support.contexts import GOOD, IDS, SPAN, TRACE, TRACEPARENT, TRACESTATE, UNSAMPLED, members
from support.ports import HOST

VERSIONS = ("1.1", "2")
SIDES = {"inbound": "SERVER", "outbound": "CLIENT"}
SHAPE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
STATE = ("tracestate", "a=1")
CONTEXT = ("traceparent", "tracestate")

CASES = [
    pytest.param(case, version, id=f"{case}-{version}")
    for case in (*TRACEPARENT, *TRACESTATE)
    for version in VERSIONS
    if version == "1.1" or not case.http1_only
]

_numbers = itertools.count()


@pytest.fixture(scope="module")
def proxy(module_sidecar, echo):
    """A sidecar for the whole table."""
    return module_sidecar(echo.port, environment={"OTEL_BSP_SCHEDULE_DELAY": "10"})


@pytest.fixture(scope="module")
def eager_proxy(module_sidecar, echo):
    """A sidecar that records what the caller does not."""
    return module_sidecar(echo.port, service="eager", settings={"sampling.sampler": "always_on"})


def received(proxy, echo, lines, version="1.1", side="inbound"):
    """The lines of context that the application receives when a client sends these."""
    path = f"/{next(_numbers)}"
    port = proxy.inbound if side == "inbound" else proxy.outbound
    SEND[version](f"http://{HOST}:{port}{path}", lines, f"{HOST}:{echo.port}")
    headers, received_version = echo.headers_of(path)
    assert received_version == version
    pairs = [(name.decode().lower(), value.decode()) for name, value in headers]
    return [(name, value) for name, value in pairs if name in CONTEXT]


def send_1(url, lines, host):
    """Sends a request as it is written here, to the byte."""
    with RawClient(url, [*lines, ("Connection", "close")], host) as client:
        answer, _ = client.read_to_the_end()
    assert answer.startswith(b"HTTP/1.1 200 "), answer


def send_2(url, lines, host):
    """Sends a request by httpx over HTTP/2."""
    with httpx_client(http2=True) as client:
        assert client.get(url, headers=[("host", host), *lines]).status_code == 200


SEND = {"1.1": send_1, "2": send_2}


def values(lines, name):
    """The values of the lines of one name."""
    return [value for key, value in lines if key.lower() == name]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("case", "version"), CASES)
def test_the_application_receives_what_the_standard_says(
    proxy, echo, module_collector, case, version, side
):
    lines = received(proxy, echo, case.lines, version, side)
    [traceparent] = values(lines, "traceparent")
    assert SHAPE.fullmatch(traceparent)
    _, trace_id, span_id, flags = traceparent.split("-")
    assert flags == case.flags
    assert members(values(lines, "tracestate")) == case.state
    assert case.state or not values(lines, "tracestate")
    span = module_collector.wait_for_span(
        lambda span: span.span_id == span_id, f"the span {span_id} that the application was told of"
    )
    assert (span.trace_id, span.kind) == (trace_id, SIDES[side])
    if case.trace_id:
        assert (trace_id, span.parent_id) == (case.trace_id, SPAN)
    else:
        assert trace_id != TRACE
        assert span.parent_id == ""


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lines", UNSAMPLED)
def test_the_context_of_a_trace_that_is_not_recorded_passes_as_it_is(
    proxy, echo, lines, version, side
):
    lower = [(name.lower(), value) for name, value in lines]
    assert received(proxy, echo, lines, version, side) == lower


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("flags", "sampled"), [("00", "01"), ("02", "03"), ("01", "01")])
def test_a_sampler_that_records_all_sets_the_sampled_flag_and_no_other(
    eager_proxy, echo, flags, sampled, version
):
    lines = received(eager_proxy, echo, [("traceparent", f"00-{IDS}-{flags}")], version)
    [traceparent] = values(lines, "traceparent")
    assert traceparent.startswith(f"00-{TRACE}-")
    assert traceparent.endswith(f"-{sampled}")
    assert SPAN not in traceparent


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sampler_that_records_nothing_passes_everything_as_it_is(module_sidecar, echo, version):
    settings = {"sampling.sampler": "always_off"}
    off = module_sidecar(echo.port, service=f"off-{version}", settings=settings)
    for lines in [[("traceparent", GOOD), STATE], [STATE], []]:
        assert received(off, echo, lines, version) == lines
    assert off.spans(0) == []


def test_new_traces_have_ids_of_their_own(proxy, echo):
    contexts = [values(received(proxy, echo, []), "traceparent")[0] for _ in range(50)]
    assert len({context.split("-")[1] for context in contexts}) == 50
    assert len({context.split("-")[2] for context in contexts}) == 50
