//! The books of each destination, which balance in every reading:
//! created + recovered = exported + dropped + queued + spooled.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    Counter, Label, Metric, RECORDS_DROPPED, RECORDS_EXPORTED, RECORDS_QUEUED, RECORDS_RECEIVED,
    RECORDS_RECOVERED, RECORDS_SPOOLED, Registry, SPANS_CREATED, SPANS_DROPPED, SPANS_EXPORTED,
    SPANS_QUEUED, SPANS_RECOVERED, SPANS_SPOOLED, Sample,
};

/// Why telemetry was given up: the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// There was no room in memory.
    QueueFull,
    /// The destination refused it for good, or took the rest without it.
    Rejected,
    /// The destination did not take it within the time it has, while it took others.
    Unreachable,
    /// spandrel stopped before it could be sent.
    Shutdown,
    /// The destination's filter does not let it pass.
    Filtered,
    /// It cannot be put into the form of the destination.
    Unfit,
    /// It made room on disk for what came later.
    SpoolFull,
    /// It was too long on disk.
    SpoolExpired,
    /// It could not be read from the disk again.
    SpoolCorrupt,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::QueueFull,
        Self::Rejected,
        Self::Unreachable,
        Self::Shutdown,
        Self::Filtered,
        Self::Unfit,
        Self::SpoolFull,
        Self::SpoolExpired,
        Self::SpoolCorrupt,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::Shutdown => "shutdown",
            Self::Filtered => "filtered",
            Self::Unfit => "unfit",
            Self::SpoolFull => "spool_full",
            Self::SpoolExpired => "spool_expired",
            Self::SpoolCorrupt => "spool_corrupt",
        }
    }
}

/// What books are kept of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Spans, whoever made them.
    Spans,
    /// Records of the application's, by their signal (`metrics`, `logs`).
    Records(&'static str),
}

/// The numbers of what is of one kind and for one destination.
#[derive(Clone, Debug)]
pub struct Books {
    exported: Counter,
    dropped: [Counter; DropReason::ALL.len()],
    spooled: Counter,
    recovered: Counter,
    settling: Arc<Mutex<()>>,
}

impl Books {
    /// Counts what the destination has acknowledged.
    pub fn exported(&self, items: u64) {
        self.exported.add(items);
    }

    /// Counts what was given up for `reason`.
    pub fn dropped(&self, reason: DropReason, items: u64) {
        let [full, rejected, late, shutdown, filtered, unfit, no_room, old, corrupt] =
            &self.dropped;
        match reason {
            DropReason::QueueFull => full,
            DropReason::Rejected => rejected,
            DropReason::Unreachable => late,
            DropReason::Shutdown => shutdown,
            DropReason::Filtered => filtered,
            DropReason::Unfit => unfit,
            DropReason::SpoolFull => no_room,
            DropReason::SpoolExpired => old,
            DropReason::SpoolCorrupt => corrupt,
        }
        .add(items);
    }

    /// Counts what was put on disk.
    pub fn spooled(&self, items: u64) {
        self.spooled.add(items);
    }

    /// Counts what is no longer on disk. What else became of it is to be counted with this, within
    /// [`Self::settle`].
    pub fn unspooled(&self, items: u64) {
        self.spooled.subtract(items);
    }

    /// Counts what an earlier process left on disk; to be done within [`Self::settle`].
    pub fn recovered(&self, items: u64) {
        self.recovered.add(items);
        self.spooled.add(items);
    }

    /// Makes several changes that are read together or not at all. Not for the request path: one
    /// may wait here for somebody who reads.
    pub fn settle(&self, change: impl FnOnce(&Self)) {
        let _guard = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        change(self);
    }
}

/// Whether a metric counts what comes into being.
pub(super) fn is_source(metric: Metric) -> bool {
    metric == SPANS_CREATED || metric == RECORDS_RECEIVED
}

/// Where the numbers of [`Books`] stand, and what follows from them.
#[derive(Debug)]
pub(super) struct Ledger {
    labels: Vec<Label>,
    kind: Kind,
}

