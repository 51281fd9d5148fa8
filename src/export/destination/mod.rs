//! One destination: what waits for it, what is on its way, and what became of it.
//!
//! Each has a task of its own, so that one that is down slows no other. While attempts succeed,
//! several parcels are on their way; after a failure it is one at a time, as [`breaker`] says. What
//! is found too large, or malformed, is cut in two until the part that is at fault stands alone.

mod accounts;
mod backoff;
mod breaker;
mod cut;
mod door;
mod flights;
mod queue;
#[cfg(test)]
mod spool_tests;
mod spooling;
mod standing;
mod terms;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

pub(super) use accounts::Accounts;
use breaker::Breaker;
pub(super) use door::Door;
use flights::{Flight, Flights};
pub(super) use queue::Limits;
use queue::{Queue, Waiting};
use spooling::{Done, Noted, Spooling};
use standing::Standing;
pub(super) use terms::{Phase, Terms, Times};

use super::encode::Encoder;
use super::exporter::{Exporter, Outcome, Unfit};
use super::parcel::Parcel;
use super::spool::Ticket;
use crate::metrics::{Books, DropReason};

/// How often parcels are cut because they were found malformed, until one arrives: enough to find
/// several spans at fault, and few where everything is refused.
const MOST_CUTS: u32 = 64;

/// How long it is believed that what is as long as something refused as too large is refused, too.
const LONGEST_HOLDS: Duration = Duration::from_mins(10);

/// How soon something is to be known of the canary.
const CANARY_PATIENCE: Duration = Duration::from_secs(1);

/// How long a spool may take to be closed: a disk that hangs must not keep the process from ending.
const CLOSING: Duration = Duration::from_secs(2);

/// Where a parcel comes from, and would have to go back to.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Memory,
    Disk(Ticket),
}

/// A destination, to be run on the control thread.
#[derive(Debug)]
pub(super) struct Destination {
    name: String,
    door: Door,
    exporter: Box<dyn Exporter>,
    encoder: Encoder,
    accounts: Accounts,
    times: Times,
    breaker: Breaker,
    standing: Standing,
    /// When the canary was sent off, until something is known of it.
    canary: Option<Instant>,
    /// With each, the bytes that it takes up packed, beside its message.
    flights: Flights<(Origin, usize)>,
    spooling: Option<Spooling>,
    /// How many more malformed parcels are cut.
    cuts: u32,
    /// The longest message that it takes, in bytes, and until when that is believed.
    longest: Option<(usize, Instant)>,
    is_turn_of_disk: bool,
    last_delivery: Option<Instant>,
}

impl Destination {
    pub(super) fn new(
        name: &str,
        door: Door,
        exporter: Box<dyn Exporter>,
        encoder: Encoder,
        accounts: Accounts,
        terms: Terms,
    ) -> Self {
        let Terms { times, spool, has_canary, reach } = terms;
        let spooling = spool.map(|config| Spooling::new(name, config, accounts.clone()));
        let standing = Standing::new(name, exporter.url(), reach);
        Self {
            name: name.to_owned(),
            door,
            exporter,
            encoder,
            accounts,
            times,
            breaker: Breaker::new(RandomState::new().build_hasher().finish()),
            standing,
            canary: has_canary.then(Instant::now),
            flights: Flights::new(),
            spooling,
            cuts: MOST_CUTS,
            longest: None,
            is_turn_of_disk: true,
            last_delivery: None,
        }
    }

    /// Sends what comes in, until it is told to end.
    pub(super) async fn run(mut self, mut phase: watch::Receiver<Phase>) {
        let door = self.door.clone();
        let reserve = loop {
            let now = *phase.borrow_and_update();
            if let Phase::Over(reserve) = now {
                break reserve;
            }
            self.look_for_canary();
            self.send_what_may_go(now);
            self.spool_what_must(now);
            if now == Phase::Closing && self.has_nothing_left() {
                break Duration::ZERO;
            }
            let wake = self.wakes_at(now);
            tokio::select! {
                (flight, outcome) = self.flights.landed() => self.land(flight, outcome),
                done = done(&mut self.spooling) => self.note(done),
                () = door.bell() => {}
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                told = phase.changed() => if told.is_err() { break Duration::ZERO },
            }
        };
        Box::pin(self.end(reserve)).await;
    }

    /// Whether what cannot be sent is put on disk.
    pub(super) const fn has_spool(&self) -> bool {
        self.spooling.is_some()
    }

