//! What is sent, tried again, cut up and kept on disk: one OTLP export request.

use bytes::Bytes;

/// The signals of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points of metrics.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Its name in the books.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

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
