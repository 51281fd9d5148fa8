//! What is sent, tried again, cut up and kept on disk: one OTLP export request.

use bytes::Bytes;

pub use crate::otlp::Signal;

/// An OTLP export request in protobuf, and what must be known of it without reading it.
///
/// Clones share the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// What it holds.
    pub signal: Signal,
    /// How many spans, data points or log records there are in it.
    pub items: usize,
    /// Whether a span in it has the status error, so that it is given up last.
    pub has_error: bool,
    /// The export request of the signal (opentelemetry-proto, `collector/*/v1`).
    pub message: Bytes,
}
