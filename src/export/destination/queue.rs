//! What waits in memory for one destination: bounded in bytes and in spans.
//!
//! When there is no room, something is given up and counted, by the policy that is set; spans with
//! errors go last, whatever the policy. Nobody ever waits for room.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::accounts::Accounts;
use crate::export::WhenFull;
use crate::export::encode::Encoder;
use crate::export::parcel::{Parcel, Signal};
use crate::metrics::DropReason;
use crate::trace::span::{SpanBatch, Status};

/// A parcel is made when its spans take up this many bytes in memory, however few they are.
/// Encoded they are at most a few times that, below the 4 MiB that receivers often stop at.
const PARCEL_BYTES: usize = 1024 * 1024;

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct Limits {
    /// The most bytes that wait or are on their way.
    pub(in crate::export) bytes: usize,
    /// The most spans that wait.
    pub(in crate::export) spans: usize,
    /// The most spans of one parcel.
    pub(in crate::export) parcel_spans: usize,
    /// What is given up.
    pub(in crate::export) when_full: WhenFull,
}

/// A parcel that waits, and since when it was tried without success.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) parcel: Parcel,
    pub(super) tried_since: Option<Instant>,
}

impl From<Parcel> for Waiting {
    fn from(parcel: Parcel) -> Self {
        Self { parcel, tried_since: None }
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    accounts: Accounts,
    /// What was taken out once, and parcels that come as such: they are due at once.
    parcels: VecDeque<Waiting>,
    /// In the order they came.
    batches: VecDeque<Arrived>,
    /// How many spans of the first batch are taken already.
    taken: usize,
    spans: usize,
    /// The bytes of the batches.
    batch_bytes: usize,
    /// The bytes of the parcels.
    parcel_bytes: usize,
    /// The bytes of what is on its way.
    flying: usize,
    is_turn_of_new: bool,
}

#[derive(Debug)]
struct Arrived {
    at: Instant,
    batch: Arc<SpanBatch>,
    /// There is nothing in it any more that goes before spans with errors.
    has_errors_only: bool,
}

impl Queue {
    pub(super) const fn new(limits: Limits, accounts: Accounts) -> Self {
        Self {
            limits,
            accounts,
            parcels: VecDeque::new(),
            batches: VecDeque::new(),
            taken: 0,
            spans: 0,
            batch_bytes: 0,
            parcel_bytes: 0,
            flying: 0,
            is_turn_of_new: false,
        }
    }

    /// Takes spans in, and gives up what there is no room for.
    pub(super) fn push(&mut self, batch: &Arc<SpanBatch>) {
        let mut batch = Arc::clone(batch);
        if self.limits.when_full == WhenFull::DropNewest
            && !self.has_room(batch.size(), batch.len())
        {
            batch = Arc::new(self.only_errors(&batch, 0));
        }
        let mut has_errors_only = batch.is_empty();
        while !self.has_room(batch.size(), batch.len()) && !batch.is_empty() {
            let may_be_error = has_errors_only && self.limits.when_full == WhenFull::DropOldest;
            if self.give_up_one(may_be_error) {
                continue;
            }
            if has_errors_only {
                return self.accounts.dropped(Signal::Traces, DropReason::QueueFull, batch.len());
            }
            batch = Arc::new(self.only_errors(&batch, 0));
            has_errors_only = true;
        }
        if !batch.is_empty() {
            self.spans += batch.len();
            self.batch_bytes += batch.size();
            self.batches.push_back(Arrived { at: Instant::now(), batch, has_errors_only });
        }
    }

    /// Takes a parcel in, and gives up what there is no room for.
    pub(super) fn push_parcel(&mut self, parcel: Parcel) {
        while !self.has_room(parcel.message.len(), 0) {
            let is_last = self.limits.when_full == WhenFull::DropNewest && !parcel.has_error;
            if is_last || !self.give_up_one(parcel.has_error) {
                let Parcel { signal, items, .. } = parcel;
                return self.accounts.dropped(signal, DropReason::QueueFull, items);
            }
        }
        self.hold(parcel.into());
    }

    /// Takes back what could not be sent, behind whatever else was taken back.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        self.flying = self.flying.saturating_sub(waiting.parcel.message.len());
        self.hold(waiting);
    }

    /// Takes in a parcel that needs no room of its own, as what it is part of had some.
    pub(super) fn hold(&mut self, waiting: Waiting) {
        self.parcel_bytes += waiting.parcel.message.len();
        self.parcels.push_back(waiting);
    }

    /// Notes that a parcel that was taken out has been settled.
    pub(super) fn settled(&mut self, bytes: usize) {
        self.flying = self.flying.saturating_sub(bytes);
    }

    /// Gives up all that waits, and tells how much that was.
    pub(super) fn abandon(&mut self, reason: DropReason) -> usize {
        let spans = std::mem::take(&mut self.spans);
        self.accounts.dropped(Signal::Traces, reason, spans);
        self.batches.clear();
        (self.taken, self.batch_bytes, self.parcel_bytes) = (0, 0, 0);
        let mut left = spans;
        for Waiting { parcel, .. } in std::mem::take(&mut self.parcels) {
            self.accounts.dropped(parcel.signal, reason, parcel.items);
            left += parcel.items;
        }
        left
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty() && self.batches.is_empty()
    }

    /// Whether less than half of the room is left.
    pub(super) const fn is_half_full(&self) -> bool {
        self.bytes() * 2 > self.limits.bytes || self.spans * 2 > self.limits.spans
    }

    /// Whether so much is on its way that the rest had better wait.
    pub(super) const fn is_flying_high(&self) -> bool {
        self.flying * 4 > self.limits.bytes
    }

