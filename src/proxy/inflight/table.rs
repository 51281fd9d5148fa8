//! The inbound requests of one worker.
//!
//! Requests live in slots that are used again, with the room for their keys, so that a request
//! costs no allocation once its like has been there. A key remembers how many hold it and the
//! exclusive or of their slots, which is the slot itself where one does.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::vec_deque::VecDeque;
use std::time::{Duration, Instant};

use super::{Cause, Inbound, Key};
use crate::trace::tenant::TenantId;
use crate::trace::{TraceContext, TraceId};

/// How long the keys of a request stay taken that ended without its answer: the application may
/// not know that its client hung up, and still make calls for it, while the same client tries
/// again with the same key. An application that goes on for longer than this is rare.
///
/// The keys of a request that was answered are free at once. What an application does after its
/// answer is the exception; that a caller makes one call after the other with one key is not.
pub(super) const GHOST_TIME: Duration = Duration::from_secs(60);
/// The most such requests that one worker remembers; beyond, the oldest are forgotten, and of
/// their keys only so much is kept as it takes not to be wrong.
pub(super) const MAX_GHOSTS: usize = 1024;
/// The places for keys of ghosts that were forgotten before their time. Keys that share a place
/// are taken for each other, so that the more are forgotten the fewer calls are joined.
const MAX_DOUBTS: usize = 4096;

/// The requests of one worker.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
    traces: HashMap<TraceId, Trace>,
    keys: HashMap<Key, Holders>,
    /// Of the requests in flight, ghosts not among them.
    requests: Holders,
    /// The slots of requests that ended without an answer, and when, the oldest first.
    ghosts: VecDeque<(Instant, usize)>,
    /// When the last request ended that way, with keys or without.
    last_abandoned: Option<Instant>,
    /// When a ghost was last forgotten before its time that held a key of this place: since when
    /// it was one. Empty until that happens.
    doubts: Vec<Option<Instant>>,
}

/// What is known of the requests of one trace.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    requests: usize,
    pub(super) tenant: Option<TenantId>,
    /// Whether requests of several tenants share the trace, so that none can be told.
    pub(super) is_mixed: bool,
}

#[derive(Debug, Default)]
struct Slot {
    context: Option<TraceContext>,
    is_carried: bool,
    tenant: Option<TenantId>,
    trace_state: Option<Box<[u8]>>,
    keys: Vec<Key>,
    is_ghost: bool,
}

/// So many slots, and all of them by exclusive or.
#[derive(Clone, Copy, Debug, Default)]
struct Holders {
    count: usize,
    slots: usize,
}

/// A request that alone, in its table, holds one of the keys of a call.
#[derive(Debug)]
pub(super) struct Candidate {
    table: usize,
    slot: usize,
    /// Which of the call's keys it holds, one bit each.
    holds: u32,
    /// What a call of its continues; `None` for ghosts and for requests without a trace.
    pub(super) cause: Option<Cause>,
}

impl Candidate {
    /// Whether it holds the key at this place among those of the call.
    pub(super) fn holds(&self, at: usize) -> bool {
        u32::try_from(at).ok().and_then(|at| self.holds.checked_shr(at)).unwrap_or(0) & 1 == 1
    }
}

impl Holders {
    const fn add(&mut self, slot: usize) {
        self.count += 1;
        self.slots ^= slot;
    }

    const fn remove(&mut self, slot: usize) {
        self.count -= 1;
        self.slots ^= slot;
    }

    const fn sole(self) -> Option<usize> {
        if self.count == 1 { Some(self.slots) } else { None }
    }
}