    fn has_nothing_left(&self) -> bool {
        let is_at_rest = self.spooling.as_ref().is_none_or(Spooling::is_at_rest);
        is_at_rest && self.flights.len() == 0 && self.door.queue().is_empty()
    }

    fn send_what_may_go(&mut self, phase: Phase) {
        while self.flights.len() < self.breaker.slots() {
            // Each has its turn, so that what never arrives from one does not hold up the other.
            let next = if self.is_turn_of_disk {
                self.next_stored(phase).or_else(|| self.next_waiting(phase))
            } else {
                self.next_waiting(phase).or_else(|| self.next_stored(phase))
            };
            let Some((waiting, origin)) = next else { return };
            self.is_turn_of_disk = matches!(origin, Origin::Memory);
            self.send(waiting, origin);
        }
    }

    fn next_stored(&mut self, phase: Phase) -> Option<(Waiting, Origin)> {
        let stored = self.spooling.as_mut().filter(|_| phase == Phase::Running);
        let (waiting, ticket) = stored.and_then(Spooling::next)?;
        Some((waiting, Origin::Disk(ticket)))
    }

    fn next_waiting(&mut self, phase: Phase) -> Option<(Waiting, Origin)> {
        let waiting = self.next_due(phase, Queue::next)?;
        Some((waiting, Origin::Memory))
    }

    /// Puts on disk what comes while the way is blocked, and what finds too little room in memory.
    fn spool_what_must(&mut self, phase: Phase) {
        let (may_fetch, wants_disk) = (self.may_fetch(phase), self.wants_disk(phase));
        let Some(spooling) = &mut self.spooling else { return };
        spooling.go_on(may_fetch);
        if wants_disk
            && spooling.may_keep()
            && let Some(waiting) = self.next_due(phase, Queue::next_to_keep)
            && let Some(spooling) = &mut self.spooling
        {
            spooling.keep(waiting);
        }
    }

    /// Whether what waits is better put on disk.
    fn wants_disk(&self, phase: Phase) -> bool {
        let is_blocked = match phase {
            Phase::Running => self.breaker.is_blocked(),
            _ => self.breaker.is_failing(),
        };
        is_blocked || self.door.queue().is_half_full()
    }

    /// Whether what is on disk may be read, to be sent again.
    fn may_fetch(&self, phase: Phase) -> bool {
        phase == Phase::Running && self.door.queue().may_replay()
    }

    /// The parcel that `next` takes out, unless it is better to wait.
    fn next_due(
        &mut self,
        phase: Phase,
        next: impl FnOnce(&mut Queue, &Encoder) -> Option<Waiting>,
    ) -> Option<Waiting> {
        let mut queue = self.door.queue();
        let is_late = |at: Instant| at + self.times.schedule_delay <= Instant::now();
        let is_due = self.canary.is_some()
            || phase != Phase::Running
            || queue.is_full()
            || queue.oldest().is_some_and(is_late);
        if is_due && !queue.is_flying_high() { next(&mut queue, &mut self.encoder) } else { None }
    }

    /// When there will be something to do, if nothing else happens before.
    fn wakes_at(&self, phase: Phase) -> Option<Instant> {
        let opens = self.breaker.opens_at();
        let has_slot = self.flights.len() < self.breaker.slots();
        let may_send = |at: Instant| match opens {
            Some(opens) => Some(opens.max(at)),
            // Whatever is on its way will say when it lands.
            None => has_slot.then_some(at),
        };
        let spooling = self.spooling.as_ref();
        let stored = spooling.filter(|_| phase == Phase::Running).and_then(Spooling::sends_at);
        let asks = spooling.and_then(|spooling| spooling.asks_at(self.may_fetch(phase)));
        let keeps = spooling.and_then(Spooling::keeps_at).filter(|_| self.wants_disk(phase));
        let queue = self.door.queue();
        let due = match queue.oldest() {
            _ if queue.is_empty() || queue.is_flying_high() => None,
            Some(oldest)
                if phase == Phase::Running && self.canary.is_none() && !queue.is_full() =>
            {
                Some(oldest + self.times.schedule_delay)
            }
            _ => Some(Instant::now()),
        };
        let keeps = keeps.filter(|_| queue.has_some_to_keep());
        let keep = due.and_then(|due| keeps.map(|keeps| keeps.max(due)));
        let canary = self.canary.map(|sent| sent + CANARY_PATIENCE);
        [stored.and_then(may_send), asks, due.and_then(may_send), keep, canary]
            .into_iter()
            .flatten()
            .min()
    }

