//! What is known of trace context: which formats come, what is wrong with them, and which calls of
//! the application do not carry any.
//!
//! Each worker counts in a `Ledger` of its own. A request whose context is in order costs it a
//! counter or two; only calls that lost theirs are written down by name. The `Doctor` reads all
//! ledgers for the admin listener and says what they mean. Nothing here decides anything, and no
//! value from the network becomes a label.

mod calls;
mod report;

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

pub use calls::{Call, MAX_CALLS, Missed};
pub use report::Report;

use self::calls::Calls;
use crate::direction::Direction;
use crate::metrics::{
    CONTEXT_CONFLICTS, CONTEXT_MALFORMED, CONTEXT_SEEN, Counter, JOINS, Registry,
};
use crate::trace::propagate::known::{Format, Malformed};

/// What became of an outbound request: the values of the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Join {
    /// Joined by the context that it carried, in any format.
    Context,
    /// Joined by another header that its inbound request carried too.
    Key,
    /// Not joined: several requests in flight hold what it carried.
    Ambiguous,
    /// Not joined: what it carried points to different requests.
    Conflict,
    /// Not joined, while there was at least one inbound request in flight.
    Unknown,
    /// Not joined, and there was nothing to join it to.
    Background,
}

impl Join {
    /// Every result.
    pub const ALL: [Self; 6] = [
        Self::Context,
        Self::Key,
        Self::Ambiguous,
        Self::Conflict,
        Self::Unknown,
        Self::Background,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Key => "key",
            Self::Ambiguous => "ambiguous",
            Self::Conflict => "conflict",
            Self::Unknown => "unknown",
            Self::Background => "background",
        }
    }
}

/// What one worker counts.
#[derive(Debug)]
pub struct Ledger {
    joins: [Counter; Join::ALL.len()],
    seen: [[Counter; Format::ALL.len()]; 2],
    conflicts: [Counter; 2],
    /// These are many and hardly ever more than zero: those of W3C are there from the start, the
    /// others are made when they are needed.
    malformed: RefCell<Vec<(Direction, Format, Malformed, Counter)>>,
    registry: Arc<Registry>,
    own: Arc<Own>,
}

/// What of a ledger is not among the metrics.
#[derive(Debug, Default)]
struct Own {
    /// Requests with a context of their own, of a trace that was not in flight.
    foreign: Counter,
    calls: Mutex<Calls>,
}

/// Reads the ledgers of all workers.
#[derive(Debug)]
pub struct Doctor {
    registry: Arc<Registry>,
    ledgers: Vec<Arc<Own>>,
    join_keys: Vec<String>,
}

impl Doctor {
    /// One doctor, and a ledger for each of so many workers.
    #[must_use]
    pub fn with_ledgers(
        workers: usize,
        registry: &Arc<Registry>,
        join_keys: &[String],
    ) -> (Self, Vec<Ledger>) {
        let ledgers: Vec<_> = (0..workers).map(|_| Ledger::register(registry)).collect();
        let doctor = Self {
            registry: Arc::clone(registry),
            ledgers: ledgers.iter().map(|ledger| Arc::clone(&ledger.own)).collect(),
            join_keys: join_keys.to_vec(),
        };
        (doctor, ledgers)
    }

    /// What is known at this moment.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut calls = Calls::default();
        let mut foreign = 0;
        for own in &self.ledgers {
            calls.merge(&own.calls.lock().unwrap_or_else(PoisonError::into_inner));
            foreign += own.foreign.value();
        }
        Report::new(&self.registry.samples(), calls, foreign, &self.join_keys)
    }
}

impl Ledger {
    fn register(registry: &Arc<Registry>) -> Self {
        let way = |direction: Direction| ("direction", direction.as_str());
        Self {
            joins: Join::ALL.map(|join| registry.counter(JOINS, &[("result", join.as_str())])),
            seen: Direction::ALL.map(|direction| {
                Format::ALL.map(|format| {
                    let labels = [way(direction), ("format", format.as_str())];
                    registry.counter(CONTEXT_SEEN, &labels)
                })
            }),
            conflicts: Direction::ALL
                .map(|direction| registry.counter(CONTEXT_CONFLICTS, &[way(direction)])),
            malformed: RefCell::new(usual_malformed(registry)),
            registry: Arc::clone(registry),
            own: Arc::default(),
        }
    }

