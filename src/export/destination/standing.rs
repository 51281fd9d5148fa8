//! How a destination stands with us, and when to speak about it.

use crate::export::exporter::Outcome;
use crate::reach::{Reach, State};

/// How a destination stands with us. It is spoken of when it changes, not at every attempt.
#[derive(Debug)]
pub(super) struct Standing {
    destination: String,
    url: String,
    state: State,
    /// It has remarks on what arrives, or leaves some of it out.
    has_remarks: bool,
    reach: Reach,
}

impl Standing {
    pub(super) fn new(destination: &str, url: &str, reach: Reach) -> Self {
        reach.told(destination, State::Unknown, "");
        let (destination, url) = (destination.to_owned(), url.to_owned());
        Self { destination, url, state: State::Unknown, has_remarks: false, reach }
    }

    /// Takes over what the outcome of an attempt makes of it, with one log line if that is news.
    pub(super) fn update(&mut self, outcome: &Outcome) {
        let (state, reason) = match outcome {
            Outcome::Delivered { message, .. } => (State::Reachable, message),
            Outcome::Retry { reason, .. } => (State::Unreachable, reason),
            Outcome::Refused { reason }
            | Outcome::TooLarge { reason }
            | Outcome::Malformed { reason } => (State::Refusing, reason),
        };
        self.reach.told(&self.destination, state, reason);
        let before = std::mem::replace(&mut self.state, state);
        let Self { destination, url, .. } = &*self;
        match state {
            State::Unreachable if before != state => {
                tracing::warn!(%destination, %url, %reason, "telemetry does not arrive, trying again");
            }
            State::Refusing if before != state => {
                tracing::warn!(%destination, %url, %reason, "telemetry is refused and dropped");
            }
            State::Reachable if matches!(before, State::Unreachable | State::Refusing) => {
                tracing::info!(%destination, %url, "telemetry arrives again");
            }
            _ => {}
        }
        if let Outcome::Delivered { rejected, message } = outcome {
            let has_remarks = *rejected > 0 || !message.is_empty();
            if has_remarks && !self.has_remarks {
                let Self { destination, url, .. } = &*self;
                tracing::warn!(
                    %destination, %url, rejected, reason = %message, "telemetry arrives with remarks"
                );
            }
            self.has_remarks = has_remarks;
        }
    }

    /// Says that the canary has arrived.
    pub(super) fn canary_arrived(&self, milliseconds: u128) {
        let Self { destination, url, .. } = self;
        tracing::info!(%destination, %url, milliseconds, "the canary span arrived");
    }

    /// Says that there is no answer to the canary yet.
    pub(super) fn canary_is_late(&mut self) {
        if self.state == State::Unknown {
            self.state = State::Unreachable;
            let reason = "no answer to the canary span yet";
            self.reach.told(&self.destination, self.state, reason);
            let Self { destination, url, .. } = &*self;
            tracing::warn!(%destination, %url, reason, "telemetry does not arrive");
        }
    }
}
