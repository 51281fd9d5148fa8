//! Taking in OTLP: over HTTP and over gRPC, on either port.
//!
//! The two ports of OTLP are often taken for one another, so each takes both protocols: a request
//! whose content is gRPC's is answered as such, and any other as OTLP/HTTP. Here is what is on the
//! wire, within bounds of number, size and time; what becomes of a message is for a [`Receiver`] to
//! say.

mod body;
mod grpc;
mod http;
mod linger;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::otlp::{Encoding, Signal};

pub use serve::serve_all;

/// The longest body of OTLP/HTTP that is taken, in bytes as sent.
pub const MAX_BODY: usize = 16 << 20;
/// How long a sender is asked to wait where there is no room for what it sends.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What it is told.
const FULL: &str = "too much is waiting to be forwarded, send it again later";

/// Takes the messages that come.
pub trait Receiver: Send + Sync + 'static {
    /// Takes a message.
    ///
    /// # Errors
    /// When nothing of it was taken.
    fn take(&self, signal: Signal, encoding: Encoding, message: &[u8]) -> Result<Outcome, Refusal>;

    /// A request was refused, for whatever reason.
    fn note_refusal(&self) {}
}

/// What became of the items of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Items that were taken.
    pub taken: u64,
    /// Items that could not be read.
    pub refused: u64,
}

impl Outcome {
    /// Counts an item.
    pub const fn count(&mut self, is_taken: bool) {
        if is_taken {
            self.taken += 1;
        } else {
            self.refused += 1;
        }
    }

    /// The outcome, unless there were items and none of them could be read.
    ///
    /// # Errors
    /// Then, in words for the sender.
    pub fn unless_unreadable(self) -> Result<Self, String> {
        match self {
            Self { taken: 0, refused: 1.. } => {
                Err("nothing in the body can be read as OTLP".to_owned())
            }
            outcome => Ok(outcome),
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read, as the text says.
    Malformed(String),
    /// There is no room for it now: the sender should keep it and try again.
    Full,
}

/// What is taken in, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest message that is taken, once it is no longer compressed.
    pub message: usize,
    /// What the bodies that are coming take up together, at most.
    pub bodies: usize,
}

/// Takes in what several listeners get, for one receiver. Clones share the bounds.
#[derive(Debug)]
pub struct Intake<R> {
    receiver: Arc<R>,
    /// Room for the bodies that are coming, a permit for each byte.
    room: Arc<Semaphore>,
    max_message: usize,
}

impl<R> Clone for Intake<R> {
    fn clone(&self) -> Self {
        Self {
            receiver: Arc::clone(&self.receiver),
            room: Arc::clone(&self.room),
            max_message: self.max_message,
        }
    }
}

impl<R: Receiver> Intake<R> {
    /// Gives what comes to `receiver`.
    #[must_use]
    pub fn new(receiver: Arc<R>, bounds: Bounds) -> Self {
        let permits = bounds.bodies.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(permits));
        Self { receiver, room, max_message: bounds.message }
    }

    /// Takes in what comes to a listener, for as long as this is polled.
    pub async fn serve(&self, listener: &tokio::net::TcpListener) {
        serve::otlp(listener, self).await;
    }
}
