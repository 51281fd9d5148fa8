//! The parcels that are on their way to a destination.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout};

use super::queue::Waiting;
use crate::export::exporter::{Outcome, Sending};

/// A parcel on its way.
#[derive(Debug)]
pub(super) struct Flight<T> {
    pub(super) waiting: Waiting,
    pub(super) begun: Instant,
    /// What must be known of it when it lands.
    pub(super) note: T,
}

/// What is on its way. Dropping it cancels all attempts.
#[derive(Debug)]
pub(super) struct Flights<T> {
    attempts: JoinSet<Outcome>,
    flying: HashMap<Id, Flight<T>>,
}

impl<T> Flights<T> {
    pub(super) fn new() -> Self {
        Self { attempts: JoinSet::new(), flying: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.flying.len()
    }

    /// Sends one off, which takes no longer than `limit`.
    pub(super) fn begin(&mut self, waiting: Waiting, note: T, sending: Sending, limit: Duration) {
        let attempt = self.attempts.spawn(async move {
            timeout(limit, sending).await.unwrap_or_else(|_| Outcome::Retry {
                after: None,
                reason: "no answer within the time a batch has".to_owned(),
            })
        });
        self.flying.insert(attempt.id(), Flight { waiting, begun: Instant::now(), note });
    }

    /// The next one that has landed, and what came of it; waits for ever where none flies.
    pub(super) async fn landed(&mut self) -> (Flight<T>, Outcome) {
        loop {
            let (id, outcome) = match self.attempts.join_next_with_id().await {
                Some(Ok((id, outcome))) => (id, outcome),
                Some(Err(error)) => {
                    let reason = format!("sending failed by a fault of spandrel's: {error}");
                    (error.id(), Outcome::Refused { reason })
                }
                None => std::future::pending().await,
            };
            if let Some(flight) = self.flying.remove(&id) {
                return (flight, outcome);
            }
        }
    }

    /// Cancels all of them, and gives back what they carried.
    pub(super) fn cancel(&mut self) -> Vec<Flight<T>> {
        self.attempts.abort_all();
        self.attempts = JoinSet::new();
        self.flying.drain().map(|(_, flight)| flight).collect()
    }
}
