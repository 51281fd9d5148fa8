//! The books of one destination, one for each signal that it takes.

use crate::export::parcel::Signal;
use crate::metrics::{Books, DropReason, Kind, Registry};

/// The books of one destination. Clones share the numbers.
#[derive(Clone, Debug)]
pub(in crate::export) struct Accounts {
    traces: Books,
    metrics: Option<Books>,
    logs: Option<Books>,
}

impl Accounts {
    /// Books for the signals that the destination takes.
    pub(in crate::export) fn open(
        registry: &Registry,
        destination: &str,
        takes: impl Fn(Signal) -> bool,
    ) -> Self {
        let records = |signal: Signal| {
            takes(signal).then(|| registry.books(destination, Kind::Records(signal.as_str())))
        };
        Self {
            traces: registry.books(destination, Kind::Spans),
            metrics: records(Signal::Metrics),
            logs: records(Signal::Logs),
        }
    }

    /// Whether there are books for a signal, which is where the destination takes it.
    pub(super) const fn has(&self, signal: Signal) -> bool {
        match signal {
            Signal::Traces => true,
            Signal::Metrics => self.metrics.is_some(),
            Signal::Logs => self.logs.is_some(),
        }
    }

    /// The books of spans.
    pub(in crate::export) const fn spans(&self) -> &Books {
        &self.traces
    }

    /// Counts items that were given up for `reason`.
    pub(super) fn dropped(&self, signal: Signal, reason: DropReason, items: usize) {
        self.settle(signal, |books| books.dropped(reason, items as u64));
    }

    /// Makes changes to the books of a signal that are read together or not at all.
    pub(super) fn settle(&self, signal: Signal, change: impl FnOnce(&Books)) {
        let books = match signal {
            Signal::Traces => Some(&self.traces),
            Signal::Metrics => self.metrics.as_ref(),
            Signal::Logs => self.logs.as_ref(),
        };
        // What the destination does not take is never given to it.
        if let Some(books) = books {
            books.settle(change);
        }
    }
}
