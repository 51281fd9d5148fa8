//! Destinations under scripts, in paused time.

use super::super::exporter::{Exporter, Outcome, Packed, Sending, Unfit};
use super::super::parcel::{Parcel, Signal};
use super::super::spool;
use super::super::testing::{books, finish, number, span, stored_books};
use super::super::{Batch, Config, Filter, Forwarder, Full, Parts, Queue, Sink, Target};
use crate::metrics::Registry;
use crate::reach::{Reach, State};
use crate::trace::resource::Resource;
use crate::trace::semconv::Key;
use crate::trace::span::Attributes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const GRACE: Duration = Duration::from_secs(3);
const HOUR: Duration = Duration::from_hours(1);

/// Follows a script (`None` never answers), then takes everything.
#[derive(Debug)]
struct Scripted {
    script: Mutex<VecDeque<Option<Outcome>>>,
    /// Batches of so many spans never arrive.
    failing: Arc<AtomicUsize>,
    /// Batches of more spans cannot be packed.
    fit: Arc<AtomicUsize>,
    attempts: mpsc::UnboundedSender<(Instant, usize)>,
}

impl Exporter for Scripted {
    fn takes(&self, _: Signal) -> bool {
        true
    }

    fn pack(&self, parcel: &Parcel) -> Result<Packed, Unfit> {
        if parcel.items > self.fit.load(Relaxed) {
            return Err(Unfit("too many".to_owned()));
        }
        Ok(Packed { signal: parcel.signal, body: parcel.message.clone() })
    }