impl Table {
    /// Takes a request in, and gives its slot.
    pub(super) fn enter(&mut self, inbound: &Inbound<'_>) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        if let Some(slot) = self.slots.get_mut(at) {
            slot.context = inbound.context;
            slot.is_carried = inbound.is_carried;
            slot.tenant = inbound.tenant.cloned();
            let state = inbound.trace_state;
            slot.trace_state = (!state.is_empty()).then(|| state.into());
            for key in inbound.keys {
                // Two headers of one kind may have said the same.
                if !slot.keys.contains(key) {
                    slot.keys.push(*key);
                    self.keys.entry(*key).or_default().add(at);
                }
            }
        }
        self.requests.add(at);
        if let Some(context) = inbound.context.filter(|_| inbound.is_carried) {
            let tenant = inbound.tenant;
            let fresh = || Trace { requests: 0, tenant: tenant.cloned(), is_mixed: false };
            let trace = self.traces.entry(context.trace_id).or_insert_with(fresh);
            trace.requests += 1;
            trace.is_mixed |= trace.tenant.as_ref() != tenant;
        }
        at
    }

    /// Lets a request go; one that was abandoned at this time leaves a ghost.
    pub(super) fn leave(&mut self, at: usize, abandoned: Option<Instant>) {
        self.requests.remove(at);
        let Some(slot) = self.slots.get_mut(at) else { return };
        if let Some(context) = slot.context.filter(|_| slot.is_carried)
            && let Entry::Occupied(mut trace) = self.traces.entry(context.trace_id)
        {
            trace.get_mut().requests -= 1;
            if trace.get().requests == 0 {
                trace.remove();
            }
        }
        self.last_abandoned = abandoned.or(self.last_abandoned);
        match abandoned {
            Some(now) if !slot.keys.is_empty() => {
                slot.is_ghost = true;
                slot.trace_state = None;
                self.ghosts.push_back((now, at));
                self.forget_ghosts(now);
            }
            _ => self.release(at),
        }
    }

    /// Forgets the requests whose time is over, and the oldest where there are too many.
    pub(super) fn forget_ghosts(&mut self, now: Instant) {
        while let Some((since, at)) = self.ghosts.front().copied() {
            let is_over = now.saturating_duration_since(since) >= GHOST_TIME;
            if !is_over && self.ghosts.len() <= MAX_GHOSTS {
                return;
            }
            self.ghosts.pop_front();
            if !is_over {
                self.doubt(at, since);
            }
            self.release(at);
        }
    }

    /// Keeps of a ghost that some keys are in doubt.
    fn doubt(&mut self, at: usize, since: Instant) {
        self.doubts.resize(MAX_DOUBTS, None);
        for key in self.slots.get(at).into_iter().flat_map(|slot| &slot.keys) {
            if let Some(place) = self.doubts.get_mut(place(*key)) {
                *place = Some(since);
            }
        }
    }

    /// Whether a ghost that was forgotten may have held this key, and still be worked on.
    fn is_doubted(&self, key: Key, now: Instant) -> bool {
        let since = self.doubts.get(place(key)).copied().flatten();
        since.is_some_and(|since| now.saturating_duration_since(since) < GHOST_TIME)
    }

    /// What is known of the requests of a trace.
    pub(super) fn trace(&self, trace_id: TraceId) -> Option<&Trace> {
        self.traces.get(&trace_id)
    }

    /// How many requests there are.
    pub(super) const fn requests(&self) -> usize {
        self.requests.count
    }

    /// The context of the only request.
    pub(super) fn sole(&self) -> Option<TraceContext> {
        self.slots.get(self.requests.sole()?)?.context
    }

    /// Whether a request without an answer may still be worked on.
    pub(super) fn is_haunted(&self, now: Instant) -> bool {
        self.last_abandoned.is_some_and(|at| now.saturating_duration_since(at) < GHOST_TIME)
    }

    /// Adds how many hold each of these keys, and those that hold one alone.
    pub(super) fn add_holders(
        &self,
        (table, now): (usize, Instant),
        keys: &[Key],
        counts: &mut [usize],
        candidates: &mut Vec<Candidate>,
    ) {
        for (key, count) in keys.iter().zip(counts) {
            *count += usize::from(self.is_doubted(*key, now));
            let Some(holders) = self.keys.get(key) else { continue };
            *count += holders.count;
            let Some(slot) = holders.sole() else { continue };
            if candidates.iter().any(|one| (one.table, one.slot) == (table, slot)) {
                continue;
            }
            candidates.extend(self.candidate(table, slot, keys));
        }
    }

    fn candidate(&self, table: usize, at: usize, keys: &[Key]) -> Option<Candidate> {
        let slot = self.slots.get(at)?;
        let holds =
            keys.iter().rev().fold(0, |holds, key| holds << 1 | u32::from(slot.keys.contains(key)));
        let context = slot.context.filter(|_| !slot.is_ghost);
        let cause = context.map(|context| Cause {
            context,
            is_carried: slot.is_carried,
            tenant: slot.tenant.clone(),
            trace_state: slot.trace_state.clone(),
        });
        Some(Candidate { table, slot: at, holds, cause })
    }

    fn release(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        for key in slot.keys.drain(..) {
            if let Entry::Occupied(mut holders) = self.keys.entry(key) {
                holders.get_mut().remove(at);
                if holders.get().count == 0 {
                    holders.remove();
                }
            }
        }
        let keys = std::mem::take(&mut slot.keys);
        *slot = Slot { keys, ..Slot::default() };
        self.free.push(at);
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 4] {
        [self.slots.len() - self.free.len(), self.keys.len(), self.traces.len(), self.ghosts.len()]
    }
}

/// Where among the doubts a key is.
const fn place(key: Key) -> usize {
    key.0 as usize % MAX_DOUBTS
}
