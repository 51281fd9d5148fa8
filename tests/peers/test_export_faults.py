"""The receiver is at fault under load, in every way that there is: no request notices, and every
span is accounted for and arrives exactly as often as the protocol allows.

The runs are short; `measure_export.py` makes long ones.
"""

from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import pytest

from support.clients import curl
from support.collector import GRPC, HTTP
from support.faulty import certificates, modes
from support.faulty.receiver import FaultReceiver
from support.waiting import eventually

CLIENTS = 4
MOST = 50_000
"""Requests at most; each phase ends when it has seen enough."""
ENOUGH = 500
"""Spans that are made while the receiver is at fault, at least."""
BACK = 45
"""Seconds that the exporter has to find a receiver again, which may be gone when it asks, and to
send what waits."""
POISONED = 3
"""Requests whose spans are poison."""
SPLITS = 12
"""How often a span may be offered where batches are cut up: each time in half of what it was in."""


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what that means for the spans that are made meanwhile."""

    mode: str
    is_final: frozenset = frozenset()
    """The protocols by which it is a refusal for good."""
    is_lost: bool = False
    """Whether what is taken is not acknowledged, so that it comes again."""
    has_hint: bool = False
    settings: dict = field(default_factory=dict)


BOTH = frozenset((GRPC, HTTP))
SHORT = {"export.otlp.timeout": "500ms"}
FAULTS = [
    Fault(modes.REFUSED),
    Fault(modes.BLACK_HOLE, settings=SHORT),
    Fault(modes.UNAVAILABLE),
    Fault(modes.UNAVAILABLE_HINT, has_hint=True),
    Fault(modes.BUSY, is_final=frozenset((GRPC,))),
    Fault(modes.BUSY_HINT, has_hint=True),
    Fault(modes.BAD, is_final=BOTH),
    Fault(modes.PARTIAL, is_final=BOTH),
    Fault(modes.RESET, is_lost=True),
    Fault(modes.GARBAGE, is_lost=True),
    Fault(modes.SLOW),
    Fault(modes.RESTARTING),
    Fault(modes.LARGE),
]
CONNECTIONS = {modes.REFUSED: 0, modes.BLACK_HOLE: 1, modes.RESTARTING: 2}
"""How many new connections show that a fault has been noticed which decides nothing."""


@pytest.fixture
def receiver():
    """A receiver that fails on demand."""
    with closing(FaultReceiver(notes=True)) as receiver:
        yield receiver


@pytest.fixture
def with_tls(tmp_path):
    """A receiver with certificates."""
    folder = certificates.make(tmp_path / "certificates")
    with closing(FaultReceiver(tls=folder, notes=True)) as receiver:
        yield receiver


class Run:
    """A sidecar under load, whose receiver is at fault for a while."""

    def __init__(self, proxy, receiver, load):
        self.proxy, self.receiver, self.load = proxy, receiver, load

    def suffer(self, mode, meanwhile=lambda: None):
        """Puts the receiver at fault, until that has been seen enough, and heals it."""
        self.proxy.wait_for_books(lambda books: books.exported > 100)
        before = self.receiver.report()
        self.receiver.switch(mode, **({"period": 1.0} if mode == modes.RESTARTING else {}))
        created = self.proxy.books().created
        meanwhile()
        self.proxy.wait_for_books(
            lambda books: books.created > created + ENOUGH and self._is_seen(mode, before), BACK
        )
        assert self.load.is_running
        assert self.load.is_faultless, self.load.failed
        self.receiver.switch(modes.HEALTHY)

    def settle(self):
        """Ends the load, and gives the books once nothing waits."""
        exported = self.proxy.books().exported
        self.proxy.wait_for_books(lambda books: books.exported > exported + 100, BACK)
        self.load.finish()
        assert self.load.is_faultless, self.load.failed
        settled = self.proxy.wait_for_books(lambda books: books.waiting == 0, BACK)
        return settled, self.receiver.report()

    def _is_seen(self, mode, before):
        now = self.receiver.report()
        if mode == modes.EXPIRED:  # such a connection is never one for the receiver
            return now["shown"] >= 2
        connected = sum(now["connections"].values()) - sum(before["connections"].values())
        if mode in CONNECTIONS:
            return connected >= CONNECTIONS[mode]
        return now["answered"].get(mode, 0) >= 2

    def assert_all_arrived(self, but=()):
        """Every request has a span at the receiver, and one alone, but for some that have none."""
        expected = {path: 1 for path in self.load.answers if path not in but}
        found = self.receiver.paths()
        missing, more = expected.keys() - found.keys(), found.keys() - expected.keys()
        assert not missing, (len(missing), sorted(missing)[:5])
        assert not more, (len(more), sorted(more)[:5])
        assert found == expected


@pytest.fixture
def run(web, sidecars_of, load):
    """Starts a sidecar and its load: `run(receiver, protocol, settings)`."""
    with ExitStack() as stack:

        def start(receiver, protocol, settings):
            sidecar = stack.enter_context(sidecars_of(receiver))
            settings = {"export.otlp.protocol": protocol, **settings}
            proxy = sidecar(web.port, protocol=protocol, settings=settings)
            url = proxy.inbound_url("/status/200/")
            return Run(proxy, receiver, load(url, clients=CLIENTS, most=MOST, pause=0.002))

        yield start


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.mode)
def test_no_request_notices_and_every_span_is_accounted_for(run, receiver, protocol, fault):
    run = run(receiver, protocol, fault.settings)
    run.suffer(fault.mode)
    books, report = run.settle()
    assert books.created == len(run.load.answers)
    assert (report["acknowledged"], report["twice"]) == (books.exported, 0), report
    if fault.is_lost:
        assert report["losses"] > 0
    else:
        assert report["losses"] == 0
        assert report["most_taken"] == 1
    assert report["unheard"] == 0, report
    if fault.has_hint:
        assert report["soonest"] >= modes.HINT, report
    if protocol in fault.is_final:
        rejected = run.proxy.metrics().sum("spandrel_spans_dropped_total", reason="rejected")
        assert books.dropped == rejected > 0
        assert report["most_offered"] <= (1 if fault.mode == modes.PARTIAL else SPLITS), report
    else:
        assert books.dropped == 0, books
        run.assert_all_arrived()


def test_a_certificate_that_has_expired_stops_spans_until_it_is_renewed(run, with_tls, protocol):
    run = run(with_tls, protocol, {"export.otlp.certificate": with_tls.authority})
    run.suffer(modes.EXPIRED)
    books, report = run.settle()
    assert (books.dropped, report["twice"], report["losses"]) == (0, 0, 0), books
    run.assert_all_arrived()


def test_a_certificate_that_has_expired_is_named_as_the_reason(run, with_tls, protocol):
    with_tls.switch(modes.EXPIRED)
    run = run(with_tls, protocol, {"export.otlp.certificate": with_tls.authority})
    eventually(lambda: "expired" in run.proxy.stderr().lower(), "a word on the certificate")
    with_tls.switch(modes.HEALTHY)
    run.settle()
    run.assert_all_arrived()


def test_one_poisoned_span_does_not_take_its_batch_down(run, receiver, protocol):
    run = run(receiver, protocol, {})
    path = f"/status/200{modes.POISON.decode()}"

    def poison():
        for _ in range(POISONED):
            assert curl(run.proxy.inbound_url(path)).status == 200

    run.suffer(modes.POISONED, meanwhile=poison)
    books, report = run.settle()
    assert books.created == len(run.load.answers) + POISONED
    assert books.dropped == POISONED, books
    assert report["most_offered"] <= SPLITS, report
    run.assert_all_arrived()


def test_an_outage_is_told_once_and_its_end_too(run, receiver, protocol):
    run = run(receiver, protocol, {})
    run.suffer(modes.UNAVAILABLE)
    run.settle()
    said = [line for line in run.proxy.stderr().splitlines() if "export" in line]
    assert len(said) == 2, said


def test_a_dead_receiver_is_asked_no_more_than_now_and_then(run, receiver, protocol):
    run = run(receiver, protocol, {})
    run.suffer(modes.UNAVAILABLE)
    answered = receiver.report()["answered"]
    run.settle()
    assert answered[modes.UNAVAILABLE] <= 6, answered
