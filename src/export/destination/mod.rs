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
mod standing;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub(super) use accounts::Accounts;
use breaker::Breaker;
pub(super) use door::Door;
use flights::{Flight, Flights};
pub(super) use queue::Limits;
use queue::Waiting;
use standing::Standing;

use super::encode::Encoder;
use super::exporter::{Exporter, Outcome, Unfit};
use crate::metrics::DropReason;

/// How often parcels are cut because they were found malformed, until one arrives: enough to find
/// several spans at fault, and few where everything is refused.
const MOST_CUTS: u32 = 64;

/// What a destination is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Gather and send.
    Running,
    /// Send what there is, and end.
    Closing,
    /// Give up what is left, and end.
    Over,
}

/// The times a destination is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The longest time a span waits for its parcel to fill.
    pub(super) schedule_delay: Duration,
    /// How long one attempt may take, and how long a parcel is tried while others arrive.
    pub(super) export_timeout: Duration,
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
    flights: Flights<()>,
    /// How many more malformed parcels are cut.
    cuts: u32,
    /// The longest message that it takes, in bytes, as far as that is known.
    longest: usize,
    last_delivery: Option<Instant>,
}

impl Destination {
    pub(super) fn new(
        name: &str,
        door: Door,
        exporter: Box<dyn Exporter>,
        encoder: Encoder,
        accounts: Accounts,
        times: Times,
    ) -> Self {
        Self {
            name: name.to_owned(),
            door,
            exporter,
            encoder,
            accounts,
            times,
            breaker: Breaker::new(RandomState::new().build_hasher().finish()),
            standing: Standing::default(),
            flights: Flights::new(),
            cuts: MOST_CUTS,
            longest: usize::MAX,
            last_delivery: None,
        }
    }

    /// Sends what comes in, until it is told to end.
    pub(super) async fn run(mut self, mut phase: watch::Receiver<Phase>) {
        let door = self.door.clone();
        loop {
            let now = *phase.borrow_and_update();
            if now == Phase::Over {
                break;
            }
            self.send_what_may_go(now);
            if now == Phase::Closing && self.has_nothing_left() {
                return;
            }
            let wake = self.wakes_at(now);
            tokio::select! {
                (flight, outcome) = self.flights.landed() => self.land(flight, outcome),
                () = door.bell() => {}
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                told = phase.changed() => if told.is_err() { break },
            }
        }
        self.give_up();
    }

    fn has_nothing_left(&self) -> bool {
        self.flights.len() == 0 && self.door.queue().is_empty()
    }

    fn send_what_may_go(&mut self, phase: Phase) {
        while self.flights.len() < self.breaker.slots() {
            let Some(waiting) = self.next_due(phase) else { return };
            self.send(waiting);
        }
    }

    /// The next parcel, unless it is better to wait.
    fn next_due(&mut self, phase: Phase) -> Option<Waiting> {
        let mut queue = self.door.queue();
        let is_late = |at: Instant| at + self.times.schedule_delay <= Instant::now();
        let is_due =
            phase == Phase::Closing || queue.is_full() || queue.oldest().is_some_and(is_late);
        if is_due && !queue.is_flying_high() { queue.next(&mut self.encoder) } else { None }
    }

    /// When there will be something to do, if nothing else happens before.
    fn wakes_at(&self, phase: Phase) -> Option<Instant> {
        let queue = self.door.queue();
        if queue.is_empty() {
            return None;
        }
        let due = match queue.oldest() {
            Some(oldest) if phase == Phase::Running && !queue.is_full() => {
                oldest + self.times.schedule_delay
            }
            _ => Instant::now(),
        };
        match self.breaker.opens_at() {
            Some(opens) => Some(opens.max(due)),
            // Whatever is on its way will say when it lands.
            None if self.flights.len() >= self.breaker.slots() || queue.is_flying_high() => None,
            None => Some(due),
        }
    }

    fn send(&mut self, waiting: Waiting) {
        if waiting.parcel.message.len() > self.longest {
            return self.cut(&waiting, "it is longer than what was refused as too large");
        }
        match self.exporter.pack(&waiting.parcel) {
            Ok(packed) => {
                let sending = self.exporter.send(packed);
                self.flights.begin(waiting, (), sending, self.times.export_timeout);
            }
            Err(Unfit(reason)) => {
                tracing::debug!(destination = %self.name, %reason, "a parcel cannot be packed");
                self.settle(&waiting, DropReason::Unfit);
            }
        }
    }

    fn land(&mut self, flight: Flight<()>, outcome: Outcome) {
        self.standing.update(&outcome, &self.name, self.exporter.url());
        let Flight { waiting, begun, .. } = flight;
        match outcome {
            Outcome::Delivered { rejected, .. } => {
                self.breaker.succeeded();
                self.cuts = MOST_CUTS;
                self.last_delivery = Some(Instant::now());
                self.delivered(&waiting, rejected);
            }
            Outcome::Retry { after, .. } => {
                self.breaker.failed(begun, after);
                self.take_back(waiting, begun);
            }
            Outcome::TooLarge { reason } => {
                self.breaker.succeeded();
                self.longest = self.longest.min(waiting.parcel.message.len().saturating_sub(1));
                self.cut(&waiting, &reason);
            }
            Outcome::Malformed { reason } if self.cuts > 0 && waiting.parcel.items > 1 => {
                self.breaker.succeeded();
                self.cuts -= 1;
                self.cut(&waiting, &reason);
            }
            Outcome::Malformed { .. } | Outcome::Refused { .. } => {
                self.breaker.succeeded();
                self.settle(&waiting, DropReason::Rejected);
            }
        }
    }

    fn delivered(&self, Waiting { parcel, .. }: &Waiting, rejected: u64) {
        let all = parcel.items as u64;
        let rejected = rejected.min(all);
        self.accounts.settle(parcel.signal, |books| {
            books.dropped(DropReason::Rejected, rejected);
            books.exported(all - rejected);
        });
        self.door.queue().settled(parcel.message.len());
    }

    fn settle(&self, Waiting { parcel, .. }: &Waiting, reason: DropReason) {
        self.accounts.dropped(parcel.signal, reason, parcel.items);
        self.door.queue().settled(parcel.message.len());
    }

    /// Keeps a parcel for another attempt, unless it alone is what does not arrive.
    fn take_back(&self, mut waiting: Waiting, begun: Instant) {
        let since = *waiting.tried_since.get_or_insert(begun);
        let others_arrive = self.last_delivery.is_some_and(|last| last > since);
        if others_arrive && since.elapsed() >= self.times.export_timeout {
            self.settle(&waiting, DropReason::Unreachable);
        } else {
            self.door.queue().put_back(waiting);
        }
    }

    /// Makes two parcels of one, or gives it up where that cannot be done.
    fn cut(&self, waiting: &Waiting, reason: &str) {
        let Some(halves) = cut::in_two(&waiting.parcel) else {
            tracing::debug!(destination = %self.name, reason, "a single item is refused");
            return self.settle(waiting, DropReason::Rejected);
        };
        let mut queue = self.door.queue();
        queue.settled(waiting.parcel.message.len());
        for parcel in halves {
            queue.hold(parcel.into());
        }
    }

    fn give_up(&mut self) {
        let cancelled = self.flights.cancel();
        let mut queue = self.door.queue();
        for flight in cancelled {
            queue.put_back(flight.waiting);
        }
        let left = queue.abandon(DropReason::Shutdown);
        drop(queue);
        if left > 0 {
            let destination = &self.name;
            tracing::warn!(destination, left, "telemetry is dropped because of the shutdown");
        }
    }
}
