"""The receiver that fails on demand, itself, without spandrel: what it does must be right."""

import secrets
import ssl
from contextlib import closing

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from support.apps.rpc import NO_PROXY
from support.collector import GRPC
from support.faulty import certificates, modes
from support.faulty.receiver import FaultReceiver

SPANS = 10
TIMEOUT = 3


@pytest.fixture(scope="module")
def receiver():
    """A receiver; the numbers of one test are told from those before by their difference."""
    with closing(FaultReceiver(notes=True)) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory):
    """A receiver with certificates."""
    folder = certificates.make(tmp_path_factory.mktemp("tls") / "certificates")
    with closing(FaultReceiver(tls=folder)) as receiver:
        yield receiver


def request(path="/", size=0):
    """A request of spans that nobody has seen."""
    request = trace.ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(SPANS):
        span = spans.add(trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8))
        span.start_time_unix_nano = span.end_time_unix_nano = 1
        span.attributes.add(key="url.path").value.string_value = path
        span.attributes.add(key="filling").value.string_value = "x" * size
    return request


class Told:
    """What a client is told: the code, the hint in seconds, and how many were rejected."""

    def __init__(self, code, hint=None, rejected=0):
        self.code, self.hint, self.rejected = code, hint, rejected


def send(receiver, protocol, message, authority=None):
    """Exports by the published classes; gives what the client is told."""
    by = _by_grpc if protocol == GRPC else _by_http
    return by(receiver.endpoint(protocol), message, authority)


def _by_grpc(endpoint, message, authority):
    target = endpoint.partition("//")[2]
    if authority:
        with open(authority, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(target, credentials, [NO_PROXY])
    else:
        channel = grpc.insecure_channel(target, [NO_PROXY])
    with channel:
        try:
            answer = trace_grpc.TraceServiceStub(channel).Export(message, timeout=TIMEOUT)
        except grpc.RpcError as error:
            return Told(error.code(), _hint(error))
    return Told(grpc.StatusCode.OK, None, answer.partial_success.rejected_spans)


def _hint(error):
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            info = error_details_pb2.RetryInfo()
            assert status_pb2.Status.FromString(value).details[0].Unpack(info)
            return info.retry_delay.seconds
    return None


def _by_http(endpoint, message, authority):
    headers = {"content-type": "application/x-protobuf"}
    verify = ssl.create_default_context(cafile=authority) if authority else False
    with httpx.Client(trust_env=False, verify=verify, timeout=TIMEOUT) as client:
        body = message.SerializeToString()
        answer = client.post(f"{endpoint}/v1/traces", content=body, headers=headers)
    if answer.status_code != 200:
        hint = answer.headers.get("retry-after")
        return Told(answer.status_code, hint and int(hint))
    response = trace.ExportTraceServiceResponse.FromString(answer.content)
    return Told(200, None, response.partial_success.rejected_spans)


OK = {True: grpc.StatusCode.OK, False: 200}
CODES = {
    modes.UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, 503, None),
    modes.UNAVAILABLE_HINT: (grpc.StatusCode.UNAVAILABLE, 503, 1),
    modes.BUSY: (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, None),
    modes.BUSY_HINT: (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, 1),
    modes.BAD: (grpc.StatusCode.INVALID_ARGUMENT, 400, None),
}
DEAF = {modes.REFUSED, modes.BLACK_HOLE, modes.RESET, modes.GARBAGE}


def difference(receiver, before):
    """How the numbers have grown."""
    after = receiver.report()
    return {k: after[k] - before[k] for k in ("spans", "offers", "takes", "losses", "acknowledged")}


@pytest.mark.parametrize("mode", CODES)
def test_what_is_refused_is_told_by_the_code_and_not_taken(receiver, protocol, mode):
    before = receiver.report()
    receiver.switch(mode)
    told = send(receiver, protocol, request())
    of_grpc, of_http, hint = CODES[mode]
    assert (told.code, told.hint) == (of_grpc if protocol == GRPC else of_http, hint)
    grown = difference(receiver, before)
    assert (grown["offers"], grown["takes"], grown["acknowledged"]) == (SPANS, 0, 0)


@pytest.mark.parametrize("mode", sorted(DEAF))
def test_what_fails_on_the_wire_is_never_acknowledged_and_comes_back(receiver, protocol, mode):
    receiver.switch(modes.HEALTHY)
    before = receiver.report()
    receiver.switch(mode)
    message = request()
    try:
        told = send(receiver, protocol, message)
        code = told.code
    except httpx.TransportError:
        code = None
    assert code in (None, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    grown = difference(receiver, before)
    is_taken = mode in (modes.RESET, modes.GARBAGE)
    assert grown["takes"] == grown["losses"], grown
    assert (grown["takes"] >= SPANS) == is_taken, grown
    assert grown["acknowledged"] == 0
    receiver.switch(modes.HEALTHY)
    assert send(receiver, protocol, message).code == OK[protocol == GRPC]
    assert difference(receiver, before)["acknowledged"] == SPANS


def test_a_part_is_taken_and_the_rest_is_rejected(receiver, protocol):
    before = receiver.report()
    receiver.switch(modes.PARTIAL)
    told = send(receiver, protocol, request())
    assert (told.code, told.rejected) == (OK[protocol == GRPC], SPANS // 2)
    assert difference(receiver, before)["acknowledged"] == SPANS - SPANS // 2


def test_only_what_is_too_large_or_poisoned_is_refused(receiver, protocol):
    receiver.switch(modes.LARGE)
    large = request(size=modes.MOST_BYTES // SPANS)
    assert send(receiver, protocol, large).code in (413, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert send(receiver, protocol, request()).code == OK[protocol == GRPC]
    receiver.switch(modes.POISONED)
    poisoned = request(modes.POISON.decode())
    assert send(receiver, protocol, poisoned).code in (400, grpc.StatusCode.INVALID_ARGUMENT)
    assert send(receiver, protocol, request()).code == OK[protocol == GRPC]


def test_what_comes_twice_is_noticed(receiver, protocol):
    receiver.switch(modes.HEALTHY)
    before = receiver.report()
    message = request(f"/twice/{protocol}")
    send(receiver, protocol, message)
    send(receiver, protocol, message)
    assert receiver.report()["twice"] == before["twice"] + SPANS
    assert receiver.paths()[f"/twice/{protocol}"] == 2 * SPANS


def test_a_slow_answer_takes_its_time_and_arrives(receiver, protocol):
    receiver.switch(modes.SLOW)
    before = receiver.report()
    assert send(receiver, protocol, request()).code == OK[protocol == GRPC]
    assert difference(receiver, before)["acknowledged"] == SPANS


def test_a_certificate_that_has_expired_is_shown_until_it_is_renewed(with_tls, protocol):
    ca = with_tls.authority
    assert send(with_tls, protocol, request(), ca).code == OK[protocol == GRPC]
    with_tls.switch(modes.EXPIRED)
    if protocol == GRPC:
        assert send(with_tls, protocol, request(), ca).code == grpc.StatusCode.UNAVAILABLE
    else:
        with pytest.raises(httpx.ConnectError, match="expired"):
            send(with_tls, protocol, request(), ca)
    with_tls.switch(modes.HEALTHY)
    assert send(with_tls, protocol, request(), ca).code == OK[protocol == GRPC]
