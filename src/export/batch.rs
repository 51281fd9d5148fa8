//! Batches on the control thread: filling by number and by time, sending, settling.
//!
//! One batch is on its way at a time. While it is tried again and again, what arrives waits in
//! the queue, which has a bound of its own; so a slow destination costs memory up to that bound
//! and nothing else.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Batch;
use super::encode::Encoder;
use super::exporter::{Exporter, Outcome, Packed};
use super::parcel::{Parcel, Signal};
use super::queue::Intake;
use super::retry::{Backoff, Standing};
use crate::metrics::{Books, DropReason};
use crate::trace::span::{SpanBatch, SpanView};

/// A batch is sent when its spans take up this many bytes in memory, however few they are.
/// Encoded they are at most a few times that, below the 4 MiB that receivers often stop at.
const BATCH_BYTES: usize = 1024 * 1024;

/// The end of all workers' sinks: a future to be run on the control thread.
pub struct Pipeline {
    batch: Batch,
    intake: Intake,
    gathered: Gathered,
    encoder: Encoder,
    exporter: Box<dyn Exporter>,
    books: Books,
    backoff: Backoff,
    standing: Standing,
    /// The destination asked to be left alone until then.
    not_before: Instant,
    /// How many spans are in the batch that is being sent.
    in_flight: usize,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// It arrived, apart from so many of its spans.
    Taken { rejected: u64 },
    /// It was given up.
    Dropped(DropReason),
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("exporter", &self.exporter)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    pub(super) fn new(
        batch: Batch,
        intake: Intake,
        encoder: Encoder,
        exporter: Box<dyn Exporter>,
        books: Books,
    ) -> Self {
        Self {
            batch,
            intake,
            gathered: Gathered::default(),
            encoder,
            exporter,
            books,
            backoff: Backoff::new(RandomState::new().build_hasher().finish()),
            standing: Standing::default(),
            not_before: Instant::now(),
            in_flight: 0,
        }
    }

    /// Sends what the sinks hand over, until `shutdown` comes or every sink is gone.
    ///
    /// After `shutdown` it goes on for up to `grace`, until nothing is left; what is left then is
    /// dropped and counted, as is what sinks hand over later. Flush or drop the sinks before.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>, grace: Duration) {
        let (stop, stopping) = watch::channel(false);
        let out_of_time = pin!(async move {
            shutdown.await;
            stop.send_replace(true);
            sleep(grace).await;
        });
        tokio::select! {
            () = self.serve(stopping) => {}
            () = out_of_time => {}
        }
        self.close().await;
    }

    async fn serve(&mut self, mut stopping: watch::Receiver<bool>) {
        while self.fill(&mut stopping).await {
            self.send_batch().await;
        }
    }

    /// Waits until there is a batch to be sent; `false` when there will be none any more.
    async fn fill(&mut self, stopping: &mut watch::Receiver<bool>) -> bool {
        loop {
            while let Ok(batch) = self.intake.batches.try_recv() {
                self.gathered.push(batch);
            }
            let is_stopping = *stopping.borrow_and_update();
            if is_stopping || self.gathered.is_full(self.batch.max_export_batch_size) {
                return !self.gathered.is_empty();
            }
            let due = self.gathered.oldest().map(|oldest| oldest + self.batch.schedule_delay);
            tokio::select! {
                received = self.intake.batches.recv() => match received {
                    Some(batch) => self.gathered.push(batch),
                    None => return !self.gathered.is_empty(),
                },
                _ = stopping.changed() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return true,
            }
        }
    }

    async fn send_batch(&mut self) {
        let spans = self.gathered.next_batch(self.batch.max_export_batch_size);
        let message = self.encoder.encode(self.gathered.iter().take(spans));
        self.in_flight = spans;
        self.intake.waiting.release(self.gathered.forget(spans));
        let parcel = Parcel {
            signal: Signal::Traces,
            items: spans,
            has_error: false,
            message: message.into(),
        };
        let settled = match self.exporter.pack(&parcel) {
            Ok(packed) => self.deliver(packed).await,
            Err(_) => Settled::Dropped(DropReason::Rejected),
        };
        self.settle(settled);
    }

    /// Sends one batch as often as it takes and the time of a batch allows.
    async fn deliver(&mut self, packed: Packed) -> Settled {
        sleep_until(self.not_before).await;
        self.backoff.reset();
        let deadline = Instant::now() + self.batch.export_timeout;
        loop {
            let sending = self.exporter.send(packed.clone());
            let outcome = timeout_at(deadline, sending).await.unwrap_or_else(|_| Outcome::Retry {
                after: None,
                reason: "no answer within the time a batch has".to_owned(),
            });
            self.standing.update(&outcome, self.exporter.url());
            let after = match outcome {
                Outcome::Delivered { rejected, .. } => return Settled::Taken { rejected },
                Outcome::Refused { .. } | Outcome::TooLarge { .. } | Outcome::Malformed { .. } => {
                    return Settled::Dropped(DropReason::Rejected);
                }
                Outcome::Retry { after, .. } => after,
            };
            let again = Instant::now() + self.backoff.wait(after);
            if after.is_some() {
                self.not_before = again;
            }
            if again >= deadline {
                return Settled::Dropped(DropReason::Unreachable);
            }
            sleep_until(again).await;
        }
    }

    fn settle(&mut self, settled: Settled) {
        let spans = std::mem::take(&mut self.in_flight);
        let all = spans as u64;
        match settled {
            Settled::Taken { rejected } => {
                let rejected = rejected.min(all);
                self.books.dropped(DropReason::Rejected).add(rejected);
                self.books.exported.add(all - rejected);
            }
            Settled::Dropped(reason) => self.books.dropped(reason).add(all),
        }
        self.intake.waiting.leave(spans);
    }

    /// Lets no more spans in, and gives up those that are left.
    async fn close(&mut self) {
        self.intake.batches.close();
        while let Some(batch) = self.intake.batches.recv().await {
            self.gathered.push(batch);
        }
        self.in_flight += self.gathered.len();
        if self.in_flight > 0 {
            tracing::warn!(spans = self.in_flight, "spans are dropped because of the shutdown");
        }
        self.settle(Settled::Dropped(DropReason::Shutdown));
    }
}

