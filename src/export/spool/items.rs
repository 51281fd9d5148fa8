//! Counts of spans, data points and log records.

use super::super::parcel::Signal;

/// How many items, by signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// Spans.
    pub traces: u64,
    /// Data points of metrics.
    pub metrics: u64,
    /// Log records.
    pub logs: u64,
}

impl Items {
    /// How many of this signal.
    #[must_use]
    pub const fn of(&self, signal: Signal) -> u64 {
        match signal {
            Signal::Traces => self.traces,
            Signal::Metrics => self.metrics,
            Signal::Logs => self.logs,
        }
    }

    /// How many of all signals.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.traces + self.metrics + self.logs
    }

    /// Adds to those of a signal.
    pub fn add(&mut self, signal: Signal, items: u32) {
        *self.place(signal) += u64::from(items);
    }

    /// Takes away from those of a signal, of which there are as many.
    pub(super) fn take(&mut self, signal: Signal, items: u32) {
        let place = self.place(signal);
        *place = place.saturating_sub(u64::from(items));
    }

    /// Adds these.
    pub fn extend(&mut self, other: &Self) {
        self.traces += other.traces;
        self.metrics += other.metrics;
        self.logs += other.logs;
    }

    const fn place(&mut self, signal: Signal) -> &mut u64 {
        match signal {
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
            Signal::Logs => &mut self.logs,
        }
    }
}

/// Items that were given up, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// The spool was full, and they were the oldest.
    pub full: Items,
    /// They were older than what is kept.
    pub expired: Items,
    /// The disk has lost or changed them.
    pub damaged: Items,
}

impl GivenUp {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds these.
    pub fn extend(&mut self, other: &Self) {
        self.full.extend(&other.full);
        self.expired.extend(&other.expired);
        self.damaged.extend(&other.damaged);
    }

    /// Those of all reasons.
    #[must_use]
    pub fn all(&self) -> Items {
        let mut all = self.full;
        all.extend(&self.expired);
        all.extend(&self.damaged);
        all
    }
}