impl Ledger {
    pub(super) fn new(destination: &str, kind: Kind) -> Self {
        let destination: &'static str = destination.to_owned().leak();
        let mut labels = vec![("destination", destination)];
        if let Kind::Records(signal) = kind {
            labels.push(("signal", signal));
        }
        Self { labels, kind }
    }

    pub(super) fn open(&self, registry: &Registry, settling: Arc<Mutex<()>>) -> Books {
        let [exported, dropped, spooled, recovered, _] = self.metrics();
        let with = |reason: DropReason| {
            let reason = [("reason", reason.as_str())];
            self.labels.iter().copied().chain(reason).collect::<Vec<_>>()
        };
        Books {
            exported: registry.counter(exported, &self.labels),
            dropped: DropReason::ALL.map(|reason| registry.counter(dropped, &with(reason))),
            spooled: registry.counter(spooled, &self.labels),
            recovered: registry.counter(recovered, &self.labels),
            settling,
        }
    }

    /// What the destination still owes and is not on disk.
    pub(super) fn queued(&self, samples: &[Sample]) -> Sample {
        let [exported, dropped, spooled, recovered, queued] = self.metrics();
        let sum = |is_wanted: &dyn Fn(&Sample) -> bool| -> u64 {
            samples.iter().filter(|sample| is_wanted(sample)).map(|sample| sample.value).sum()
        };
        let created = sum(&|s| match self.kind {
            Kind::Spans => s.metric == SPANS_CREATED,
            Kind::Records(signal) => {
                s.metric == RECORDS_RECEIVED && s.labels.contains(&("signal", signal))
            }
        });
        let is_ours = |s: &Sample| s.labels.starts_with(&self.labels);
        let found = sum(&|s| s.metric == recovered && is_ours(s));
        let settled = [exported, dropped, spooled];
        let settled = sum(&|s| settled.contains(&s.metric) && is_ours(s));
        let value = (created + found).saturating_sub(settled);
        Sample { metric: queued, labels: self.labels.clone(), value }
    }

    /// Exported, dropped, spooled, recovered and queued.
    const fn metrics(&self) -> [Metric; 5] {
        match self.kind {
            Kind::Spans => {
                [SPANS_EXPORTED, SPANS_DROPPED, SPANS_SPOOLED, SPANS_RECOVERED, SPANS_QUEUED]
            }
            Kind::Records(_) => [
                RECORDS_EXPORTED,
                RECORDS_DROPPED,
                RECORDS_SPOOLED,
                RECORDS_RECOVERED,
                RECORDS_QUEUED,
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_at_every_reading() {
        let registry = Registry::default();
        let created = registry.counter(SPANS_CREATED, &[]);
        let books = registry.books("otlp", Kind::Spans);
        created.add(10);
        books.settle(|books| books.recovered(5));
        books.exported(6);
        books.dropped(DropReason::QueueFull, 1);
        books.settle(|books| {
            books.unspooled(2);
            books.exported(2);
        });
        let text = registry.render();
        for line in [
            "spandrel_spans_created_total 10",
            "spandrel_spans_recovered_total{destination=\"otlp\"} 5",
            "spandrel_spans_exported_total{destination=\"otlp\"} 8",
            "spandrel_spans_dropped_total{destination=\"otlp\",reason=\"queue_full\"} 1",
            "spandrel_spans_spooled{destination=\"otlp\"} 3",
            "spandrel_spans_queued{destination=\"otlp\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
    }

    #[test]
    fn records_have_books_of_their_own_by_signal() {
        let registry = Registry::default();
        registry.counter(RECORDS_RECEIVED, &[("signal", "logs")]).add(4);
        registry.counter(RECORDS_RECEIVED, &[("signal", "metrics")]).add(9);
        let logs = registry.books("otlp", Kind::Records("logs"));
        let spans = registry.books("otlp", Kind::Spans);
        logs.exported(1);
        spans.exported(0);
        let text = registry.render();
        for line in [
            "spandrel_records_queued{destination=\"otlp\",signal=\"logs\"} 3",
            "spandrel_spans_queued{destination=\"otlp\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
    }
}