    /// Whether there is a parcel to be sent without waiting for more.
    pub(super) fn is_full(&self) -> bool {
        !self.parcels.is_empty()
            || self.spans >= self.limits.parcel_spans
            || self.batch_bytes >= PARCEL_BYTES
    }

    /// When what has waited longest came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.batches.front().map(|arrived| arrived.at)
    }

    /// Takes out the next parcel.
    pub(super) fn next(&mut self, encoder: &mut Encoder) -> Option<Waiting> {
        // What failed before and what is new have their turns, so that nothing which never arrives
        // holds up what would.
        let is_turn_of_new = self.is_turn_of_new;
        self.is_turn_of_new = !is_turn_of_new;
        let waiting = match self.parcels.front() {
            Some(first) if first.tried_since.is_some() && is_turn_of_new => {
                self.untried().or_else(|| self.encoded(encoder)).or_else(|| self.returned())
            }
            _ => self.returned().or_else(|| self.encoded(encoder)),
        }?;
        self.flying += waiting.parcel.message.len();
        Some(waiting)
    }

    fn untried(&mut self) -> Option<Waiting> {
        self.take(self.parcels.iter().position(|waiting| waiting.tried_since.is_none())?)
    }

    fn returned(&mut self) -> Option<Waiting> {
        self.take(0)
    }

    fn take(&mut self, at: usize) -> Option<Waiting> {
        let waiting = self.parcels.remove(at)?;
        self.parcel_bytes -= waiting.parcel.message.len();
        Some(waiting)
    }

    fn encoded(&mut self, encoder: &mut Encoder) -> Option<Waiting> {
        let items = self.next_spans();
        if items == 0 {
            return None;
        }
        let batches = self.batches.iter();
        let spans = batches.flat_map(|arrived| arrived.batch.iter()).skip(self.taken).take(items);
        let mut has_error = false;
        let spans = spans.inspect(|view| has_error |= view.span.status == Status::Error);
        let message = encoder.encode(spans).into();
        self.forget(items);
        Some(Parcel { signal: Signal::Traces, items, has_error, message }.into())
    }

    /// How many spans the next parcel has: not none while there are any.
    fn next_spans(&self) -> usize {
        let mut spans = 0;
        let mut bytes = 0;
        for Arrived { batch, .. } in &self.batches {
            spans += batch.len();
            bytes += batch.size();
            if bytes >= PARCEL_BYTES || spans - self.taken >= self.limits.parcel_spans {
                break;
            }
        }
        (spans - self.taken).min(self.limits.parcel_spans.max(1))
    }

    /// Lets go of the first `spans`, and of each batch whose spans are all gone.
    fn forget(&mut self, spans: usize) {
        self.spans -= spans;
        self.taken += spans;
        while let Some(first) = self.batches.front()
            && self.taken >= first.batch.len()
        {
            self.taken -= first.batch.len();
            self.batch_bytes -= first.batch.size();
            self.batches.pop_front();
        }
    }

    /// The bytes of all that is held.
    const fn bytes(&self) -> usize {
        self.batch_bytes + self.parcel_bytes + self.flying
    }

    /// Whether so much more finds room.
    pub(super) const fn has_room(&self, bytes: usize, spans: usize) -> bool {
        self.bytes() + bytes <= self.limits.bytes && self.spans + spans <= self.limits.spans
    }

    /// Gives something up: what has waited longest, where that has no error; `false` if there is
    /// nothing, or nothing but errors while those may not go.
    fn give_up_one(&mut self, may_be_error: bool) -> bool {
        if let Some(at) = self.parcels.iter().position(|w| !w.parcel.has_error) {
            return self.give_up_parcel(at);
        }
        if let Some(at) = self.batches.iter().position(|arrived| !arrived.has_errors_only) {
            self.thin_out(at);
            return true;
        }
        if !may_be_error {
            return false;
        }
        if !self.parcels.is_empty() {
            return self.give_up_parcel(0);
        }
        let Some(oldest) = self.batches.pop_front() else { return false };
        let lost = oldest.batch.len() - std::mem::take(&mut self.taken);
        self.spans -= lost;
        self.batch_bytes -= oldest.batch.size();
        self.accounts.dropped(Signal::Traces, DropReason::QueueFull, lost);
        true
    }

    fn give_up_parcel(&mut self, at: usize) -> bool {
        let Some(Waiting { parcel, .. }) = self.parcels.remove(at) else { return false };
        self.parcel_bytes -= parcel.message.len();
        self.accounts.dropped(parcel.signal, DropReason::QueueFull, parcel.items);
        true
    }

    /// Leaves of a batch only the spans with errors.
    fn thin_out(&mut self, at: usize) {
        let taken = if at == 0 { std::mem::take(&mut self.taken) } else { 0 };
        let Some(arrived) = self.batches.get(at) else { return };
        let all = Arc::clone(&arrived.batch);
        let kept = self.only_errors(&all, taken);
        self.spans -= all.len() - taken - kept.len();
        self.batch_bytes -= all.size();
        if kept.is_empty() {
            self.batches.remove(at);
        } else if let Some(arrived) = self.batches.get_mut(at) {
            self.batch_bytes += kept.size();
            arrived.batch = Arc::new(kept);
            arrived.has_errors_only = true;
        }
    }

    /// The spans with errors from the number `from` on; the others are counted as dropped.
    fn only_errors(&self, batch: &SpanBatch, from: usize) -> SpanBatch {
        let kept = batch.select(from, |view| view.span.status == Status::Error);
        let lost = batch.len() - from - kept.len();
        self.accounts.dropped(Signal::Traces, DropReason::QueueFull, lost);
        kept
    }
}
