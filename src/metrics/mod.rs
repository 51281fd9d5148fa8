//! Every metric name and label, registered once and handed out as bound counters.
//!
//! A counter is one atomic that its owner adds to; each worker has its own, so that no cache line
//! is shared on the request path. Reading sums those that carry the same labels.

mod books;
pub mod standard;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use books::Ledger;
pub use books::{Books, DropReason, Kind};
use standard::{Component, Described};

/// A metric: its name, what kind of number it is, and what it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The Prometheus name.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// One sentence for people.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Goes up and down, and adds up to something over all who tell it.
    Balance,
}

/// Spans that were finished.
pub const SPANS_CREATED: Metric =
    counter("spandrel_spans_created_total", "Spans that were finished.");
/// Spans that a destination has acknowledged.
pub const SPANS_EXPORTED: Metric =
    counter("spandrel_spans_exported_total", "Spans that the destination has acknowledged.");
/// Spans that were given up.
pub const SPANS_DROPPED: Metric =
    counter("spandrel_spans_dropped_total", "Spans that were given up, by reason.");
/// Spans that are on their way.
pub const SPANS_QUEUED: Metric =
    gauge("spandrel_spans_queued", "Spans in memory that are neither exported nor dropped yet.");
/// Spans on disk.
pub const SPANS_SPOOLED: Metric =
    gauge("spandrel_spans_spooled", "Spans on disk that the destination has not acknowledged yet.");
/// Spans that an earlier process left on disk.
pub const SPANS_RECOVERED: Metric = counter(
    "spandrel_spans_recovered_total",
    "Spans that were found on disk at the start, where an earlier process had put them.",
);
/// Records of the application's own telemetry.
pub const RECORDS_RECEIVED: Metric = counter(
    "spandrel_records_received_total",
    "Data points and log records that the application sent, by signal.",
);
/// Records that a destination has acknowledged.
pub const RECORDS_EXPORTED: Metric = counter(
    "spandrel_records_exported_total",
    "Data points and log records that the destination has acknowledged.",
);
/// Records that were given up.
pub const RECORDS_DROPPED: Metric = counter(
    "spandrel_records_dropped_total",
    "Data points and log records that were given up, by reason.",
);
/// Records that are on their way.
pub const RECORDS_QUEUED: Metric = gauge(
    "spandrel_records_queued",
    "Data points and log records in memory that are neither exported nor dropped yet.",
);
/// Records on disk.
pub const RECORDS_SPOOLED: Metric = gauge(
    "spandrel_records_spooled",
    "Data points and log records on disk that the destination has not acknowledged yet.",
);
/// Records that an earlier process left on disk.
pub const RECORDS_RECOVERED: Metric = counter(
    "spandrel_records_recovered_total",
    "Data points and log records that were found on disk at the start.",
);
/// Requests, by direction and class of status.
pub const REQUESTS: Metric =
    counter("spandrel_requests_total", "Requests that ended, by direction and class of status.");
/// Open downstream connections.
pub const CONNECTIONS: Metric =
    gauge("spandrel_connections", "Downstream connections that are open, by direction.");
/// Connections that carry something else than HTTP.
pub const OPAQUE_CONNECTIONS: Metric = counter(
    "spandrel_opaque_connections_total",
    "Connections that turned out to carry no HTTP, by direction and protocol.",
);
/// Requests and connections that failed in or around us.
pub const FAULTS: Metric =
    counter("spandrel_fault_total", "Failures, by the side at fault and the kind of failure.");
/// Health checks, which make no spans.
pub const HEALTH_CHECKS: Metric = counter(
    "spandrel_health_checks_total",
    "Requests that made no span because they are health checks.",
);
/// What became of outbound requests that could be joined to an inbound one.
pub const JOINS: Metric = counter(
    "spandrel_join_total",
    "Outbound requests, by how they were joined to an inbound one or why they were not.",
);
/// Messages that carried a format of trace context.
pub const CONTEXT_SEEN: Metric = counter(
    "spandrel_context_seen_total",
    "Requests that carried trace context, by direction and format.",
);
/// Messages that carried a format of trace context which could not be used.
pub const CONTEXT_MALFORMED: Metric = counter(
    "spandrel_context_malformed_total",
    "Trace contexts that could not be used, by direction, format and reason.",
);
/// Messages in which two formats name different traces.
pub const CONTEXT_CONFLICTS: Metric = counter(
    "spandrel_context_conflict_total",
    "Requests that carried contexts of different traces, by direction.",
);

/// What was received and cannot be read.
pub const RECEIVE_MALFORMED: Metric = counter(
    "spandrel_receive_malformed_total",
    "Messages of the application's telemetry, and items in them, that cannot be read, by format.",
);
/// What was received while there was no room for it.
pub const RECEIVE_REFUSED: Metric = counter(
    "spandrel_receive_refused_total",
    "Spans, data points and log records of the application that found no room, by format.",
);

