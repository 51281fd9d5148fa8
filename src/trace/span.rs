//! The finished span as a compact record, and the batch that holds many of them.
//!
//! A record has fixed fields; its texts and attributes are bytes in one arena that the whole
//! batch shares. Attributes are written while the request runs, in the form in which they are sent,
//! so that finishing a span is one copy and no allocation.

pub use super::attributes::{Attributes, Pairs, Value};
use super::{Flags, SpanId, TraceContext, TraceId};

/// On which side of the hop the span was measured: the span kinds of the OpenTelemetry API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An inbound request, measured beside the service that answers it.
    Server,
    /// An outbound request, measured beside the service that makes it.
    Client,
}

/// The status of a span; `Ok` is reserved for the application itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing is known to be wrong.
    #[default]
    Unset,
    /// The request failed, by the rules of the semantic conventions.
    Error,
}

/// The fixed fields of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace the span is part of.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
    /// The span that caused it, which lives in another process; `None` at the root of a trace.
    pub parent: Option<SpanId>,
    /// A span, mostly of another trace, that has to do with this one without having caused it.
    pub link: Option<TraceContext>,
    /// The W3C trace flags that went on with the request.
    pub flags: Flags,
    /// Server or client.
    pub kind: Kind,
    /// Whether it is but a part of such a request, told while that goes on, and so internal.
    pub is_part: bool,
    /// Whether the request failed.
    pub status: Status,
    /// The start, in nanoseconds since the Unix epoch.
    pub start: u64,
    /// The end, in nanoseconds since the Unix epoch; never before the start.
    pub end: u64,
}

/// Finished spans on their way to the exporter.
#[derive(Debug, Default)]
pub struct SpanBatch {
    spans: Vec<Stored>,
    arena: Vec<u8>,
}

/// A span and where its texts lie in the arena, one behind the other.
#[derive(Clone, Copy, Debug)]
struct Stored {
    span: Span,
    start: usize,
    name: usize,
    trace_state: usize,
    attributes: usize,
}

/// A span of a batch with its texts.
#[derive(Clone, Debug)]
pub struct SpanView<'a> {
    /// The fixed fields.
    pub span: Span,
    /// The name.
    pub name: &'a [u8],
    /// The `tracestate` list that came with the request; often empty.
    pub trace_state: &'a [u8],
    /// The attributes.
    pub attributes: Pairs<'a>,
}

impl SpanBatch {
    /// Adds a finished span, whose name is made of `name` put together.
    pub fn push(
        &mut self,
        span: Span,
        name: &[&[u8]],
        trace_state: &[u8],
        attributes: &Attributes,
    ) {
        let start = self.arena.len();
        for piece in name {
            self.arena.extend_from_slice(piece);
        }
        let name = self.arena.len();
        self.arena.extend_from_slice(trace_state);
        let trace_state = self.arena.len();
        self.arena.extend_from_slice(attributes.as_bytes());
        let attributes = self.arena.len();
        self.spans.push(Stored { span, start, name, trace_state, attributes });
    }

    /// An empty batch with room for as much as `other` holds, and a little more: the next spans
    /// are hardly of the same length, and growing would double it.
    #[must_use]
    pub fn like(other: &Self) -> Self {
        Self {
            spans: Vec::with_capacity(other.spans.len()),
            arena: Vec::with_capacity(other.arena.len() + other.arena.len() / 16),
        }
    }

    /// A copy of those spans, from the one of the number `from` on, that are wanted.
    #[must_use]
    pub fn select(&self, from: usize, mut is_wanted: impl FnMut(&SpanView<'_>) -> bool) -> Self {
        let mut selected = Self::default();
        for (stored, view) in self.spans.iter().zip(self.iter()).skip(from) {
            if is_wanted(&view) {
                let moved = stored.start - selected.arena.len();
                let text = self.arena.get(stored.start..stored.attributes).unwrap_or_default();
                selected.arena.extend_from_slice(text);
                selected.spans.push(Stored {
                    span: stored.span,
                    start: stored.start - moved,
                    name: stored.name - moved,
                    trace_state: stored.trace_state - moved,
                    attributes: stored.attributes - moved,
                });
            }
        }
        selected
    }

    /// How many spans there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many bytes the spans take up in memory.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.arena.len() + self.spans.len() * size_of::<Stored>()
    }

    /// The spans, in the order they finished.
    pub fn iter(&self) -> impl Iterator<Item = SpanView<'_>> + Clone {
        let text = |from: usize, to: usize| self.arena.get(from..to).unwrap_or_default();
        self.spans.iter().map(move |s| SpanView {
            span: s.span,
            name: text(s.start, s.name),
            trace_state: text(s.name, s.trace_state),
            attributes: Pairs::new(text(s.trace_state, s.attributes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::IdGenerator;
    use super::super::semconv::Key;
    use super::*;

    fn span() -> Span {
        let mut ids = IdGenerator::from_seed([3; 32]);
        Span {
            trace_id: ids.trace_id(),
            span_id: ids.span_id(),
            parent: None,
            link: None,
            flags: Flags::SAMPLED,
            kind: Kind::Server,
            is_part: false,
            status: Status::Unset,
            start: 1,
            end: 2,
        }
    }

    #[test]
    fn a_batch_gives_every_span_its_own_texts() {
        let mut batch = SpanBatch::default();
        for (i, name) in ["one", "two"].into_iter().enumerate() {
            let mut attributes = Attributes::default();
            attributes.count(Key::ServerPort, i as u64);
            batch.push(span(), &[name.as_bytes(), b" x"], b"a=1", &attributes);
        }
        let views: Vec<_> = batch.iter().collect();
        assert_eq!((views[0].name, views[1].name), (&b"one x"[..], &b"two x"[..]));
        assert_eq!(views[1].trace_state, b"a=1");
        assert_eq!(views[1].attributes.clone().count(), 1);
        assert_eq!(batch.len(), 2);
    }
}
