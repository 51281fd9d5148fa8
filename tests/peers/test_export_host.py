"""What a machine may do to the export: names that lead nowhere for a while, disks that are full."""

from contextlib import ExitStack, closing

import pytest

from support.collector import HTTP
from support.faulty import modes
from support.faulty.receiver import FaultReceiver
from support.host import NAME, HostSidecar, Names, read_only_disk, small_disk
from support.sidecar import Plan
from support.waiting import eventually

BACK = 60
REQUESTS = 2_000
ENOUGH = 300


@pytest.fixture
def receiver():
    """A receiver that fails on demand."""
    with closing(FaultReceiver(notes=True)) as receiver:
        yield receiver


class NamedReceiver:
    """A receiver that is called by name."""

    def __init__(self, receiver):
        self._receiver = receiver

    def endpoint(self, protocol):
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return self._receiver.endpoint(protocol, NAME)


@pytest.fixture
def on_host(binary, tmp_path, web):
    """Starts a sidecar: `on_host(mounts, receiver, protocol, settings)`."""
    with ExitStack() as stack:

        def start(mounts, receiver, protocol=HTTP, settings=()):
            settings = {"export.otlp.protocol": protocol, **dict(settings)}
            plan = Plan(service="shop", app=web.port, protocol=protocol, settings=settings)
            return stack.enter_context(HostSidecar(mounts, binary, plan, receiver, tmp_path))

        yield start


def test_spans_wait_for_a_name_that_leads_nowhere_and_follow_it_when_it_is_back(
    on_host, receiver, protocol, load, tmp_path
):
    names = Names(tmp_path)
    proxy = on_host(names.mounts(), NamedReceiver(receiver), protocol)
    load = load(proxy.inbound_url("/status/200/"), clients=4, most=50_000, pause=0.002)
    proxy.wait_for_books(lambda books: books.created > ENOUGH)
    assert proxy.books().exported == 0
    # The first address refuses, as nobody listens there: the second is used in its turn.
    names.know("127.0.0.9", "127.0.0.1")
    proxy.wait_for_books(lambda books: books.exported > ENOUGH, BACK)
    # It is followed when it changes: connections end, and the name leads nowhere again.
    names.forget()
    receiver.switch(modes.REFUSED)
    receiver.switch(modes.HEALTHY)
    before = proxy.books()
    proxy.wait_for_books(lambda books: books.created > before.created + ENOUGH)
    names.know("127.0.0.1")
    load.finish()
    assert load.is_faultless, load.failed
    books = proxy.wait_for_books(lambda books: books.waiting == 0, BACK)
    assert (books.created, books.dropped) == (len(load.answers), 0)
    assert receiver.paths() == {path: 1 for path in load.answers}


DISKS = {"full": lambda folder: small_disk(folder, 256), "read-only": read_only_disk}


@pytest.mark.parametrize("disk", DISKS)
def test_a_disk_that_takes_nothing_is_told_and_memory_takes_its_place(
    on_host, receiver, load, tmp_path, disk
):
    folder = tmp_path / "disk"
    folder.mkdir()
    settings = {"export.spool.directory": str(folder / "spool" if disk == "full" else folder)}
    receiver.switch(modes.UNAVAILABLE)
    proxy = on_host([DISKS[disk](folder)], receiver, settings=settings)
    load = load(proxy.inbound_url("/status/200/"), clients=4, most=REQUESTS)
    proxy.wait_for_books(lambda books: books.created == REQUESTS, BACK)
    load.finish()
    assert load.is_faultless, load.failed
    eventually(lambda: "spool" in proxy.stderr(), lambda: f"a word on it:\n{proxy.stderr()}")
    said = [line for line in proxy.stderr().splitlines() if "spool" in line]
    assert len(said) <= 3, said
    receiver.switch(modes.HEALTHY)
    books = proxy.wait_for_books(lambda books: books.waiting == 0, BACK)
    assert (books.exported, books.dropped) == (REQUESTS, 0), books
    assert receiver.paths() == {path: 1 for path in load.answers}


def test_a_disk_with_room_says_nothing(on_host, receiver, load, tmp_path):
    """The negative control of the test above."""
    folder = tmp_path / "disk"
    folder.mkdir()
    receiver.switch(modes.UNAVAILABLE)
    settings = {"export.spool.directory": str(folder / "spool")}
    proxy = on_host([small_disk(folder, 64 * 1024)], receiver, settings=settings)
    load = load(proxy.inbound_url("/status/200/"), clients=4, most=REQUESTS)
    proxy.wait_for_books(lambda books: books.created == books.spooled == REQUESTS, BACK)
    load.finish()
    receiver.switch(modes.HEALTHY)
    proxy.wait_for_books(lambda books: books.exported == REQUESTS, BACK)
    assert "spool" not in proxy.stderr()