    fn send(&mut self, waiting: Waiting, origin: Origin) {
        let message = &waiting.parcel.message;
        let is_too_long = self.longest().is_some_and(|longest| message.len() > longest);
        if is_too_long && self.is_cut(&waiting, origin) {
            return;
        }
        match self.exporter.pack(&waiting.parcel) {
            Ok(packed) => {
                let is_shared = packed.body.as_ptr() == message.as_ptr();
                let bytes = if is_shared { 0 } else { packed.body.len() };
                self.door.queue().packed(bytes);
                let sending = self.exporter.send(packed);
                let limit = self.times.export_timeout;
                self.flights.begin(waiting, (origin, bytes), sending, limit);
            }
            // It may be one item of many that is at fault.
            Err(Unfit(reason)) => {
                if !self.is_cut(&waiting, origin) {
                    tracing::debug!(destination = %self.name, %reason, "an item cannot be packed");
                    self.give_up(&waiting, origin, DropReason::Unfit);
                }
            }
        }
    }

    fn land(&mut self, flight: Flight<(Origin, usize)>, outcome: Outcome) {
        let Flight { waiting, begun, note: (origin, packed) } = flight;
        self.door.queue().settled(packed);
        self.tell(&outcome, waiting.parcel.items);
        match outcome {
            Outcome::Delivered { rejected, .. } => {
                self.breaker.succeeded();
                self.cuts = MOST_CUTS;
                self.last_delivery = Some(Instant::now());
                let all = waiting.parcel.items as u64;
                let rejected = rejected.min(all);
                self.settle(&waiting, origin, |books| {
                    books.dropped(DropReason::Rejected, rejected);
                    books.exported(all - rejected);
                });
            }
            Outcome::Retry { after, .. } => {
                self.breaker.failed(begun, after);
                self.take_back(waiting, origin, begun);
            }
            Outcome::TooLarge { reason } => {
                self.breaker.succeeded();
                let shorter = waiting.parcel.message.len().saturating_sub(1);
                let longest = self.longest().map_or(shorter, |longest| longest.min(shorter));
                self.longest = Some((longest, Instant::now() + LONGEST_HOLDS));
                self.cut(&waiting, origin, &reason);
            }
            Outcome::Malformed { reason } if self.cuts > 0 && waiting.parcel.items > 1 => {
                self.breaker.succeeded();
                self.cuts -= 1;
                self.cut(&waiting, origin, &reason);
            }
            Outcome::Malformed { .. } | Outcome::Refused { .. } => {
                self.breaker.succeeded();
                self.give_up(&waiting, origin, DropReason::Rejected);
            }
        }
    }

    /// Tells how the destination stands with us. What is merely cut up says nothing about it.
    fn tell(&mut self, outcome: &Outcome, items: usize) {
        let is_cut = match outcome {
            Outcome::TooLarge { .. } => items > 1,
            Outcome::Malformed { .. } => self.cuts > 0 && (items > 1 || self.cuts < MOST_CUTS),
            _ => false,
        };
        if is_cut {
            return;
        }
        self.standing.update(outcome);
        if let Some(sent) = self.canary.take()
            && matches!(outcome, Outcome::Delivered { .. })
        {
            self.standing.canary_arrived(sent.elapsed().as_millis());
        }
    }

    /// Does not wait any longer to hear of the canary.
    fn look_for_canary(&mut self) {
        if self.canary.is_some_and(|sent| sent.elapsed() >= CANARY_PATIENCE) {
            self.canary = None;
            self.standing.canary_is_late();
        }
    }

    fn note(&mut self, done: Done) {
        let Some(spooling) = &mut self.spooling else { return };
        let mut queue = self.door.queue();
        match spooling.note(done) {
            Some(Noted::Kept(bytes)) => queue.settled(bytes),
            Some(Noted::NotKept(waiting)) => queue.put_back(waiting),
            Some(Noted::Fetched(bytes)) => queue.replays(bytes),
            None => {}
        }
    }

