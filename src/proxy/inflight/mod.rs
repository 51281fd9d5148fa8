//! The inbound requests that the application is working on, and what tells them by.
//!
//! An outbound call that carries the context of one of them belongs to it, and so to its tenant.
//! One that carries no context may carry a key instead, a value that its inbound request brought
//! too; where exactly one request holds the key, that request caused the call. An entry lives
//! exactly as long as its request: the guard that `enter` gives ends it. The keys of a request
//! that ended badly outlive it for a while, since the application may still be working on it.

mod table;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::table::{Candidate, Table};
use crate::trace::tenant::TenantId;
use crate::trace::{TraceContext, TraceId};

/// The most keys that one request or call may have.
pub const MAX_KEYS: usize = 32;

/// The requests in flight of all workers.
///
/// Each worker writes to a table of its own, whose lock nobody else wants, unless an outbound
/// call comes on another worker than its inbound request.
#[derive(Clone, Debug)]
pub struct InFlight {
    shared: Arc<Shared>,
    /// The table of the worker that holds this handle.
    own: usize,
}

#[derive(Debug)]
struct Shared {
    workers: Box<[Worker]>,
    /// The seeds of the keys, which nobody outside can know and choose values by.
    seeds: [RandomState; 2],
}

#[derive(Debug, Default)]
struct Worker {
    table: Mutex<Table>,
    /// The requests in it, to be read without its lock.
    open: AtomicUsize,
}

/// A value that tells requests apart, hashed together with what kind of value it is. No value is
/// kept, and two of 128 bits do not collide by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl Key {
    /// What stands where there is no key yet.
    pub const NONE: Self = Self(0);
}

/// An inbound request, as far as the calls it causes need to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inbound<'a> {
    /// The context that its calls continue; `None` for a request without a trace, such as a
    /// health check.
    pub context: Option<TraceContext>,
    /// Whether that context is sent on. One that was only made up to keep the decision not to
    /// record anything is not.
    pub is_carried: bool,
    /// Its tenant.
    pub tenant: Option<&'a TenantId>,
    /// Its `tracestate`, joined to one line; empty for none.
    pub trace_state: &'a [u8],
    /// What its calls may be known by.
    pub keys: &'a [Key],
}

/// Ends a request's entry when it is dropped.
#[derive(Debug)]
pub struct Entered {
    table: InFlight,
    slot: usize,
    is_abandoned: bool,
}

/// What an outbound call is joined to by the context that it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The tenant of the inbound request, where that is certain.
    pub tenant: Option<TenantId>,
}

/// The inbound request that caused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The context that the call continues.
    pub context: TraceContext,
    /// Whether that context is sent on.
    pub is_carried: bool,
    /// The tenant.
    pub tenant: Option<TenantId>,
    /// The `tracestate` that goes with the context, if there is one.
    pub trace_state: Option<Box<[u8]>>,
}

/// Who holds the keys of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody that could be joined.
    Nobody,
    /// One request and no other: where among the keys the first is that only it holds, and what
    /// the call continues.
    One(usize, Box<Cause>),
    /// Several requests hold the same key.
    Several,
    /// The keys point to different requests.
    Different,
}

impl InFlight {
    /// One handle for each of so many workers.
    #[must_use]
    pub fn handles(workers: usize) -> Vec<Self> {
        let shared = Arc::new(Shared {
            workers: (0..workers).map(|_| Worker::default()).collect(),
            seeds: [RandomState::new(), RandomState::new()],
        });
        (0..workers).map(|own| Self { shared: Arc::clone(&shared), own }).collect()
    }

    /// The key of a value of this kind.
    #[must_use]
    pub fn key(&self, kind: u8, value: &[u8]) -> Key {
        let [high, low] = &self.shared.seeds;
        let [high, low] = [high.hash_one((kind, value)), low.hash_one((kind, value))];
        Key(u128::from(high) << 64 | u128::from(low))
    }

