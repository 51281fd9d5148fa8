//! The span that is sent at the start, so that somebody sees at once whether the way is free.

use crate::metrics::{Registry, SPANS_CREATED};
use crate::net::clock::Clock;
use crate::trace::span::{Attributes, Kind, Span, SpanBatch, Status};
use crate::trace::{Flags, IdGenerator};

/// Its name.
const NAME: &[u8] = b"spandrel start";

/// A batch of the canary alone, which counts as any other span.
pub(super) fn span(registry: &Registry) -> SpanBatch {
    let mut seed = [0; 32];
    // Without randomness the ids are always the same, which harms none but the canary.
    getrandom::fill(&mut seed).ok();
    let mut ids = IdGenerator::from_seed(seed);
    let now = Clock::anchored().now();
    let span = Span {
        trace_id: ids.trace_id(),
        span_id: ids.span_id(),
        parent: None,
        link: None,
        flags: Flags::SAMPLED,
        kind: Kind::Server,
        // Not a request: what is but a part of one is internal too.
        is_part: true,
        status: Status::Unset,
        start: now,
        end: now,
    };
    registry.counter(SPANS_CREATED, &[]).add(1);
    let mut batch = SpanBatch::default();
    batch.push(span, &[NAME], b"", &Attributes::default());
    batch
}
