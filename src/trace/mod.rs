//! What a span is, and the context that joins spans to traces.
//!
//! Everything in this folder is pure: no sockets, no tasks, no clock, no environment. Time and
//! randomness are passed in, bytes from strangers go through total functions, and nothing here
//! can fail a request: the worst outcome of reading a header is a new trace.

pub mod attributes;
mod dns;
pub mod health;
pub mod id;
pub mod messages;
pub mod propagate;
pub mod resource;
pub mod route;
pub mod sample;
pub mod semconv;
pub mod span;
pub mod tenant;
pub mod tls;
mod token;
pub mod zone;

pub use id::{Flags, IdGenerator, SpanId, TraceId};
pub use token::{is_same_name, is_token};

/// The part of a trace that travels between hops: W3C Trace Context Level 2, section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace that every span of one request chain shares.
    pub trace_id: TraceId,
    /// The span that caused the request carrying this context: our parent.
    pub span_id: SpanId,
    /// The sampling decision and the randomness promise.
    pub flags: Flags,
}

/// The headers of one message, whatever protocol carried them.
pub trait Headers {
    /// Every value of the header `name` (given in lower case) in the order received, as the raw
    /// bytes between the surrounding white space.
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]>;

    /// Every line in the order received: its name as it was written, and its value.
    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])>;

    /// The first value of the header `name` (given in lower case).
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Headers;

    /// Headers as a test writes them down.
    pub(crate) struct Lines<'a>(pub(crate) &'a [(&'a str, &'a [u8])]);

    impl Headers for Lines<'_> {
        fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
            self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
        }

        fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
            self.0.iter().map(|(name, value)| (name.as_bytes(), *value))
        }
    }
}