    /// Notes that the application is working on a request.
    #[must_use]
    pub fn enter(&self, inbound: &Inbound<'_>) -> Entered {
        let slot = self.own().map_or(0, |own| {
            own.open.fetch_add(1, Ordering::Relaxed);
            own.table().enter(inbound)
        });
        Entered { table: self.clone(), slot, is_abandoned: false }
    }

    /// The inbound request of this trace, if the application is working on one.
    #[must_use]
    pub fn find(&self, trace_id: TraceId) -> Option<Joined> {
        let mut found: Option<table::Trace> = None;
        for (_, worker) in self.own_first() {
            let table = worker.table();
            let Some(trace) = table.trace(trace_id) else { continue };
            match &mut found {
                None => found = Some(trace.clone()),
                Some(first) => first.is_mixed |= first.tenant != trace.tenant || trace.is_mixed,
            }
        }
        found.map(|trace| Joined { tenant: trace.tenant.filter(|_| !trace.is_mixed) })
    }

    /// Who holds these keys. One that no request brought says nothing: the application may have
    /// made it. All others must agree.
    #[must_use]
    pub fn holder(&self, keys: &[Key]) -> Holder {
        self.holder_at(keys, Instant::now())
    }

    fn holder_at(&self, keys: &[Key], now: Instant) -> Holder {
        let mut holders = [0; MAX_KEYS];
        let mut candidates: Vec<Candidate> = Vec::new();
        for (at, worker) in self.own_first() {
            let mut table = worker.table();
            table.forget_ghosts(now);
            table.add_holders((at, now), keys, &mut holders, &mut candidates);
        }
        let is_held_alone = |at: usize| holders.get(at) == Some(&1);
        candidates.retain(|one| (0..keys.len()).any(|at| is_held_alone(at) && one.holds(at)));
        let Some(only) = candidates.pop() else {
            let is_held = holders.iter().any(|count| *count > 0);
            return if is_held { Holder::Several } else { Holder::Nobody };
        };
        let agrees = |(at, count): (usize, &usize)| *count == 0 || only.holds(at);
        if !candidates.is_empty() || !holders.iter().enumerate().all(agrees) {
            return Holder::Different;
        }
        match ((0..keys.len()).find(|at| is_held_alone(*at)), only.cause) {
            (Some(at), Some(cause)) => Holder::One(at, Box::new(cause)),
            _ => Holder::Nobody,
        }
    }

    /// How many requests the application is working on.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.workers.iter().map(|worker| worker.open.load(Ordering::Relaxed)).sum()
    }

    /// The context that calls of the only request in flight continue. `None` when there are none
    /// or several, when one that the client gave up may still be worked on, and when the only one
    /// has no trace.
    #[must_use]
    pub fn sole(&self) -> Option<TraceContext> {
        self.sole_at(Instant::now())
    }

    fn sole_at(&self, now: Instant) -> Option<TraceContext> {
        let mut sole = None;
        for (_, worker) in self.own_first() {
            let table = worker.table();
            if table.is_haunted(now) {
                return None;
            }
            match (table.requests(), sole.is_some()) {
                (0, _) => {}
                (1, false) => sole = Some(table.sole()),
                _ => return None,
            }
        }
        sole.flatten()
    }

    fn own(&self) -> Option<&Worker> {
        self.shared.workers.get(self.own)
    }

    /// All workers, the one of this handle first.
    fn own_first(&self) -> impl Iterator<Item = (usize, &Worker)> {
        let workers = self.shared.workers.iter().enumerate();
        workers.clone().skip(self.own).chain(workers.take(self.own))
    }
}

impl Worker {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entered {
    /// Notes that the request is ending without its answer, so that nobody knows how long the
    /// application goes on with it.
    pub const fn abandon(&mut self) {
        self.is_abandoned = true;
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Some(own) = self.table.own() else { return };
        own.open.fetch_sub(1, Ordering::Relaxed);
        let now = self.is_abandoned.then(Instant::now);
        own.table().leave(self.slot, now);
    }
}

#[cfg(test)]
mod tests;