/// Spans that wait to be sent, in the batches they came in and in that order.
#[derive(Debug, Default)]
struct Gathered {
    batches: VecDeque<Arrived>,
    /// How many spans of the first batch are sent already.
    taken: usize,
    spans: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Arrived {
    at: Instant,
    batch: SpanBatch,
}

impl Gathered {
    fn push(&mut self, batch: SpanBatch) {
        self.spans += batch.len();
        self.bytes += batch.size();
        self.batches.push_back(Arrived { at: Instant::now(), batch });
    }

    const fn len(&self) -> usize {
        self.spans
    }

    const fn is_empty(&self) -> bool {
        self.spans == 0
    }

    const fn is_full(&self, max: usize) -> bool {
        self.spans > 0 && (self.spans >= max || self.bytes >= BATCH_BYTES)
    }

    /// When the span that has waited longest arrived.
    fn oldest(&self) -> Option<Instant> {
        self.batches.front().map(|arrived| arrived.at)
    }

    /// How many spans the next batch has: never more than `max`, never none while there are any.
    fn next_batch(&self, max: usize) -> usize {
        let mut spans = 0;
        let mut bytes = 0;
        for Arrived { batch, .. } in &self.batches {
            spans += batch.len();
            bytes += batch.size();
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        (spans - self.taken).min(max.max(1))
    }

    fn iter(&self) -> impl Iterator<Item = SpanView<'_>> {
        self.batches.iter().flat_map(|arrived| arrived.batch.iter()).skip(self.taken)
    }

    /// Lets go of the first `spans`, and of each batch whose spans are all gone; gives the bytes
    /// that are no longer held.
    fn forget(&mut self, spans: usize) -> usize {
        let before = self.bytes;
        self.spans -= spans;
        self.taken += spans;
        while let Some(first) = self.batches.front()
            && self.taken >= first.batch.len()
        {
            self.taken -= first.batch.len();
            self.bytes -= first.batch.size();
            self.batches.pop_front();
        }
        before - self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::exporter::{Sending, Unfit};
    use super::super::testing::{books, finish};
    use super::super::{Sink, queue};
    use super::*;
    use crate::metrics::Registry;
    use crate::trace::resource::Resource;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;
    use std::sync::Mutex;
    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinHandle;

    const GRACE: Duration = Duration::from_secs(3);
    const HOUR: Duration = Duration::from_hours(1);

    /// Follows a script (`None` never answers), then takes everything.
    #[derive(Debug)]
    struct Scripted {
        script: Mutex<VecDeque<Option<Outcome>>>,
        attempts: mpsc::UnboundedSender<(Instant, usize)>,
    }

    impl Exporter for Scripted {
        fn takes(&self, _: Signal) -> bool {
            true
        }

        fn pack(&self, parcel: &Parcel) -> Result<Packed, Unfit> {
            Ok(Packed { signal: parcel.signal, body: parcel.message.clone() })
        }

        fn send(&self, packed: Packed) -> Sending {
            let request = ExportTraceServiceRequest::decode(packed.body).expect("a request");
            let spans = request.resource_spans[0].scope_spans[0].spans.len();
            self.attempts.send((Instant::now(), spans)).expect("the test listens");
            let outcome = self
                .script
                .lock()
                .expect("no test panics here")
                .pop_front()
                .unwrap_or_else(|| Some(taken(0)));
            Box::pin(async {
                match outcome {
                    Some(outcome) => outcome,
                    None => std::future::pending().await,
                }
            })
        }

        fn url(&self) -> &'static str {
            "http://scripted"
        }
    }

