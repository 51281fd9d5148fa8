//! The finished span as a compact record, and the batch that holds many of them.
//!
//! A record has fixed fields; its texts and attributes are bytes in one arena that the whole
//! batch shares. Attributes are written while the request runs, as a plain run of records, so
//! that finishing a span is one copy and no allocation.

use super::{Flags, SpanId, TraceContext, TraceId, semconv::Key};

/// The longest attribute value that is kept, in bytes; what is longer is cut.
pub const MAX_VALUE: usize = 4_096;

/// The most bytes that the attributes of one span take up; texts beyond are left empty.
pub const MAX_ATTRIBUTES: usize = 8_192;

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

/// Attributes as they are gathered: one record after another.
///
/// A record is the key, the kind of value, the length, and the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    bytes: Vec<u8>,
}

/// An attribute's value as it is read back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text, as the bytes that came; not always UTF-8.
    Text(&'a [u8]),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
}

/// An attribute's name as it is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// A name of the semantic conventions, or one of our own.
    Known(Key),
    /// A name that the configuration gave.
    Custom(&'a [u8]),
}

const TEXT: u8 = 0;
const INT: u8 = 1;
const DOUBLE: u8 = 2;
const BOOL: u8 = 3;
/// The key byte of a record whose name follows as text.
const CUSTOM: u8 = u8::MAX;

impl Attributes {
    /// No attributes, in a buffer that was used before.
    #[must_use]
    pub fn reuse(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes }
    }

    /// The buffer, to be used again.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// The records.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds text, cut at [`MAX_VALUE`] bytes.
    pub fn text(&mut self, key: Key, value: impl AsRef<[u8]>) {
        self.texts(key, &[value.as_ref()]);
    }

    /// Adds text made of several pieces, cut at [`MAX_VALUE`] bytes.
    pub fn texts(&mut self, key: Key, pieces: &[&[u8]]) {
        self.bytes.push(key as u8);
        self.push_text(pieces);
    }

    /// Adds text under a name of the configuration's; both are cut at their limits.
    pub fn custom(&mut self, prefix: &str, name: &str, value: &[u8]) {
        let name = name.as_bytes().get(..usize::from(u8::MAX) / 2).unwrap_or(name.as_bytes());
        let length = prefix.len().min(usize::from(u8::MAX) / 2) + name.len();
        self.bytes.push(CUSTOM);
        self.bytes.push(u8::try_from(length).unwrap_or(u8::MAX));
        self.bytes.extend(prefix.bytes().take(usize::from(u8::MAX) / 2));
        self.bytes.extend_from_slice(name);
        self.push_text(&[value]);
    }

    /// Adds a whole number.
    pub fn int(&mut self, key: Key, value: i64) {
        self.bytes.extend_from_slice(&[key as u8, INT]);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a count or size; what does not fit is the largest number.
    pub fn count(&mut self, key: Key, value: u64) {
        self.int(key, i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Adds a number.
    pub fn double(&mut self, key: Key, value: f64) {
        self.bytes.extend_from_slice(&[key as u8, DOUBLE]);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a yes or a no.
    pub fn bool(&mut self, key: Key, value: bool) {
        self.bytes.extend_from_slice(&[key as u8, BOOL, u8::from(value)]);
    }

    /// Adds all that `other` holds.
    pub fn extend(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    fn push_text(&mut self, pieces: &[&[u8]]) {
        self.bytes.push(TEXT);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        let most = MAX_VALUE.min(MAX_ATTRIBUTES.saturating_sub(at));
        let mut room = most;
        for piece in pieces {
            let piece = piece.get(..room).unwrap_or(piece);
            self.bytes.extend_from_slice(piece);
            room -= piece.len();
        }
        let length = u16::try_from(most - room).unwrap_or(u16::MAX).to_le_bytes();
        if let Some(field) = self.bytes.get_mut(at..at + 2) {
            field.copy_from_slice(&length);
        }
    }
}

/// Reads attribute records back, in the order they were added.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// Reads the records that [`Attributes::as_bytes`] gave.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn take_slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (Name<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = match self.take()? {
            [CUSTOM] => {
                let [length] = self.take()?;
                Name::Custom(self.take_slice(usize::from(length))?)
            }
            [key] => Name::Known(Key::from_byte(key)?),
        };
        let value = match self.take()? {
            [INT] => Value::Int(i64::from_le_bytes(self.take()?)),
            [DOUBLE] => Value::Double(f64::from_le_bytes(self.take()?)),
            [BOOL] => Value::Bool(self.take()? != [0]),
            _ => {
                let length = u16::from_le_bytes(self.take()?);
                Value::Text(self.take_slice(usize::from(length))?)
            }
        };
        Some((name, value))
    }
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
    pub attributes: Records<'a>,
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

    /// An empty batch with room for as much as `other` holds.
    #[must_use]
    pub fn like(other: &Self) -> Self {
        Self {
            spans: Vec::with_capacity(other.spans.len()),
            arena: Vec::with_capacity(other.arena.len()),
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
    pub fn iter(&self) -> impl Iterator<Item = SpanView<'_>> {
        let text = |from: usize, to: usize| self.arena.get(from..to).unwrap_or_default();
        self.spans.iter().map(move |s| SpanView {
            span: s.span,
            name: text(s.start, s.name),
            trace_state: text(s.name, s.trace_state),
            attributes: Records::new(text(s.trace_state, s.attributes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::IdGenerator;
    use super::*;
    use proptest::prelude::*;

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
    fn attributes_are_read_back_as_they_were_added() {
        let mut attributes = Attributes::default();
        attributes.text(Key::UrlPath, "/a");
        attributes.int(Key::HttpResponseStatusCode, -7);
        attributes.double(Key::ConnectDuration, 0.5);
        attributes.bool(Key::ContextWithheld, true);
        attributes.custom("baggage.", "user", b"u1");
        attributes.texts(Key::UrlFull, &[b"http", b"://", b"h"]);
        let read: Vec<_> = Records::new(attributes.as_bytes()).collect();
        assert_eq!(
            read,
            [
                (Name::Known(Key::UrlPath), Value::Text(b"/a")),
                (Name::Known(Key::HttpResponseStatusCode), Value::Int(-7)),
                (Name::Known(Key::ConnectDuration), Value::Double(0.5)),
                (Name::Known(Key::ContextWithheld), Value::Bool(true)),
                (Name::Custom(b"baggage.user"), Value::Text(b"u1")),
                (Name::Known(Key::UrlFull), Value::Text(b"http://h")),
            ]
        );
    }

    #[test]
    fn long_values_are_cut_and_what_follows_is_intact() {
        let mut attributes = Attributes::default();
        attributes.texts(Key::UrlPath, &[&[b'a'; MAX_VALUE - 1], b"bcd"]);
        attributes.int(Key::ServerPort, 80);
        let read: Vec<_> = Records::new(attributes.as_bytes()).collect();
        let Value::Text(path) = read[0].1 else { panic!("text expected") };
        assert_eq!((path.len(), path.last()), (MAX_VALUE, Some(&b'b')));
        assert_eq!(read[1], (Name::Known(Key::ServerPort), Value::Int(80)));
    }

    #[test]
    fn the_attributes_of_a_span_have_a_bound_together() {
        let mut attributes = Attributes::default();
        for _ in 0..100 {
            attributes.text(Key::UrlPath, [b'a'; MAX_VALUE]);
        }
        assert!(attributes.as_bytes().len() < MAX_ATTRIBUTES + 100 * 8);
        assert_eq!(Records::new(attributes.as_bytes()).count(), 100);
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

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Records::new(&bytes).count();
        }
    }
}
