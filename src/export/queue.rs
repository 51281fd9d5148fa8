//! The way of a span from a worker to the pipeline.
//!
//! A worker writes its spans into a batch of its own and hands the batch over whole, so that the
//! request path takes no lock and shares no memory. What waits is bounded by one number that all
//! workers share; what is beyond the bound is dropped and counted, and nobody ever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::metrics::{Books, Counter, DropReason, Registry, SPANS_CREATED};
use crate::trace::span::{Attributes, Span, SpanBatch};

/// A worker hands its batch over when it holds this many spans.
pub const HAND_OVER_SPANS: usize = 256;

/// A worker hands its batch over when it takes up this many bytes.
pub const HAND_OVER_BYTES: usize = 256 * 1024;

/// The most memory that spans may take up while they wait, in bytes; what is beyond is dropped as it
/// is where there are too many of them.
pub(super) const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// How many spans are handed over and not settled yet, over all workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Room>);

/// What is taken of the room there is.
#[derive(Debug, Default)]
struct Room {
    spans: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// Takes room for a batch, unless there would be more than `limit` spans then, or more than
    /// [`QUEUE_BYTES`] of them.
    fn enter(&self, batch: &SpanBatch, limit: usize) -> bool {
        if !take(&self.0.spans, batch.len(), limit) {
            return false;
        }
        let has_room = take(&self.0.bytes, batch.size(), QUEUE_BYTES);
        if !has_room {
            self.leave(batch.len());
        }
        has_room
    }

