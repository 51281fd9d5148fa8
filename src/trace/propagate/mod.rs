//! Reading the trace context of a request, and deciding which header lines must change.
//!
//! `extract` looks at raw header values and never fails: absent or malformed context is a new
//! trace. What to write on is said by `Injection`, which the HTTP/1 relay splices into the
//! original bytes and the HTTP/2 side sets in its header map.

pub mod baggage;
pub mod carried;
pub mod known;
pub mod outside;
pub mod traceparent;
pub mod tracestate;

use super::{Headers, TraceContext};

/// `traceparent`, the header that carries trace id, parent id and flags.
pub const TRACEPARENT: &str = "traceparent";
/// `tracestate`, the header that carries what vendors add to it.
pub const TRACESTATE: &str = "tracestate";
/// `baggage`, the header that carries the application's own key-values.
pub const BAGGAGE: &str = "baggage";

/// Which context formats are read and written: the meaning of `OTEL_PROPAGATORS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// W3C `traceparent` and `tracestate`.
    pub trace_context: bool,
    /// W3C `baggage`; it always passes unchanged, this says whether it is read.
    pub baggage: bool,
    /// Sets the Level 2 random flag on traces that start here. Off by default: peers built on
    /// opentelemetry-go before 1.42 refuse a version 00 header with a flags byte over 2.
    pub random_flag: bool,
    /// The headers, in lower case and at most [`carried::MAX_JOIN_KEYS`], by whose values calls
    /// without context are joined to the requests that caused them.
    pub join_keys: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let join_keys = ["x-request-id", "x-correlation-id"].map(str::to_owned).to_vec();
        Self { trace_context: true, baggage: true, random_flag: false, join_keys }
    }
}

/// What a request brought with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// The caller's context, when there was a valid one.
    pub parent: Option<TraceContext>,
    /// What became of the `tracestate` lines.
    pub state: State,
}

/// What became of the `tracestate` lines of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There were none.
    Absent,
    /// They are a valid list that continues the trace.
    Valid,
    /// They must not travel on: malformed, or beside a `traceparent` that is not usable.
    Discard,
}

/// The header lines that must differ between what came in and what goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// The one `traceparent` to send, in place of whatever lines came in.
    pub traceparent: Option<[u8; traceparent::LENGTH]>,
    /// Whether every `tracestate` line is to be left out.
    pub discard_tracestate: bool,
}

/// Reads the context of a request by the decision table of W3C Trace Context Level 2.
///
/// More than one `traceparent` line, or one that does not parse, means a new trace, and then the
/// `tracestate` beside it is not even looked at.
pub fn extract(headers: &impl Headers, config: &Config) -> Extracted {
    if !config.trace_context {
        return Extracted { parent: None, state: State::Absent };
    }
    let mut lines = headers.values(TRACEPARENT);
    let parent = match (lines.next(), lines.next()) {
        (Some(only), None) => traceparent::parse(only),
        _ => None,
    };
    let has_state = headers.first(TRACESTATE).is_some();
    let state = match (parent, has_state) {
        (_, false) => State::Absent,
        (Some(_), true) if tracestate::is_valid(headers.values(TRACESTATE)) => State::Valid,
        _ => State::Discard,
    };
    Extracted { parent, state }
}

/// The lines that continue `context` to the next hop.
#[must_use]
pub fn inject(context: TraceContext, state: State, config: &Config) -> Injection {
    if !config.trace_context {
        return Injection::default();
    }
    Injection {
        traceparent: Some(traceparent::format(context)),
        discard_tracestate: state == State::Discard,
    }
}

/// The bytes of a header value without the optional white space around it (RFC 9110, 5.6.3).
fn trim_ows(value: &[u8]) -> &[u8] {
    let is_ows = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !is_ows(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !is_ows(b)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lines;
    use super::*;
    use proptest::prelude::*;

    const GOOD: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01";

    fn extracted(lines: &[(&str, &[u8])]) -> Extracted {
        extract(&Lines(lines), &Config::default())
    }

    #[test]
    fn a_tracestate_alone_is_discarded() {
        let found = extracted(&[("tracestate", b"a=1")]);
        assert_eq!(found, Extracted { parent: None, state: State::Discard });
    }

    #[test]
    fn a_repeated_traceparent_starts_a_new_trace() {
        for second in [GOOD, OTHER] {
            let found = extracted(&[
                ("traceparent", GOOD),
                ("traceparent", second),
                ("tracestate", b"a=1"),
            ]);
            assert_eq!(found, Extracted { parent: None, state: State::Discard });
        }
    }

    #[test]
    fn a_bad_tracestate_keeps_the_trace() {
        let found = extracted(&[("traceparent", GOOD), ("tracestate", b"foo=")]);
        assert!(found.parent.is_some());
        assert_eq!(found.state, State::Discard);
    }

    #[test]
    fn names_match_in_any_case() {
        assert!(extracted(&[("TraceParent", GOOD)]).parent.is_some());
    }

    #[test]
    fn with_no_propagator_nothing_is_read_or_written() {
        let config = Config { trace_context: false, ..Config::default() };
        let found = extract(&Lines(&[("traceparent", GOOD)]), &config);
        assert_eq!(found, Extracted { parent: None, state: State::Absent });
        let parent = extracted(&[("traceparent", GOOD)]).parent.unwrap();
        assert_eq!(inject(parent, State::Discard, &config), Injection::default());
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_extraction_panic(
            parents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..3),
            states in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..4),
        ) {
            let mut lines: Vec<(&str, &[u8])> = Vec::new();
            lines.extend(parents.iter().map(|v| ("traceparent", v.as_slice())));
            lines.extend(states.iter().map(|v| ("tracestate", v.as_slice())));
            let found = extract(&Lines(&lines), &Config::default());
            if let Some(parent) = found.parent {
                // What is accepted is what would be written for the same context.
                let written = traceparent::format(parent);
                prop_assert_eq!(traceparent::parse(&written), Some(parent));
            }
        }
    }
}
