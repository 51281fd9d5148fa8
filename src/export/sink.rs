//! The way of a span from a worker to the pipeline.
//!
//! A worker writes its spans into a batch of its own and hands the batch over whole, by a channel
//! of its own, so that the request path takes no lock and workers share no memory. A channel holds
//! a bounded number of batches of bounded size; what does not fit is dropped and counted, and
//! nobody ever waits.

use std::future::poll_fn;
use std::task::Poll;

use tokio::sync::mpsc;

use crate::metrics::{Books, Counter, DropReason, Registry, SPANS_CREATED};
use crate::trace::span::{Attributes, Span, SpanBatch};

/// A worker hands its batch over when it holds this many spans.
const HAND_OVER_SPANS: usize = 256;

/// A worker hands its batch over when it takes up this many bytes.
const HAND_OVER_BYTES: usize = 256 * 1024;

/// Into how many batches the room of a worker is divided at least, so that the pipeline has time to
/// come for them.
const FEWEST_HANDED: usize = 8;

/// The most batches that wait in the channel of a worker.
const MAX_HANDED: usize = 64;

/// A worker's end of the pipeline: takes its finished spans.
///
/// Dropping it hands over what it still holds.
#[derive(Debug)]
pub struct Sink(Option<Open>);

#[derive(Debug)]
struct Open {
    batch: SpanBatch,
    hand_over: Size,
    created: Counter,
    sender: mpsc::Sender<SpanBatch>,
    /// Of every destination: what is lost here is lost to all.
    books: Vec<Books>,
}

/// How large a batch may become.
#[derive(Clone, Copy, Debug)]
struct Size {
    spans: usize,
    bytes: usize,
}

/// How much may wait on the way from the workers to the pipeline, over all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) spans: usize,
    pub(super) bytes: usize,
}

/// The pipeline's end.
#[derive(Debug)]
pub(super) struct Intake {
    workers: Vec<mpsc::Receiver<SpanBatch>>,
    /// Whose turn it is to be asked first.
    next: usize,
}

/// A sink for each worker, and where their batches come out.
pub(super) fn open(
    workers: usize,
    room: Room,
    registry: &Registry,
    books: &[Books],
) -> (Vec<Sink>, Intake) {
    let share = Room { spans: room.spans / workers.max(1), bytes: room.bytes / workers.max(1) };
    let size = Size {
        spans: (share.spans / FEWEST_HANDED).clamp(1, HAND_OVER_SPANS),
        bytes: (share.bytes / FEWEST_HANDED).clamp(1, HAND_OVER_BYTES),
    };
    // One batch is being written while the others wait.
    let batches = (share.spans / size.spans).min(share.bytes / size.bytes).saturating_sub(1);
    let channel = || mpsc::channel(batches.clamp(1, MAX_HANDED));
    let (senders, workers): (Vec<_>, Vec<_>) = (0..workers).map(|_| channel()).unzip();
    let sink = |sender| {
        Sink(Some(Open {
            batch: SpanBatch::default(),
            hand_over: size,
            created: registry.counter(SPANS_CREATED, &[]),
            sender,
            books: books.to_vec(),
        }))
    };
    (senders.into_iter().map(sink).collect(), Intake { workers, next: 0 })
}

impl Intake {
    /// The next batch of any worker; `None` when all are gone.
    pub(super) async fn recv(&mut self) -> Option<SpanBatch> {
        poll_fn(|cx| {
            let mut is_open = false;
            for offset in 0..self.workers.len() {
                let at = (self.next + offset) % self.workers.len();
                let Some(worker) = self.workers.get_mut(at) else { continue };
                match worker.poll_recv(cx) {
                    Poll::Ready(Some(batch)) => {
                        self.next = at + 1;
                        return Poll::Ready(Some(batch));
                    }
                    Poll::Ready(None) => {}
                    Poll::Pending => is_open = true,
                }
            }
            if is_open { Poll::Pending } else { Poll::Ready(None) }
        })
        .await
    }

    /// The end of the only worker there is.
    #[cfg(test)]
    pub(super) fn only(mut self) -> mpsc::Receiver<SpanBatch> {
        self.workers.remove(0)
    }