    /// Gives back the room of `spans` that are settled.
    pub(super) fn leave(&self, spans: usize) {
        self.0.spans.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Gives back the room of `bytes` that are no longer held.
    pub(super) fn release(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A worker's end of the pipeline: takes its finished spans.
///
/// Dropping it hands over what it still holds.
#[derive(Debug)]
pub struct Sink(Option<Open>);

#[derive(Debug)]
struct Open {
    batch: SpanBatch,
    hand_over_at: usize,
    created: Counter,
    way: Way,
}

/// What all workers share.
#[derive(Clone, Debug)]
struct Way {
    sender: mpsc::UnboundedSender<SpanBatch>,
    waiting: Waiting,
    limit: usize,
    books: Books,
}

/// The pipeline's end.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) batches: mpsc::UnboundedReceiver<SpanBatch>,
    pub(super) waiting: Waiting,
}

/// A sink for each worker, and where their batches come out. At most `limit` spans wait.
pub(super) fn open(
    workers: usize,
    limit: usize,
    registry: &Registry,
    books: &Books,
) -> (Vec<Sink>, Intake) {
    // The bound is on spans, of which every batch has at least one.
    let (sender, batches) = mpsc::unbounded_channel();
    let waiting = Waiting::default();
    let way = Way { sender, waiting: waiting.clone(), limit, books: books.clone() };
    let sink = |_| {
        Sink(Some(Open {
            batch: SpanBatch::default(),
            // What workers still hold comes on top of the limit: at most a quarter of it.
            hand_over_at: HAND_OVER_SPANS.min(limit / 4 / workers).max(1),
            created: registry.counter(SPANS_CREATED, &[]),
            way: way.clone(),
        }))
    };
    ((0..workers).map(sink).collect(), Intake { batches, waiting })
}

impl Sink {
    /// A sink for when spans go nowhere: what it is given is gone, and not counted either.
    #[must_use]
    pub const fn disabled() -> Self {
        Self(None)
    }

    /// Whether spans go anywhere; where they do not, they need not be made.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a finished span, whose name is made of `name` put together. Never waits.
    pub fn finish(
        &mut self,
        span: Span,
        name: &[&[u8]],
        trace_state: &[u8],
        attributes: &Attributes,
    ) {
        let Some(open) = &mut self.0 else { return };
        // Counted before anything else can happen to it, so that the books are never short.
        open.created.add(1);
        open.batch.push(span, name, trace_state, attributes);
        if open.batch.len() >= open.hand_over_at || open.batch.size() >= HAND_OVER_BYTES {
            open.hand_over();
        }
    }

    /// Hands over what there is, so that no span stays behind on a quiet worker. Never waits.
    pub fn flush(&mut self) {
        if let Some(open) = &mut self.0
            && !open.batch.is_empty()
        {
            open.hand_over();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Open {
    fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let Way { sender, waiting, limit, books } = &self.way;
        let spans = batch.len();
        let bytes = batch.size();
        if !waiting.enter(&batch, *limit) {
            books.dropped(DropReason::QueueFull).add(spans as u64);
        } else if sender.send(batch).is_err() {
            waiting.leave(spans);
            waiting.release(bytes);
            books.dropped(DropReason::Shutdown).add(spans as u64);
        }
    }
}

/// Adds to what is taken, unless it would be more than `limit`.
fn take(taken: &AtomicUsize, more: usize, limit: usize) -> bool {
    let with = |now: usize| now.checked_add(more).filter(|then| *then <= limit);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finish, number};
    use super::*;

    fn sinks(workers: usize, limit: usize) -> (Registry, Vec<Sink>, Intake) {
        let registry = Registry::default();
        let (sinks, intake) = open(workers, limit, &registry, &registry.books("otlp"));
        (registry, sinks, intake)
    }

    #[test]
    fn a_batch_is_handed_over_when_it_is_full_and_when_it_is_flushed() {
        let (_, mut sinks, mut intake) = sinks(1, 8_192);
        finish(&mut sinks[0], HAND_OVER_SPANS - 1);
        assert!(intake.batches.try_recv().is_err());
        finish(&mut sinks[0], 3);
        assert_eq!(intake.batches.try_recv().map(|b| b.len()), Ok(HAND_OVER_SPANS));
        assert!(intake.batches.try_recv().is_err());
        sinks[0].flush();
        assert_eq!(intake.batches.try_recv().map(|b| b.len()), Ok(2));
        sinks[0].flush();
        assert!(intake.batches.try_recv().is_err(), "an empty batch is never handed over");
    }

    #[test]
    fn a_batch_of_long_texts_is_handed_over_by_its_bytes() {
        let (_, mut sinks, intake) = sinks(1, 8_192);
        let mut attributes = Attributes::default();
        attributes.text(crate::trace::semconv::Key::UrlPath, [b'a'; 4_096]);
        let span = super::super::testing::span();
        let mut finished = 0;
        while intake.batches.is_empty() {
            sinks[0].finish(span, &[b"GET"], b"", &attributes);
            finished += 1;
        }
        assert!((60..=64).contains(&finished), "{finished} spans of 4 KiB are 256 KiB");
    }

    #[test]
    fn spans_of_long_texts_fill_the_queue_by_their_bytes() {
        let (registry, mut sinks, _intake) = sinks(1, 1_000_000);
        let mut attributes = Attributes::default();
        attributes.text(crate::trace::semconv::Key::UrlPath, [b'a'; 4_096]);
        let most = (QUEUE_BYTES / 4_096) as u64;
        for _ in 0..most + 1_000 {
            sinks[0].finish(super::super::testing::span(), &[b"GET"], b"", &attributes);
        }
        let dropped = number(&registry, "dropped_total", "queue_full");
        assert!((900..2_000).contains(&dropped), "{dropped}");
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (registry, mut sinks, mut intake) = sinks(2, 10);
        finish(&mut sinks[0], 10);
        finish(&mut sinks[1], 9);
        assert_eq!(number(&registry, "dropped_total", "queue_full"), 9);
        let taken = intake.batches.try_recv().map(|b| b.len()).expect("the first batch is there");
        intake.waiting.leave(taken);
        finish(&mut sinks[1], taken);
        assert_eq!(number(&registry, "dropped_total", "queue_full"), 9);
        assert_eq!(number(&registry, "created_total", ""), 19 + taken as u64);
        assert_eq!(number(&registry, "queued", "otlp"), 10 + taken as u64);
    }

    #[test]
    fn what_comes_after_the_pipeline_has_ended_is_counted_and_takes_no_room() {
        let (registry, mut sinks, intake) = sinks(1, 10);
        drop(intake);
        finish(&mut sinks[0], 30);
        assert_eq!(number(&registry, "dropped_total", "shutdown"), 30);
        assert_eq!(number(&registry, "queued", "otlp"), 0);
    }

    #[test]
    fn a_dropped_sink_leaves_nothing_behind() {
        let (_, mut sinks, mut intake) = sinks(1, 100);
        finish(&mut sinks[0], 3);
        drop(sinks);
        assert_eq!(intake.batches.try_recv().map(|b| b.len()), Ok(3));
    }

    #[test]
    fn a_disabled_sink_counts_nothing() {
        let mut sink = Sink::disabled();
        assert!(!sink.is_enabled());
        finish(&mut sink, 3);
        sink.flush();
    }
}