    fn taken(rejected: u64) -> Outcome {
        Outcome::Delivered { rejected, message: String::new() }
    }

    fn retry(after: Option<Duration>) -> Outcome {
        Outcome::Retry { after, reason: "busy".to_owned() }
    }

    fn refused() -> Outcome {
        Outcome::Refused { reason: "bad".to_owned() }
    }

    struct Running {
        registry: Registry,
        sink: Sink,
        attempts: mpsc::UnboundedReceiver<(Instant, usize)>,
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    }

    impl Running {
        /// A pipeline with batches of at most 4, a delay of 5 s and a queue of 16.
        fn start(script: impl IntoIterator<Item = Option<Outcome>>) -> Self {
            let settings =
                Batch { max_queue_size: 16, max_export_batch_size: 4, ..Batch::default() };
            let registry = Registry::default();
            let books = registry.books("otlp");
            let (mut sinks, intake) = queue::open(1, settings.max_queue_size, &registry, &books);
            let (sender, attempts) = mpsc::unbounded_channel();
            let script = Mutex::new(script.into_iter().collect());
            let exporter = Box::new(Scripted { script, attempts: sender });
            let encoder = Encoder::new(&Resource::new(None, &[]));
            let pipeline = Pipeline::new(settings, intake, encoder, exporter, books);
            let (stop, stopped) = oneshot::channel::<()>();
            let stopped = async move { stopped.await.unwrap_or_default() };
            let task = tokio::spawn(pipeline.run(stopped, GRACE));
            Self { registry, sink: sinks.remove(0), attempts, stop, task }
        }

        fn send(&mut self, spans: usize) {
            finish(&mut self.sink, spans);
            self.sink.flush();
        }

        async fn attempt(&mut self) -> (Instant, usize) {
            self.attempts.recv().await.expect("the pipeline runs")
        }