    fn send(&self, packed: Packed) -> Sending {
        let request = ExportTraceServiceRequest::decode(packed.body).expect("a request");
        let spans = request.resource_spans[0].scope_spans[0].spans.len();
        self.attempts.send((Instant::now(), spans)).expect("the test listens");
        let next = self.script.lock().expect("no test panics here").pop_front();
        let usual = if spans == self.failing.load(Relaxed) { retry(None) } else { taken(0) };
        let outcome = next.unwrap_or(Some(usual));
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

pub(super) fn taken(rejected: u64) -> Outcome {
    Outcome::Delivered { rejected, message: String::new() }
}

pub(super) fn retry(after: Option<Duration>) -> Outcome {
    Outcome::Retry { after, reason: "busy".to_owned() }
}

fn refused() -> Outcome {
    Outcome::Refused { reason: "bad".to_owned() }
}

pub(super) struct Running {
    pub(super) registry: Registry,
    sink: Sink,
    attempts: mpsc::UnboundedReceiver<(Instant, usize)>,
    fails: Arc<AtomicUsize>,
    fits: Arc<AtomicUsize>,
    forwarder: Forwarder,
    reach: Reach,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// A pipeline with batches of at most 4, a delay of 5 s and a queue of 16.
    fn start(script: impl IntoIterator<Item = Option<Outcome>>) -> Self {
        Self::build(script, None)
    }

    /// The same, with a spool.
    pub(super) fn with_spool(
        script: impl IntoIterator<Item = Option<Outcome>>,
        spool: spool::Config,
    ) -> Self {
        Self::build(script, Some(spool))
    }

    fn build(
        script: impl IntoIterator<Item = Option<Outcome>>,
        spool: Option<spool::Config>,
    ) -> Self {
        let (sender, attempts) = mpsc::unbounded_channel();
        let script = Mutex::new(script.into_iter().collect());
        let failing = Arc::new(AtomicUsize::new(0));
        let fails = Arc::clone(&failing);
        let fit = Arc::new(AtomicUsize::new(usize::MAX));
        let fits = Arc::clone(&fit);
        let first = super::super::Destination {
            name: "otlp".to_owned(),
            target: Target::Otlp(super::super::Otlp::default()),
            filter: Filter::default(),
        };
        let config = Config {
            first,
            further: Vec::new(),
            batch: Batch { max_queue_size: 16, max_export_batch_size: 4, ..Batch::default() },
            queue: Queue::default(),
            spool,
            canary: false,
            resource: Resource::new(None, &[]),
        };
        let (registry, reach) = (Registry::default(), Reach::default());
        let mut parts = Parts::new(&config, &registry, reach.clone());
        parts.add(&config.first, Box::new(Scripted { script, failing, fit, attempts: sender }));
        let (mut sinks, pipeline) = parts.join(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { stopped.await.unwrap_or_default() };
        let forwarder = pipeline.forwarder(&registry);
        let task = tokio::spawn(pipeline.run(stopped, GRACE));
        Self {
            registry,
            sink: sinks.remove(0),
            attempts,
            fails,
            fits,
            forwarder,
            reach,
            stop,
            task,
        }
    }

    pub(super) fn send(&mut self, spans: usize) {
        finish(&mut self.sink, spans);
        self.sink.flush();
    }

    /// Sends spans with so long a text.
    pub(super) fn send_long(&mut self, spans: usize, length: usize) {
        let mut attributes = Attributes::default();
        attributes.text(Key::UrlPath, &"a".repeat(length));
        for _ in 0..spans {
            self.sink.finish(span(), &[b"GET"], b"", &attributes);
        }
        self.sink.flush();
    }

    /// Ends at once, and settles nothing.
    pub(super) async fn kill(self) {
        self.task.abort();
        self.task.await.expect_err("it was cut off");
    }

    /// Ends by the signal, and gives the books and the sizes of all attempts unseen.
    pub(super) async fn stop(self) -> ([u64; 6], Vec<usize>) {
        let Self { registry, mut sink, mut attempts, stop, task, .. } = self;
        sink.flush();
        stop.send(()).expect("the pipeline runs");
        task.await.expect("the pipeline does not panic");
        let mut sizes = Vec::new();
        while let Ok((_, size)) = attempts.try_recv() {
            sizes.push(size);
        }
        (stored_books(&registry), sizes)
    }

    /// From now on batches of so many spans fail.
    pub(super) fn fails(&self, spans: usize) {
        self.fails.store(spans, Relaxed);
    }

    pub(super) async fn attempt(&mut self) -> (Instant, usize) {
        self.attempts.recv().await.expect("the pipeline runs")
    }

    /// Ends by dropping the sink, and gives the books and the sizes of all attempts unseen.
    async fn end(self) -> ([u64; 6], Vec<usize>) {
        let (registry, sizes) = self.end_unread().await;
        (books(&registry), sizes)
    }

    /// Ends by dropping the sink, and gives where to read the books, and the sizes of all attempts
    /// unseen.
    async fn end_unread(self) -> (Registry, Vec<usize>) {
        let Self { registry, sink, mut attempts, stop, task, .. } = self;
        drop(sink);
        task.await.expect("the pipeline does not panic");
        drop(stop);
        let mut sizes = Vec::new();
        while let Ok((_, size)) = attempts.try_recv() {
            sizes.push(size);
        }
        (registry, sizes)
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
async fn while_nothing_arrives_nothing_is_given_up_by_time() {
    let mut running = Running::start(std::iter::repeat_n(Some(retry(None)), 100));
    let began = Instant::now();
    running.send(4);
    running.send(3);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(books(&running.registry), [7, 0, 0, 0, 0, 0]);
    let (books, sizes) = running.end().await;
    assert_eq!(books, [7, 7, 0, 0, 0, 0]);
    let took = began.elapsed().as_secs();
    assert!((300..=510).contains(&took), "100 attempts, 5 s apart, took {took} s");
    assert!(sizes.len() <= 103, "{} attempts", sizes.len());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_alone_does_not_arrive_is_given_up_in_time() {
    let mut running = Running::start([]);
    running.fails(3);
    running.send(3);
    for _ in 0..20 {
        sleep(Duration::from_secs(5)).await;
        running.send(4);
    }
    let (books, _) = running.end().await;
    assert_eq!(books, [83, 80, 0, 0, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_never_answered_is_given_up_and_made_again() {
    let mut running = Running::start([None]);
    running.send(4);
    let (first, _) = running.attempt().await;
    let (second, _) = running.attempt().await;
    let limit = Batch::default().export_timeout;
    assert!((limit..=limit + Duration::from_secs(1)).contains(&(second - first)));
    assert_eq!(running.end().await, ([4, 4, 0, 0, 0, 0], vec![]));
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
    let asked = Duration::from_hours(1);
    let mut running =
        Running::start([Some(retry(Some(Duration::from_secs(3)))), Some(retry(Some(asked)))]);
    running.send(4);
    let (first, _) = running.attempt().await;
    tokio::task::yield_now().await;
    running.send(4);
    let (second, _) = running.attempt().await;
    assert_eq!(second - first, Duration::from_secs(3));
    let (third, _) = running.attempt().await;
    assert_eq!(third - second, super::backoff::LONGEST_ASKED);
    assert_eq!(running.end().await, ([8, 8, 0, 0, 0, 0], vec![4]));
}

#[tokio::test(start_paused = true)]
async fn while_nothing_arrives_the_oldest_make_room_for_what_comes() {
    let mut running = Running::start(std::iter::repeat_n(Some(retry(None)), 2));
    running.send(4);
    running.attempt().await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
        running.send(4);
    }
    tokio::task::yield_now().await;
    let [created, _, lost, ..] = books(&running.registry);
    assert_eq!(created, 44);
    assert!((20..=28).contains(&lost), "{lost} of 44 spans find no room among 16");
    let (books, _) = running.end().await;
    assert_eq!(books, [44, 44 - lost, lost, 0, 0, 0]);
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
    for script in [vec![None; 3], vec![Some(retry(Some(Duration::from_secs(20)))); 3]] {
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
async fn what_is_too_large_is_cut_until_it_passes_and_later_before_it_is_sent() {
    let large = || Outcome::TooLarge { reason: "at most 2".to_owned() };
    let mut running = Running::start([Some(large())]);
    running.send(4);
    let sizes = [running.attempt().await.1, running.attempt().await.1, running.attempt().await.1];
    assert_eq!(sizes, [4, 2, 2]);
    running.send(4);
    assert_eq!(running.end().await, ([8, 8, 0, 0, 0, 0], vec![2, 2]));
}

#[tokio::test(start_paused = true)]
async fn one_malformed_span_does_not_take_its_batch_down() {
    let bad = || Some(Outcome::Malformed { reason: "no such kind".to_owned() });
    let mut running = Running::start([bad(), bad(), Some(taken(0)), bad(), Some(taken(0))]);
    running.send(4);
    let (books, sizes) = running.end().await;
    assert_eq!((books, sizes), ([4, 3, 0, 1, 0, 0], vec![4, 2, 2, 1, 1]));
}

#[tokio::test(start_paused = true)]
async fn where_everything_is_found_malformed_cutting_soon_stops() {
    let bad = || Some(Outcome::Malformed { reason: "no".to_owned() });
    let mut running = Running::start(std::iter::repeat_with(bad).take(10_000));
    for _ in 0..100 {
        running.send(4);
        sleep(Duration::from_millis(10)).await;
    }
    let (books, sizes) = running.end().await;
    assert_eq!(books, [400, 0, 0, 400, 0, 0]);
    assert_eq!(sizes.len(), 100 + 2 * super::MOST_CUTS as usize);
}

#[tokio::test(start_paused = true)]
async fn several_batches_are_on_their_way_until_one_fails() {
    let mut running = Running::start(std::iter::repeat_n(None, 8));
    running.send(4);
    running.send(4);
    let began = Instant::now();
    assert_eq!((running.attempt().await, running.attempt().await), ((began, 4), (began, 4)));
    sleep(Batch::default().export_timeout).await;
    // Both were given up together, and one is tried at a time.
    let (third, _) = running.attempt().await;
    assert!(third > began + Batch::default().export_timeout);
    assert!(running.attempts.try_recv().is_err());
    let (books, _) = running.end().await;
    assert_eq!(books, [8, 8, 0, 0, 0, 0]);
}

#[tokio::test]
async fn what_one_life_puts_on_disk_the_next_one_finds_and_sends() {
    let folder = format!("spandrel-destination-{}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    let on_disk = || spool::Config::new(folder.clone());
    let mut first = Running::with_spool([], on_disk());
    first.fails(4);
    first.send(4);
    first.attempt().await;
    let (registry, _) = first.end_unread().await;
    let of = |registry: &Registry| {
        ["created_total", "recovered_total", "exported_total", "dropped_total", "spooled", "queued"]
            .map(|name| number(registry, name, ""))
    };
    assert_eq!(of(&registry), [4, 0, 0, 0, 4, 0]);

    let mut second = Running::with_spool([], on_disk());
    assert_eq!(second.attempt().await.1, 4);
    let (registry, _) = second.end_unread().await;
    assert_eq!(of(&registry), [0, 4, 4, 0, 0, 0]);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

fn forwarded(items: usize, bytes: usize) -> Parcel {
    let message = vec![0; bytes].into();
    Parcel { signal: Signal::Logs, items, has_error: false, message }
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_after_the_end_is_not_taken() {
    let running = Running::start([]);
    let forwarder = running.forwarder.clone();
    running.stop.send(()).expect("the pipeline runs");
    running.task.await.expect("no panic");
    assert_eq!(forwarder.offer(&forwarded(3, 10)), Err(Full));
    let samples = running.registry.samples();
    let queued = samples.iter().filter(|s| s.metric.name == "spandrel_records_queued");
    assert_eq!(queued.map(|s| s.value).sum::<u64>(), 0);
    assert_eq!(number(&running.registry, "queued", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn a_size_that_was_refused_once_is_tried_again_after_some_time() {
    let large = || Some(Outcome::TooLarge { reason: "whatever".to_owned() });
    let mut running = Running::start(std::iter::repeat_with(large).take(7));
    running.send(4);
    for _ in 0..7 {
        running.attempt().await;
    }
    running.send(4);
    sleep(HOUR).await;
    running.send(4);
    let (books, sizes) = running.end().await;
    assert_eq!((books, sizes), ([12, 8, 0, 4, 0, 0], vec![1, 1, 1, 1, 4]));
}

#[tokio::test(start_paused = true)]
async fn that_single_spans_are_found_malformed_is_told() {
    let bad = || Some(Outcome::Malformed { reason: "no".to_owned() });
    let mut running = Running::start([bad()]);
    running.send(1);
    let reach = running.reach.clone();
    running.end().await;
    let standing = reach.all();
    assert_eq!(standing.iter().map(|s| s.state).collect::<Vec<_>>(), [State::Refusing]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_packed_is_cut_until_it_can() {
    let mut running = Running::start([]);
    running.fits.store(2, Relaxed);
    running.send(4);
    assert_eq!([running.attempt().await.1, running.attempt().await.1], [2, 2]);
    running.fits.store(0, Relaxed);
    running.send(4);
    let (registry, _) = running.end_unread().await;
    assert_eq!(number(&registry, "dropped_total", "unfit"), 4);
}
