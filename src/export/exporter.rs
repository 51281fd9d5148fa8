//! What every kind of destination can do, and what may come of an attempt to send.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use super::parcel::{Parcel, Signal};
use super::{ExportError, Target, lines, otlp, zipkin};
use crate::net::own::OwnSockets;

/// Something that parcels can be sent to. Its cost is paid per parcel, not per span.
pub(super) trait Exporter: Debug + Send + Sync {
    /// Whether it has a use for this signal.
    fn takes(&self, signal: Signal) -> bool;

    /// Makes what is sent of a parcel; done anew at each attempt, so that what waits takes up no
    /// more than the parcel.
    ///
    /// # Errors
    /// When the parcel cannot be put into the form of this destination.
    fn pack(&self, parcel: &Parcel) -> Result<Packed, Unfit>;

    /// Sends it once. Dropping the future cancels the exchange.
    fn send(&self, packed: Packed) -> Sending;

    /// Where it goes, for people.
    fn url(&self) -> &str;
}

/// A parcel in the form in which it is sent. Clones share the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// What it holds.
    pub(super) signal: Signal,
    /// The whole body.
    pub(super) body: Bytes,
}

/// Why a parcel cannot be packed, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit(pub(super) String);

/// A future that an [`Exporter`] gives.
pub(super) type Sending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What became of one attempt to send a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The destination took the parcel, but not the `rejected` items; never to be sent again.
    Delivered {
        /// Items that it did not take.
        rejected: u64,
        /// What it has to say; often nothing.
        message: String,
    },
    /// Another attempt may go better, not before `after` if that is given.
    Retry {
        /// The least time to wait.
        after: Option<Duration>,
        /// For people.
        reason: String,
    },
    /// The destination takes no parcel of this size; a part of it may pass.
    TooLarge {
        /// For people.
        reason: String,
    },
    /// The destination found the content bad; a part of it may be good.
    Malformed {
        /// For people.
        reason: String,
    },
    /// The destination will never take this parcel, nor any part of it.
    Refused {
        /// For people.
        reason: String,
    },
}

/// The exporter for `target`; its connections are among `own`.
pub(super) fn connect(target: &Target, own: &OwnSockets) -> Result<Box<dyn Exporter>, ExportError> {
    match target {
        Target::Otlp(otlp) => otlp::connect(otlp, own),
        Target::Zipkin(zipkin) => zipkin::connect(zipkin, own),
        Target::Lines(lines) => lines::connect(lines),
    }
}