        /// Ends by dropping the sink, and gives the books and the sizes of all attempts unseen.
        async fn end(self) -> ([u64; 6], Vec<usize>) {
            let Self { registry, sink, mut attempts, stop, task } = self;
            drop(sink);
            task.await.expect("the pipeline does not panic");
            drop(stop);
            let mut sizes = Vec::new();
            while let Ok((_, size)) = attempts.try_recv() {
                sizes.push(size);
            }
            (books(&registry), sizes)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_sent_when_it_is_full_and_the_rest_when_it_is_due() {
        let mut running = Running::start([]);
        let began = Instant::now();
        running.send(10);
        assert_eq!(running.attempt().await, (began, 4));
        assert_eq!(running.attempt().await, (began, 4));
        assert_eq!(running.attempt().await, (began + Duration::from_secs(5), 2));
        assert_eq!(running.end().await, ([10, 10, 0, 0, 0, 0], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn small_hand_overs_share_a_batch_and_the_oldest_decides_when() {
        let mut running = Running::start([]);
        let began = Instant::now();
        running.send(1);
        sleep(Duration::from_secs(3)).await;
        running.send(2);
        assert_eq!(running.attempt().await, (began + Duration::from_secs(5), 3));
        sleep(HOUR).await;
        assert_eq!(running.end().await, ([3, 3, 0, 0, 0, 0], vec![]), "nothing empty is sent");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_tried_again_until_it_arrives() {
        let mut running = Running::start([Some(retry(None)), Some(retry(None)), Some(taken(0))]);
        let began = Instant::now();
        running.send(4);
        let waits = [running.attempt().await, running.attempt().await, running.attempt().await]
            .map(|(at, spans)| ((at - began).as_millis(), spans));
        assert!(matches!(waits, [(0, 4), (750..=1_000, 4), (1_875..=2_500, 4)]), "{waits:?}");
        assert_eq!(running.end().await, ([4, 4, 0, 0, 0, 0], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_out_of_time_is_dropped_and_the_next_one_is_tried() {
        let mut running = Running::start(std::iter::repeat_n(Some(retry(None)), 100));
        let began = Instant::now();
        running.send(4);
        running.send(3);
        let (books, sizes) = running.end().await;
        assert_eq!(books, [7, 0, 0, 0, 7, 0]);
        let second = sizes.iter().position(|size| *size == 3).expect("the second batch was tried");
        assert!((8..=11).contains(&second), "{second} attempts in 30 s");
        let took = began.elapsed().as_secs();
        assert!((50..=60).contains(&took), "two batches of 30 s took {took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_that_never_answers_costs_the_time_of_a_batch() {
        let running = Running::start([None]);
        let began = Instant::now();
        let mut running = running;
        running.send(4);
        assert_eq!(running.end().await, ([4, 0, 0, 0, 4, 0], vec![4]));
        assert_eq!(began.elapsed(), Batch::default().export_timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_batch_is_dropped_at_once_and_the_next_one_is_sent() {
        let mut running = Running::start([Some(refused())]);
        running.send(6);
        assert_eq!(running.end().await, ([6, 2, 0, 4, 0, 0], vec![4, 2]));
    }

    #[tokio::test(start_paused = true)]
    async fn partial_success_counts_both_sides_and_is_never_tried_again() {
        let mut running = Running::start([Some(taken(3)), Some(taken(99))]);
        running.send(6);
        assert_eq!(running.end().await, ([6, 1, 0, 5, 0, 0], vec![4, 2]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_destination_asks_for_is_waited_for_even_by_the_next_batch() {
        let asked = Duration::from_mins(1);
        let mut running =
            Running::start([Some(retry(Some(Duration::from_secs(3)))), Some(retry(Some(asked)))]);
        running.send(8);
        let (first, _) = running.attempt().await;
        let (second, _) = running.attempt().await;
        assert_eq!(second - first, Duration::from_secs(3));
        let (third, _) = running.attempt().await;
        assert_eq!(third - second, super::super::retry::LONGEST_ASKED);
        assert_eq!(running.end().await, ([8, 4, 0, 0, 4, 0], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_batch_is_tried_again_the_queue_keeps_its_bound() {
        let mut running = Running::start([None]);
        for _ in 0..10 {
            running.send(4);
            tokio::task::yield_now().await;
        }
        assert_eq!(books(&running.registry), [40, 0, 24, 0, 0, 0]);
        let (books, sizes) = running.end().await;
        assert_eq!(books, [40, 12, 24, 0, 4, 0]);
        assert_eq!(sizes, [4; 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_shutdown_everything_is_sent_without_waiting_for_more() {
        let mut running = Running::start([]);
        let began = Instant::now();
        running.send(6);
        running.send(3);
        running.stop.send(()).expect("the pipeline runs");
        running.task.await.expect("no panic");
        assert_eq!(books(&running.registry), [9, 9, 0, 0, 0, 0]);
        assert_eq!(began.elapsed(), Duration::ZERO);
        finish(&mut running.sink, 2);
        drop(running.sink);
        assert_eq!(books(&running.registry), [11, 9, 0, 0, 0, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_shutdown_what_cannot_be_sent_in_time_is_counted() {
        for script in [vec![None], vec![Some(retry(Some(Duration::from_secs(20))))]] {
            let mut running = Running::start(script);
            let began = Instant::now();
            running.send(10);
            running.attempt().await;
            running.stop.send(()).expect("the pipeline runs");
            running.task.await.expect("no panic");
            assert_eq!(began.elapsed(), GRACE);
            assert_eq!(books(&running.registry), [10, 0, 0, 0, 0, 10]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_with_nothing_to_send_ends_at_once() {
        let running = Running::start([]);
        let began = Instant::now();
        running.stop.send(()).expect("the pipeline runs");
        running.task.await.expect("no panic");
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(books(&running.registry), [0; 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_of_long_texts_is_cut_by_its_bytes() {
        let mut gathered = Gathered::default();
        for _ in 0..40 {
            let mut batch = SpanBatch::default();
            let name = vec![b'a'; 64 * 1024];
            batch.push(super::super::testing::span(), &[&name], b"", &Default::default());
            gathered.push(batch);
        }
        let mut sizes = Vec::new();
        while !gathered.is_empty() {
            assert_eq!(gathered.is_full(512), gathered.len() >= 16);
            let spans = gathered.next_batch(512);
            assert!(gathered.iter().count() >= spans);
            gathered.forget(spans);
            sizes.push(spans);
        }
        assert_eq!(sizes, [16, 16, 8]);
        assert_eq!((gathered.bytes, gathered.taken), (0, 0));
    }
}
