//! What a span costs from its end to the collector, beside `opentelemetry_sdk`'s
//! `BatchSpanProcessor` with `opentelemetry-otlp`: `cargo bench --bench export`.
//!
//! Both sides make the same span, hand it over in the same batches, and send to the same receiver
//! over loopback, which is a process of its own. Measured are the time and the allocations of the
//! thread that makes the span, and the processor time of the whole process, sending included.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it found")]
#![expect(clippy::exit, reason = "the receiver ends with the benchmark")]

mod allocations;
mod ours;
mod receiver;
mod sdk;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use rustix::time::{ClockId, clock_gettime};

use self::ours::Ours;
use self::receiver::Receiver;
use self::sdk::Sdk;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

const METHOD: &str = "GET";
const ROUTE: &str = "/orders/{id}";
const PATH: &str = "/orders/7";
const SCHEME: &str = "http";
const VERSION: &str = "1.1";
const SERVER: &str = "orders.shop.svc";
const PORT: i64 = 8_080;
const CLIENT: &str = "10.1.2.3";
const AGENT: &str = "python-requests/2.32";
const STATUS: i64 = 200;
/// How long each request took, in nanoseconds.
const LENGTH: u64 = 1_000_000;

/// Spans in a batch, on both sides.
const BATCH: usize = 512;
/// How long a batch is gathered, on both sides.
const DELAY: Duration = Duration::from_millis(100);
/// The spans of a run; of one that is only to see that it works.
const SPANS: u64 = 200_000;
const FEW: u64 = 1_024;
/// The pause between bursts of [`BATCH`] spans: some 20,000 spans a second.
const PAUSE: Duration = Duration::from_millis(25);
/// The runs of each side, of which the best counts: what disturbs only ever adds.
const ROUNDS: usize = 3;

/// The protocols of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Grpc,
    Http,
}

/// Something that makes spans and sends them.
trait Side {
    /// Makes a span that began at a time, in nanoseconds since the Unix epoch, and ends it.
    fn span(&mut self, at: u64);
    /// Waits until so many spans have been sent since the start.
    fn drain(&mut self, spans: u64);
    /// Sends what is left.
    fn end(self: Box<Self>);
}

const SIDES: [&str; 2] = ["spandrel", "opentelemetry_sdk"];

fn start(side: &str, way: Way, to: SocketAddr) -> Box<dyn Side> {
    if side == "spandrel" { Box::new(Ours::start(way, to)) } else { Box::new(Sdk::start(way, to)) }
}

fn main() {
    receiver::play();
    let is_long = std::env::args().any(|word| word == "--bench");
    // A span is sent in many times the time in which it is made, so few of them are measured.
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for side in SIDES {
        make(&mut criterion, side);
    }
    criterion.final_summary();
    let (spans, rounds) = if is_long { (SPANS, ROUNDS) } else { (FEW, 1) };
    println!("\n| way | side | ns to make | allocations to make | ns of processor in all |");
    println!("|---|---|---|---|---|");
    for way in [Way::Grpc, Way::Http] {
        let measured = SIDES.map(|side| {
            let runs = (0..rounds).map(|_| measure(side, way, spans));
            let best = runs.reduce(Cost::least).expect("there is a round");
            let Cost { made, allocations, processor } = best;
            println!("| {way:?} | {side} | {made:.0} | {allocations:.3} | {processor:.0} |");
            best
        });
        let [ours, theirs] = measured;
        let share = |of: fn(&Cost) -> f64| 100.0 * of(&ours) / of(&theirs);
        println!(
            "| {way:?} | the share | {:.0} % | {:.0} % | {:.0} % |",
            share(|cost| cost.made),
            share(|cost| cost.allocations),
            share(|cost| cost.processor)
        );
    }
}

/// The time that it takes to make a batch of spans, each of which finds an empty queue.
fn make(criterion: &mut Criterion, side: &str) {
    let receiver = Receiver::start();
    let mut sender = start(side, Way::Http, receiver.address);
    let mut made = 0;
    let mut group = criterion.benchmark_group("make a batch of spans");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(side, |bencher| {
        bencher.iter_custom(|batches| {
            let mut spent = Duration::ZERO;
            for _ in 0..batches {
                let begun = Instant::now();
                (0..BATCH as u64).for_each(|number| sender.span(made + number));
                spent += begun.elapsed();
                made += BATCH as u64;
                sender.drain(made);
            }
            spent
        });
    });
    group.finish();
    sender.end();
}

/// What a span costs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Nanoseconds of processor time of the thread that makes it.
    made: f64,
    /// How often that thread asks for memory.
    allocations: f64,
    /// Nanoseconds of processor time of the whole process.
    processor: f64,
}

impl Cost {
    /// The lesser of each.
    fn least(self, other: Self) -> Self {
        Self {
            made: self.made.min(other.made),
            allocations: self.allocations.min(other.allocations),
            processor: self.processor.min(other.processor),
        }
    }
}

/// Makes so many spans at a steady rate, and sees that all of them arrive.
fn measure(side: &str, way: Way, spans: u64) -> Cost {
    let mut receiver = Receiver::start();
    let mut sender = start(side, way, receiver.address);
    let before = BATCH as u64;
    (0..before).for_each(|at| sender.span(at));
    sender.drain(before);
    let process = clock(ClockId::ProcessCPUTime);
    let (mut made, mut allocated) = (0.0, 0);
    let mut left = spans;
    while left > 0 {
        let burst = left.min(BATCH as u64);
        let (begun, counted) = (clock(ClockId::ThreadCPUTime), allocations::count());
        (0..burst).for_each(|at| sender.span(at));
        allocated += allocations::count() - counted;
        made += clock(ClockId::ThreadCPUTime) - begun;
        left -= burst;
        std::thread::park_timeout(PAUSE);
    }
    sender.drain(before + spans);
    let processor = clock(ClockId::ProcessCPUTime) - process;
    sender.end();
    assert_eq!(receiver.spans(), before + spans, "{side} by {way:?} lost spans");
    Cost {
        made: made / spans as f64,
        allocations: allocated as f64 / spans as f64,
        processor: processor / spans as f64,
    }
}

/// Processor time so far, in nanoseconds.
fn clock(id: ClockId) -> f64 {
    let time = clock_gettime(id);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