    /// Lets nothing more in; what is there already can still be received.
    pub(super) fn close(&mut self) {
        self.workers.iter_mut().for_each(mpsc::Receiver::close);
    }
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
        if open.batch.len() >= open.hand_over.spans || open.batch.size() >= open.hand_over.bytes {
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
        let next = SpanBatch::like(&self.batch);
        let batch = std::mem::replace(&mut self.batch, next);
        let Err(error) = self.sender.try_send(batch) else { return };
        let (reason, lost) = match error {
            mpsc::error::TrySendError::Full(lost) => (DropReason::QueueFull, lost),
            mpsc::error::TrySendError::Closed(lost) => (DropReason::Shutdown, lost),
        };
        for books in &self.books {
            books.dropped(reason, lost.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finish, number, span};
    use super::*;
    use crate::metrics::Kind;
    use std::pin::pin;
    use std::task::{Context, Waker};

    const ROOM: Room = Room { spans: 8_192, bytes: 8 << 20 };

    fn sinks(workers: usize, room: Room) -> (Registry, Vec<Sink>, Intake) {
        let registry = Registry::default();
        let all = ["one", "two"].map(|name| registry.books(name, Kind::Spans));
        let (sinks, intake) = open(workers, room, &registry, &all);
        (registry, sinks, intake)
    }

    /// How many spans the next batch has, if one is there.
    fn next(intake: &mut Intake) -> Option<usize> {
        match pin!(intake.recv()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(batch) => batch.map(|batch| batch.len()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_batch_is_handed_over_when_it_is_full_and_when_it_is_flushed() {
        let (_, mut sinks, mut intake) = sinks(1, ROOM);
        finish(&mut sinks[0], HAND_OVER_SPANS - 1);
        assert_eq!(next(&mut intake), None);
        finish(&mut sinks[0], 3);
        assert_eq!(next(&mut intake), Some(HAND_OVER_SPANS));
        assert_eq!(next(&mut intake), None);
        sinks[0].flush();
        assert_eq!(next(&mut intake), Some(2));
        sinks[0].flush();
        assert_eq!(next(&mut intake), None, "an empty batch is never handed over");
    }

    #[test]
    fn a_batch_of_long_texts_is_handed_over_by_its_bytes() {
        let (_, mut sinks, mut intake) = sinks(1, ROOM);
        let mut attributes = Attributes::default();
        attributes.text(crate::trace::semconv::Key::UrlPath, &"a".repeat(4_096));
        for _ in 0..64 {
            sinks[0].finish(span(), &[b"GET"], b"", &attributes);
        }
        let spans = next(&mut intake).expect("256 KiB are handed over");
        assert!((60..=64).contains(&spans), "{spans} spans of 4 KiB are 256 KiB");
    }

    #[test]
    fn what_finds_no_room_on_the_way_is_lost_to_every_destination_and_counted() {
        let (registry, mut sinks, mut intake) = sinks(2, Room { spans: 32, ..ROOM });
        finish(&mut sinks[0], 100);
        let lost = number(&registry, "dropped_total", "one");
        assert!((84..=86).contains(&lost), "of 100 spans a share of 16 lost {lost}");
        assert_eq!(number(&registry, "dropped_total", "two"), lost);
        assert_eq!(number(&registry, "queued", "one"), 100 - lost);
        finish(&mut sinks[1], 8);
        sinks[1].flush();
        assert_eq!(number(&registry, "dropped_total", "one"), lost, "each worker has its share");
        let handed: usize = std::iter::from_fn(|| next(&mut intake)).sum();
        sinks[0].flush();
        let rest: usize = std::iter::from_fn(|| next(&mut intake)).sum();
        assert_eq!((handed + rest) as u64, 108 - lost);
    }

    #[test]
    fn what_waits_on_the_way_is_bounded_by_its_bytes() {
        let (registry, mut sinks, mut intake) = sinks(1, Room { spans: 1_000_000, bytes: 4 << 20 });
        let mut attributes = Attributes::default();
        attributes.text(crate::trace::semconv::Key::UrlPath, &"a".repeat(4_096));
        for _ in 0..5_000 {
            sinks[0].finish(span(), &[b"GET"], b"", &attributes);
        }
        let lost = number(&registry, "dropped_total", "one");
        let held: usize = std::iter::from_fn(|| next(&mut intake)).sum();
        assert!((700..=1_024).contains(&held), "{held} spans of 4 KiB in 4 MiB");
        assert!(held as u64 + lost <= 5_000);
    }

    #[test]
    fn workers_have_their_turn() {
        let (_, mut sinks, mut intake) = sinks(2, ROOM);
        for spans in [1, 3] {
            finish(&mut sinks[0], spans);
            sinks[0].flush();
        }
        finish(&mut sinks[1], 2);
        sinks[1].flush();
        let order: Vec<_> = std::iter::from_fn(|| next(&mut intake)).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn what_comes_after_the_pipeline_has_ended_is_counted() {
        let (registry, mut sinks, intake) = sinks(1, ROOM);
        drop(intake);
        finish(&mut sinks[0], 300);
        sinks[0].flush();
        assert_eq!(number(&registry, "dropped_total", "shutdown"), 2 * 300);
        assert_eq!(number(&registry, "queued", "one"), 0);
    }

    #[test]
    fn a_dropped_sink_leaves_nothing_behind() {
        let (_, mut sinks, mut intake) = sinks(1, ROOM);
        finish(&mut sinks[0], 3);
        drop(sinks);
        assert_eq!(next(&mut intake), Some(3));
    }

    #[test]
    fn a_disabled_sink_counts_nothing() {
        let mut sink = Sink::disabled();
        assert!(!sink.is_enabled());
        finish(&mut sink, 3);
        sink.flush();
    }
}
