//! Traces for the tests.

use crate::analysis::Facts;
use crate::analysis::testing::trace;
use crate::trace::{SpanId, TraceId};

/// A span of the service `orders` that took 10 ns, of these ids and with this start.
pub(crate) fn facts(id: u128, span: u64, start: u64) -> Facts {
    Facts {
        trace_id: TraceId::from_bytes(id.to_be_bytes()).expect("not zero"),
        span_id: SpanId::from_bytes(span.to_be_bytes()).expect("not zero"),
        start,
        end: start + 10,
        ..trace("orders server 0..0 GET /").0.remove(0)
    }
}

/// The span as one of another service, with another name.
pub(crate) fn service(facts: Facts, service: &str, name: &str) -> Facts {
    Facts { service: service.into(), name: name.into(), ..facts }
}
