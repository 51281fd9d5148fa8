//! How a destination stands with us, and when to speak about it.

use crate::export::exporter::Outcome;

/// How the destination stands with us. It is spoken of when it changes, not at every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Batches arrive, or none was sent yet.
    #[default]
    Good,
    /// Batches arrive, and the destination has remarks or leaves out spans.
    Partial,
    /// Nothing arrives at the moment.
    Unreachable,
    /// The destination wants nothing of what it gets.
    Refusing,
}

impl Standing {
    /// What the outcome of one attempt makes of it.
    const fn after(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered { rejected: 0, message } if message.is_empty() => Self::Good,
            Outcome::Delivered { .. } => Self::Partial,
            Outcome::Retry { .. } => Self::Unreachable,
            Outcome::Refused { .. } | Outcome::TooLarge { .. } | Outcome::Malformed { .. } => {
                Self::Refusing
            }
        }
    }

    /// Takes over what the outcome of an attempt makes of it, with one log line if that is news.
    pub(super) fn update(&mut self, outcome: &Outcome, destination: &str, url: &str) {
        let before = std::mem::replace(self, Self::after(outcome));
        if before == *self {
            return;
        }
        match outcome {
            Outcome::Delivered { rejected: 0, message } if message.is_empty() => {
                tracing::info!(destination, url, "telemetry is arriving again");
            }
            Outcome::Delivered { rejected, message } => {
                tracing::warn!(destination, url, rejected, reason = %message, "telemetry arrives with remarks");
            }
            Outcome::Retry { reason, .. } => {
                tracing::warn!(destination, url, %reason, "telemetry does not arrive, trying again");
            }
            Outcome::Refused { reason }
            | Outcome::TooLarge { reason }
            | Outcome::Malformed { reason } => {
                tracing::warn!(destination, url, %reason, "telemetry is refused and dropped");
            }
        }
    }
}