    /// Notes that a request carried this format, well-formed or not.
    pub fn saw(&self, direction: Direction, format: Format) {
        let [inbound, outbound] = &self.seen;
        let formats = match direction {
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        };
        if let Some(counter) = formats.get(format as usize) {
            counter.add(1);
        }
    }

    /// Notes that what it carried could not be used.
    #[cold]
    pub fn saw_malformed(&self, direction: Direction, format: Format, reason: Malformed) {
        let mut all = self.malformed.borrow_mut();
        let known = all.iter().find(|(d, f, r, _)| (*d, *f, *r) == (direction, format, reason));
        if let Some((.., counter)) = known {
            return counter.add(1);
        }
        let counter = malformed(&self.registry, direction, format, reason);
        counter.add(1);
        all.push((direction, format, reason, counter));
    }

    /// Notes that two formats of a request named different traces.
    pub fn saw_conflict(&self, direction: Direction) {
        let [inbound, outbound] = &self.conflicts;
        match direction {
            Direction::Inbound => inbound.add(1),
            Direction::Outbound => outbound.add(1),
        }
    }

    /// Notes what became of an outbound request.
    pub fn joined(&self, join: Join) {
        if let Some(counter) = self.joins.get(join as usize) {
            counter.add(1);
        }
    }

    /// Notes that a request that was not joined carried the context of another trace.
    pub fn was_foreign(&self) {
        self.own.foreign.add(1);
    }

    /// Writes down a call that carried no context while there were requests in flight.
    pub fn missed(&self, missed: &Missed<'_>) {
        self.own.calls.lock().unwrap_or_else(PoisonError::into_inner).note(missed);
    }
}

fn usual_malformed(registry: &Registry) -> Vec<(Direction, Format, Malformed, Counter)> {
    let format = Format::TraceContext;
    let of = |direction| {
        Malformed::ALL.map(|reason| {
            (direction, format, reason, malformed(registry, direction, format, reason))
        })
    };
    Direction::ALL.into_iter().flat_map(of).collect()
}

fn malformed(
    registry: &Registry,
    direction: Direction,
    format: Format,
    reason: Malformed,
) -> Counter {
    let labels = [
        ("direction", direction.as_str()),
        ("format", format.as_str()),
        ("reason", reason.as_str()),
    ];
    registry.counter(CONTEXT_MALFORMED, &labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_context_makes_its_series_once() {
        let registry = Arc::<Registry>::default();
        let (_doctor, ledgers) = Doctor::with_ledgers(2, &registry, &[]);
        let of_b3 = "spandrel_context_malformed_total{direction=\"inbound\",format=\"b3\"";
        assert!(!registry.render().contains(of_b3));
        for ledger in ledgers.iter().chain(&ledgers) {
            ledger.saw_malformed(Direction::Inbound, Format::B3, Malformed::Length);
        }
        let text = registry.render();
        let series = "spandrel_context_malformed_total{direction=\"inbound\",format=\"b3\",\
                      reason=\"length\"} 4";
        assert!(text.lines().any(|line| line == series), "{text}");
    }

    #[test]
    fn every_format_and_result_counts_under_its_own_label() {
        let registry = Arc::<Registry>::default();
        let (_doctor, ledgers) = Doctor::with_ledgers(1, &registry, &[]);
        for format in Format::ALL {
            ledgers[0].saw(Direction::Outbound, format);
        }
        for join in Join::ALL {
            ledgers[0].joined(join);
        }
        let samples = registry.samples();
        let count = |metric| samples.iter().filter(|s| s.metric == metric && s.value == 1).count();
        assert_eq!((count(CONTEXT_SEEN), count(JOINS)), (Format::ALL.len(), Join::ALL.len()));
    }
}