    /// Counts what became of a parcel, and lets go of it.
    fn settle(&mut self, waiting: &Waiting, origin: Origin, count: impl FnOnce(&Books)) {
        let Parcel { signal, items, message, .. } = &waiting.parcel;
        self.accounts.settle(*signal, |books| {
            if matches!(origin, Origin::Disk(_)) {
                books.unspooled(*items as u64);
            }
            count(books);
        });
        match (origin, &mut self.spooling) {
            (Origin::Disk(ticket), Some(spooling)) => {
                spooling.settle(waiting, ticket);
                self.door.queue().replayed(message.len());
            }
            _ => self.door.queue().settled(message.len()),
        }
    }

    fn give_up(&mut self, waiting: &Waiting, origin: Origin, reason: DropReason) {
        let items = waiting.parcel.items as u64;
        self.settle(waiting, origin, |books| books.dropped(reason, items));
    }

    /// Keeps a parcel for another attempt, unless it alone is what does not arrive.
    fn take_back(&mut self, mut waiting: Waiting, origin: Origin, begun: Instant) {
        let since = *waiting.tried_since.get_or_insert(begun);
        let others_arrive = self.last_delivery.is_some_and(|last| last > since);
        if others_arrive && since.elapsed() >= self.times.export_timeout {
            return self.give_up(&waiting, origin, DropReason::Unreachable);
        }
        match (origin, &mut self.spooling) {
            (Origin::Disk(ticket), Some(spooling)) => spooling.put_back(waiting, ticket),
            _ => self.door.queue().put_back(waiting),
        }
    }

    /// Makes two parcels of one, or gives it up where that cannot be done.
    fn cut(&mut self, waiting: &Waiting, origin: Origin, reason: &str) {
        if !self.is_cut(waiting, origin) {
            tracing::debug!(destination = %self.name, reason, "a single item is refused");
            self.give_up(waiting, origin, DropReason::Rejected);
        }
    }

    /// Makes two parcels of one, where that can be done, and tells whether it could.
    fn is_cut(&mut self, waiting: &Waiting, origin: Origin) -> bool {
        let Some(halves) = cut::in_two(&waiting.parcel) else { return false };
        let Parcel { signal, items, message, .. } = &waiting.parcel;
        let part_of = match (origin, &mut self.spooling) {
            (Origin::Disk(ticket), Some(spooling)) => {
                self.accounts.settle(*signal, |books| books.unspooled(*items as u64));
                self.door.queue().replayed(message.len());
                Some(spooling.cut_up(waiting, ticket))
            }
            _ => {
                self.door.queue().settled(message.len());
                waiting.part_of.clone()
            }
        };
        let mut queue = self.door.queue();
        for parcel in halves {
            queue.hold(Waiting { part_of: part_of.clone(), ..parcel.into() });
        }
        true
    }

    /// The longest message that it takes, as far as that is known.
    fn longest(&self) -> Option<usize> {
        let (longest, until) = self.longest?;
        (Instant::now() < until).then_some(longest)
    }

    /// Puts on disk what is left, in no more time than `reserve`, and gives up the rest.
    async fn end(mut self, reserve: Duration) {
        for Flight { waiting, note: (origin, packed), .. } in self.flights.cancel() {
            self.door.queue().settled(packed);
            // What comes from the disk is still there.
            if matches!(origin, Origin::Memory) {
                self.door.queue().put_back(waiting);
            }
        }
        // Whoever is cut off here has what was not kept counted below.
        timeout(reserve, self.spool_the_rest()).await.ok();
        let left = self.door.queue().abandon(DropReason::Shutdown);
        if left > 0 {
            let destination = &self.name;
            tracing::warn!(destination, left, "telemetry is dropped because of the shutdown");
        }
        if let Some(spooling) = self.spooling
            && timeout(CLOSING, spooling.close()).await.is_err()
        {
            tracing::warn!(destination = %self.name, "the disk did not answer, its spool is left");
        }
    }

    async fn spool_the_rest(&mut self) {
        while let Some(spooling) = &mut self.spooling {
            spooling.go_on(false);
            if spooling.may_keep()
                && let Some(waiting) = self.door.queue().next_to_keep(&self.encoder)
            {
                spooling.keep(waiting);
            }
            if spooling.is_at_rest() {
                return;
            }
            let done = spooling.done().await;
            self.note(done);
        }
    }
}

/// The next thing that is done on the disk, if there is one.
async fn done(spooling: &mut Option<Spooling>) -> Done {
    match spooling {
        Some(spooling) => spooling.done().await,
        None => std::future::pending().await,
    }
}
