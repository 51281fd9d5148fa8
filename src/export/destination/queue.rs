//! What waits in memory for one destination: bounded in bytes and in spans.
//!
//! When there is no room, something is given up and counted, by the policy that is set; spans with
//! errors go last, whatever the policy. Nobody ever waits for room.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::accounts::Accounts;
use super::spooling::Whole;
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
    /// The disk does not take it.
    pub(super) is_for_memory: bool,
    /// The record on the disk that it is part of, which is settled when nothing holds this any more.
    pub(super) part_of: Option<Arc<Whole>>,
}

impl From<Parcel> for Waiting {
    fn from(parcel: Parcel) -> Self {
        Self { parcel, tried_since: None, is_for_memory: false, part_of: None }
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
    /// The bytes of what is on its way, in every form it has there.
    flying: usize,
    /// The bytes of what was read from the disk to be sent again.
    replayed: usize,
    /// Nobody comes for what waits any more.
    is_closed: bool,
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
            replayed: 0,
            is_closed: false,
            is_turn_of_new: false,
        }
    }

    /// Takes spans in, and gives up what there is no room for.
    pub(super) fn push(&mut self, batch: &Arc<SpanBatch>) {
        if let Some(reason) = self.refuses(batch.size()) {
            return self.accounts.dropped(Signal::Traces, reason, batch.len());
        }
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
        let Parcel { signal, items, has_error, ref message } = parcel;
        if let Some(reason) = self.refuses(message.len()) {
            return self.accounts.dropped(signal, reason, items);
        }
        let is_new_first = self.limits.when_full == WhenFull::DropNewest;
        while !self.has_room(message.len(), 0) {
            let is_next_to_go = is_new_first && !has_error;
            if is_next_to_go || !self.give_up_one(has_error && !is_new_first) {
                return self.accounts.dropped(signal, DropReason::QueueFull, items);
            }
        }
        self.hold(parcel.into());
    }

    /// Why so many bytes are not taken in, whatever is given up for them.
    fn refuses(&self, bytes: usize) -> Option<DropReason> {
        if self.is_closed {
            return Some(DropReason::Shutdown);
        }
        let is_too_much = bytes + self.flying + self.replayed > self.limits.bytes;
        is_too_much.then_some(DropReason::QueueFull)
    }

    /// Takes back what could not be sent, behind whatever else was taken back.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        self.flying = self.flying.saturating_sub(waiting.parcel.message.len());
        self.hold(waiting);
    }

    /// Takes in a parcel that had room already, as it is or as a part of another.
    pub(super) fn hold(&mut self, waiting: Waiting) {
        self.parcel_bytes += waiting.parcel.message.len();
        self.parcels.push_back(waiting);
        self.keep_within_bounds();
    }

    /// Gives up what is too much: spans take up more when they are encoded, and more again when they
    /// are packed.
    fn keep_within_bounds(&mut self) {
        while self.bytes() > self.limits.bytes && self.give_up_one(true) {}
    }

    /// Notes that what is on its way takes up so much more.
    pub(super) fn packed(&mut self, bytes: usize) {
        self.flying += bytes;
        self.keep_within_bounds();
    }

    /// Notes that so much was read from the disk.
    pub(super) fn replays(&mut self, bytes: usize) {
        self.replayed += bytes;
        self.keep_within_bounds();
    }

    /// Notes that so much of what was read from the disk has been settled.
    pub(super) fn replayed(&mut self, bytes: usize) {
        self.replayed = self.replayed.saturating_sub(bytes);
    }

    /// Whether more may be read from the disk.
    pub(super) const fn may_replay(&self) -> bool {
        self.replayed * 4 <= self.limits.bytes
    }

    /// Notes that a parcel that was taken out has been settled.
    pub(super) fn settled(&mut self, bytes: usize) {
        self.flying = self.flying.saturating_sub(bytes);
    }

    /// Gives up all that waits and all that will come, and tells how much waited.
    pub(super) fn abandon(&mut self, reason: DropReason) -> usize {
        self.is_closed = true;
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
            || self.batch_bytes >= self.parcel_size()
    }

    /// How many bytes of spans make a parcel: few enough that the rest has room while it is sent.
    fn parcel_size(&self) -> usize {
        PARCEL_BYTES.min(self.limits.bytes / 8)
    }

    /// When what has waited longest came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.batches.front().map(|arrived| arrived.at)
    }

    /// Takes out the next parcel.
    pub(super) fn next(&mut self, encoder: &Encoder) -> Option<Waiting> {
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
        Some(self.taken_out(waiting))
    }

    /// Takes out the next parcel that the disk may take.
    pub(super) fn next_to_keep(&mut self, encoder: &Encoder) -> Option<Waiting> {
        let stored = self.parcels.iter().position(|waiting| !waiting.is_for_memory);
        let stored = stored.and_then(|at| self.take(at));
        let waiting = stored.or_else(|| self.encoded(encoder))?;
        Some(self.taken_out(waiting))
    }

    /// Whether there is one.
    pub(super) fn has_some_to_keep(&self) -> bool {
        !self.batches.is_empty() || self.parcels.iter().any(|waiting| !waiting.is_for_memory)
    }

    fn taken_out(&mut self, waiting: Waiting) -> Waiting {
        self.flying += waiting.parcel.message.len();
        self.keep_within_bounds();
        waiting
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

    fn encoded(&mut self, encoder: &Encoder) -> Option<Waiting> {
        let items = self.next_spans();
        if items == 0 {
            return None;
        }
        let batches = self.batches.iter();
        let spans = batches.flat_map(|arrived| arrived.batch.iter()).skip(self.taken).take(items);
        let has_error = spans.clone().any(|view| view.span.status == Status::Error);
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
            if bytes >= self.parcel_size() || spans - self.taken >= self.limits.parcel_spans {
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
        self.batch_bytes + self.parcel_bytes + self.flying + self.replayed
    }

    /// Whether so much more is taken in without anything being given up.
    pub(super) const fn accepts(&self, bytes: usize) -> bool {
        !self.is_closed && self.has_room(bytes, 0)
    }

    /// Whether so much more finds room.
    const fn has_room(&self, bytes: usize, spans: usize) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::{books, number, span};
    use crate::metrics::{Counter, Registry, SPANS_CREATED};
    use crate::trace::resource::Resource;
    use crate::trace::span::{Attributes, Span};
    use proptest::prelude::*;

    /// A queue as its owners use it, and what it must not lose sight of.
    struct Model {
        registry: Registry,
        created: Counter,
        queue: Queue,
        encoder: Encoder,
        flying: Vec<Waiting>,
    }

    impl Model {
        fn new(bytes: usize, spans: usize, when_full: WhenFull) -> Self {
            let registry = Registry::default();
            let accounts = Accounts::open(&registry, "otlp", |_| true);
            let limits = Limits { bytes, spans, parcel_spans: 5, when_full };
            Self {
                created: registry.counter(SPANS_CREATED, &[]),
                queue: Queue::new(limits, accounts),
                encoder: Encoder::new(&Resource::new(None, &[])),
                flying: Vec::new(),
                registry,
            }
        }

        fn push(&mut self, errors: &[bool]) {
            self.created.add(errors.len() as u64);
            self.queue.push(&batch(errors));
        }

        fn push_parcel(&mut self, items: usize, bytes: usize, has_error: bool) {
            self.created.add(items as u64);
            let message = vec![0; bytes].into();
            let parcel = Parcel { signal: Signal::Traces, items, has_error, message };
            self.queue.push_parcel(parcel);
        }

        fn take(&mut self) -> usize {
            let Some(waiting) = self.queue.next(&self.encoder) else { return 0 };
            let items = waiting.parcel.items;
            self.flying.push(waiting);
            items
        }

        /// What waits without an error, and with one.
        fn waits(&self) -> [usize; 2] {
            let mut found = [0, 0];
            let all = self.queue.batches.iter().flat_map(|arrived| arrived.batch.iter());
            for view in all.skip(self.queue.taken) {
                found[usize::from(view.span.status == Status::Error)] += 1;
            }
            for Waiting { parcel, .. } in &self.queue.parcels {
                found[usize::from(parcel.has_error)] += parcel.items;
            }
            found
        }

        fn lost(&self) -> u64 {
            number(&self.registry, "dropped_total", "queue_full")
        }

        fn check(&self) {
            let Queue { flying, spans, batch_bytes, parcel_bytes, .. } = &self.queue;
            let batches = self.queue.batches.iter();
            assert_eq!(batches.map(|arrived| arrived.batch.size()).sum::<usize>(), *batch_bytes);
            let length = |waiting: &Waiting| waiting.parcel.message.len();
            assert_eq!(self.queue.parcels.iter().map(length).sum::<usize>(), *parcel_bytes);
            assert_eq!(self.flying.iter().map(length).sum::<usize>(), *flying);
            let of_parcels: usize = self.queue.parcels.iter().map(|w| w.parcel.items).sum();
            assert_eq!(self.waits().iter().sum::<usize>(), spans + of_parcels);
            assert!(*spans <= self.queue.limits.spans);
            let first = self.queue.batches.front().map_or(0, |arrived| arrived.batch.len());
            assert!(self.queue.taken < first.max(1));
            assert!(self.queue.bytes() <= self.queue.limits.bytes || self.queue.is_empty());
            books(&self.registry);
            let owed: usize = self.flying.iter().map(|waiting| waiting.parcel.items).sum();
            let queued = number(&self.registry, "queued", "");
            assert_eq!(queued, (spans + of_parcels + owed) as u64);
        }
    }

    fn batch(errors: &[bool]) -> Arc<SpanBatch> {
        let mut batch = SpanBatch::default();
        for &is_error in errors {
            let status = if is_error { Status::Error } else { Status::Unset };
            batch.push(Span { status, ..span() }, &[b"GET"], b"", &Attributes::default());
        }
        Arc::new(batch)
    }

    const BOTH: [WhenFull; 2] = [WhenFull::DropOldest, WhenFull::DropNewest];

    #[test]
    fn without_errors_the_policy_says_what_goes() {
        for (when_full, kept) in [(WhenFull::DropOldest, [4, 5]), (WhenFull::DropNewest, [3, 4])] {
            let mut model = Model::new(1 << 20, 10, when_full);
            for spans in [3, 4, 5] {
                model.push(&vec![false; spans]);
            }
            let left: Vec<_> = model.queue.batches.iter().map(|a| a.batch.len()).collect();
            assert_eq!(left, kept, "{when_full:?}");
            model.check();
        }
    }

    #[test]
    fn errors_stay_when_others_come_and_others_go_when_errors_come() {
        for when_full in BOTH {
            let mut model = Model::new(1 << 20, 6, when_full);
            model.push(&[true, false, true]);
            model.push(&[true, true, true]);
            model.push(&[false, true, false]);
            assert_eq!((model.waits(), model.lost()), ([0, 6], 3), "{when_full:?}");
            model.push(&[false; 6]);
            assert_eq!((model.waits(), model.lost()), ([0, 6], 9), "{when_full:?}");
            model.check();
        }
    }

    #[test]
    fn among_errors_the_policy_says_what_goes() {
        for (when_full, kept) in [(WhenFull::DropOldest, 2), (WhenFull::DropNewest, 4)] {
            let mut model = Model::new(1 << 20, 5, when_full);
            model.push(&[true; 4]);
            model.push(&[true; 2]);
            assert_eq!(model.waits(), [0, kept], "{when_full:?}");
            let mut model = Model::new(1_000, 100, when_full);
            model.push_parcel(4, 600, true);
            model.push_parcel(2, 600, true);
            assert_eq!(model.waits(), [0, kept], "parcels, {when_full:?}");
            model.check();
        }
    }

    #[test]
    fn what_never_finds_room_pushes_nothing_out() {
        for when_full in BOTH {
            let mut model = Model::new(2_000, 100, when_full);
            model.push(&[false, true]);
            model.push_parcel(7, 2_001, true);
            model.push(&[true; 50]);
            assert_eq!((model.waits(), model.lost()), ([1, 1], 57), "{when_full:?}");
            model.check();
        }
    }

    #[test]
    fn spans_that_were_taken_are_neither_counted_nor_sent_again() {
        let mut model = Model::new(1 << 20, 8, WhenFull::DropOldest);
        model.push(&[true, false, true, false, true, false, true]);
        assert_eq!(model.take(), 5);
        assert_eq!(model.waits(), [1, 1]);
        model.push(&[false; 7]);
        assert_eq!((model.waits(), model.lost()), ([7, 1], 1));
        assert_eq!((model.take(), model.take(), model.take()), (5, 3, 0));
        model.check();
    }

    #[test]
    fn after_the_end_nothing_is_taken_in_any_more() {
        let mut model = Model::new(1 << 20, 8, WhenFull::DropOldest);
        model.push(&[false; 3]);
        assert_eq!(model.queue.abandon(DropReason::Shutdown), 3);
        model.push(&[true; 2]);
        model.push_parcel(1, 10, true);
        assert_eq!(books(&model.registry), [6, 0, 0, 0, 0, 6]);
        assert!(!model.queue.accepts(1));
        model.check();
    }

    #[derive(Clone, Debug)]
    enum Action {
        Push(Vec<bool>),
        Parcel(usize, usize, bool),
        Take,
        Settle(usize),
        PutBack(usize),
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            4 => proptest::collection::vec(any::<bool>(), 1..12).prop_map(Action::Push),
            2 => (1_usize..9, 0_usize..900, any::<bool>())
                .prop_map(|(items, bytes, has_error)| Action::Parcel(items, bytes, has_error)),
            3 => Just(Action::Take),
            1 => any::<usize>().prop_map(Action::Settle),
            2 => any::<usize>().prop_map(Action::PutBack),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_uncounted_and_errors_go_last(
            actions in proptest::collection::vec(action(), 1..60),
            bytes in 1_000_usize..12_000,
            spans in 5_usize..60,
            is_oldest: bool,
        ) {
            let when_full = BOTH[usize::from(!is_oldest)];
            let mut model = Model::new(bytes, spans, when_full);
            for action in actions {
                let [_, errors] = model.waits();
                let before = model.lost();
                let mut come = 0;
                let mut is_exempt = false;
                match action {
                    Action::Push(all) => {
                        come = all.iter().filter(|is_error| **is_error).count();
                        is_exempt = model.queue.refuses(batch(&all).size()).is_some();
                        model.push(&all);
                    }
                    Action::Parcel(items, bytes, has_error) => {
                        come = if has_error { items } else { 0 };
                        is_exempt = model.queue.refuses(bytes).is_some();
                        model.push_parcel(items, bytes, has_error);
                    }
                    Action::Take => {
                        is_exempt = true;
                        model.take();
                    }
                    Action::Settle(which) if !model.flying.is_empty() => {
                        let Waiting { parcel, .. } =
                            model.flying.swap_remove(which % model.flying.len());
                        model.queue.settled(parcel.message.len());
                        model.queue.accounts.spans().exported(parcel.items as u64);
                    }
                    Action::PutBack(which) if !model.flying.is_empty() => {
                        let mut waiting = model.flying.swap_remove(which % model.flying.len());
                        come = if waiting.parcel.has_error { waiting.parcel.items } else { 0 };
                        waiting.tried_since.get_or_insert_with(Instant::now);
                        model.queue.put_back(waiting);
                    }
                    _ => {}
                }
                model.check();
                let [others, left] = model.waits();
                let is_error_lost = model.lost() > before && left < errors + come;
                prop_assert!(is_exempt || !is_error_lost || others == 0, "an error went first");
            }
            let owed: usize = model.flying.iter().map(|waiting| waiting.parcel.items).sum();
            model.queue.abandon(DropReason::Shutdown);
            prop_assert_eq!(number(&model.registry, "queued", ""), owed as u64);
        }
    }
}
