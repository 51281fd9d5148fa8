//! Where telemetry for a destination comes in, from whichever task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::accounts::Accounts;
use super::queue::{Limits, Queue};
use crate::export::filter::Sieve;
use crate::export::parcel::{Parcel, Signal};
use crate::metrics::DropReason;
use crate::trace::span::SpanBatch;

/// The way to a destination. Clones lead to the same.
#[derive(Clone, Debug)]
pub(in crate::export) struct Door(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    queue: Mutex<Queue>,
    /// Rung when something comes in.
    bell: Notify,
    sieve: Sieve,
    accounts: Accounts,
}

impl Door {
    pub(in crate::export) fn new(limits: Limits, sieve: Sieve, accounts: Accounts) -> Self {
        let queue = Mutex::new(Queue::new(limits, accounts.clone()));
        Self(Arc::new(Inside { queue, bell: Notify::new(), sieve, accounts }))
    }

    /// Gives it spans, of which the filter lets some pass. Never waits.
    pub(in crate::export) fn push(&self, batch: &Arc<SpanBatch>) {
        let Inside { bell, sieve, accounts, .. } = &*self.0;
        if sieve.lets_all_pass() {
            self.queue().push(batch);
        } else {
            let passed = sieve.sift(batch);
            let held_back = batch.len() - passed.len();
            accounts.dropped(Signal::Traces, DropReason::Filtered, held_back);
            self.queue().push(&Arc::new(passed));
        }
        bell.notify_one();
    }

    /// Whether the destination has a use for a signal.
    pub(in crate::export) fn takes(&self, signal: Signal) -> bool {
        self.0.accounts.has(signal)
    }

    /// Gives it a parcel, of whose spans the filter lets some pass. Never waits.
    pub(in crate::export) fn push_parcel(&self, parcel: &Parcel) {
        let Inside { bell, sieve, accounts, .. } = &*self.0;
        let passed = sieve.sift_parcel(parcel);
        let items = passed.as_ref().map_or(0, |passed| passed.items);
        accounts.dropped(parcel.signal, DropReason::Filtered, parcel.items - items);
        if let Some(passed) = passed {
            self.queue().push_parcel(passed);
            bell.notify_one();
        }
    }

    /// Whether a parcel would push out nothing that has waited longer.
    pub(in crate::export) fn has_room_for(&self, parcel: &Parcel) -> bool {
        self.queue().accepts(parcel.message.len())
    }

    /// Waits until something has come in.
    pub(super) async fn bell(&self) {
        self.0.bell.notified().await;
    }

    /// What waits. To be held for no longer than it takes to change it.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
