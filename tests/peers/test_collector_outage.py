"""The collector goes away under load and comes back: no request notices, no span is uncounted."""

import pytest

from support.collector import GRPC, HTTP

MOST = 20_000
"""Requests at most; each phase ends when it has seen enough."""

QUEUE = 64
SMALL = {"OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE), "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32"}
"""A queue that an outage fills."""

BACK = 45
"""Seconds that the exporter has to find the collector again."""


@pytest.mark.parametrize(
    ("protocol", "environment"),
    [(HTTP, {}), (GRPC, {}), (HTTP, SMALL), (GRPC, SMALL)],
    ids=["http", "grpc", "http-small-queue", "grpc-small-queue"],
)
def test_no_request_fails_and_every_span_is_accounted_for(
    sidecar, web, collector, load, protocol, environment
):
    proxy = sidecar(web.port, protocol=protocol, environment=environment)
    load = load(proxy.inbound_url("/status/200/"), clients=4, most=MOST, pause=0.005)
    proxy.wait_for_books(lambda books: books.exported > 100)

    collector.stop()
    stopped = proxy.books()
    proxy.wait_for_books(lambda books: books.created > stopped.created + 400)
    assert load.is_running
    assert load.is_faultless, load.failed

    collector.start()
    proxy.wait_for_books(lambda books: books.exported > stopped.exported + 100, BACK)
    load.finish()
    assert load.is_faultless, load.failed
    settled = proxy.wait_for_books(lambda books: books.queued == 0, BACK)
    assert settled.created == len(load.answers) == len(web.seen)
    assert settled.dropped == 0 or environment is SMALL

    spans = proxy.spans(settled.exported)
    assert {span["url.path"] for span in spans} <= load.answers.keys()


def test_a_small_queue_drops_what_it_cannot_hold_and_counts_it(sidecar, web, collector, load):
    proxy = sidecar(web.port, environment=SMALL)
    collector.stop()
    load = load(proxy.inbound_url("/status/200/"), clients=4, most=1_000)
    proxy.wait_for_books(lambda books: books.created == 1_000)
    load.finish()
    assert load.is_faultless, load.failed
    # What the workers have not handed over yet is queued too, but is not in the queue.
    full = proxy.wait_for_books(lambda books: books.queued <= QUEUE)
    assert full.dropped >= 1_000 - QUEUE
    collector.start()
    settled = proxy.wait_for_books(lambda books: books.queued == 0, BACK)
    assert settled.created == 1_000
    assert len(proxy.spans(settled.exported)) == 1_000 - settled.dropped