/// Every metric there is.
pub const ALL: [Metric; 23] = [
    SPANS_CREATED,
    SPANS_EXPORTED,
    SPANS_DROPPED,
    SPANS_QUEUED,
    SPANS_SPOOLED,
    SPANS_RECOVERED,
    RECORDS_RECEIVED,
    RECORDS_EXPORTED,
    RECORDS_DROPPED,
    RECORDS_QUEUED,
    RECORDS_SPOOLED,
    RECORDS_RECOVERED,
    REQUESTS,
    CONNECTIONS,
    OPAQUE_CONNECTIONS,
    FAULTS,
    HEALTH_CHECKS,
    JOINS,
    CONTEXT_SEEN,
    CONTEXT_MALFORMED,
    CONTEXT_CONFLICTS,
    RECEIVE_MALFORMED,
    RECEIVE_REFUSED,
];

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, help }
}

/// A number that its owner changes and the registry reads.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<CacheLine>);

/// A number that shares its cache line with nobody, so that workers do not slow each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct CacheLine(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.0.fetch_add(n, Ordering::Release);
    }

    /// Takes `n` away again; for gauges.
    pub fn subtract(&self, n: u64) {
        self.0.0.fetch_sub(n, Ordering::Release);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        // With this, who sees what became of a span sees that it was created, too.
        self.0.0.load(Ordering::Acquire)
    }
}

/// A label and its value. Dots in the label become underscores for Prometheus.
pub type Label = (&'static str, &'static str);

/// One reading: what is measured, the labels, and the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The metric.
    pub metric: Metric,
    /// The labels, in the order they were given.
    pub labels: Vec<Label>,
    /// The sum over everyone who counts under these labels.
    pub value: u64,
}

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Registry {
    series: Mutex<Vec<Series>>,
    ledgers: Mutex<Vec<Ledger>>,
    components: Mutex<Vec<Described>>,
    /// Held while telemetry changes from one state to another, and while that is read.
    settling: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Series {
    metric: Metric,
    labels: Vec<Label>,
    counters: Vec<Counter>,
}

impl Registry {
    /// A counter of one's own, which is summed with others of the same metric and labels.
    #[must_use]
    pub fn counter(&self, metric: Metric, labels: &[Label]) -> Counter {
        let counter = Counter::default();
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|s| s.metric == metric && s.labels == labels) {
            Some(series) => series.counters.push(counter.clone()),
            None => all.push(Series {
                metric,
                labels: labels.to_vec(),
                counters: vec![counter.clone()],
            }),
        }
        counter
    }

    /// The books of what is of one `kind` and for one destination. Destinations are few and last
    /// as long as the process, as do their names.
    #[must_use]
    pub fn books(&self, destination: &str, kind: Kind) -> Books {
        let ledger = Ledger::new(destination, kind);
        let books = ledger.open(self, Arc::clone(&self.settling));
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner).push(ledger);
        books
    }

    /// Says what a destination is in the words of OpenTelemetry's conventions; its numbers are then
    /// told in these words too.
    pub fn describe(&self, component: &Component) {
        let described = Described::new(component);
        self.components.lock().unwrap_or_else(PoisonError::into_inner).push(described);
    }

    /// Every number at this moment. What came into being is read last, so that the difference to
    /// what is settled, which is what is queued, is never short and the books balance in every
    /// reading.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let settled = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |series: &Series| Sample {
            metric: series.metric,
            labels: series.labels.clone(),
            value: series.counters.iter().map(Counter::value).sum(),
        };
        let (sources, others): (Vec<_>, Vec<_>) =
            all.iter().partition(|series| books::is_source(series.metric));
        let mut samples: Vec<Sample> = others.into_iter().map(read).collect();
        samples.extend(sources.into_iter().map(read));
        drop((all, settled));
        for ledger in self.ledgers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let queued = ledger.queued(&samples);
            samples.push(queued);
        }
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let derived = standard::derived(&samples, &components);
        drop(components);
        samples.extend(derived);
        samples.sort_by_key(|sample| sample.metric.name);
        samples
    }

    /// Every number in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut family = "";
        for sample in self.samples() {
            let Metric { name, kind, help } = sample.metric;
            if family != name {
                family = name;
                let kind = match kind {
                    MetricKind::Counter => "counter",
                    MetricKind::Gauge | MetricKind::Balance => "gauge",
                };
                writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
            }
            text.push_str(name);
            for (i, (label, value)) in sample.labels.iter().enumerate() {
                let before = if i == 0 { '{' } else { ',' };
                // The conventions have names with dots, Prometheus has none.
                write!(text, "{before}{}=\"{value}\"", label.replace('.', "_")).ok();
            }
            let after = if sample.labels.is_empty() { "" } else { "}" };
            writeln!(text, "{after} {}", sample.value).ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_the_same_labels_are_summed() {
        let registry = Registry::default();
        let (one, two) = (registry.counter(REQUESTS, &[]), registry.counter(REQUESTS, &[]));
        one.add(2);
        two.add(3);
        assert!(registry.render().contains("\nspandrel_requests_total 5\n"));
    }

    #[test]
    fn a_family_stands_together_under_one_heading() {
        let registry = Registry::default();
        registry.counter(FAULTS, &[("side", "upstream")]).add(1);
        registry.counter(REQUESTS, &[]).add(1);
        registry.counter(FAULTS, &[("side", "proxy")]).add(1);
        assert_eq!(registry.render().matches("# TYPE spandrel_fault_total").count(), 1);
    }
}
