//! The attributes of a span, gathered in the form in which they are sent.
//!
//! Each is written down once, while the request runs, as a field `attributes` of an OTLP span
//! (opentelemetry-proto, `trace/v1/trace.proto`), so that nothing is left to be done when the span
//! is encoded but to copy all of them at once.

use std::borrow::Cow;

use super::semconv::Key;
use crate::protobuf::{self, Field, Fields};

/// The longest attribute value that is kept, in bytes; what is longer is cut.
pub const MAX_VALUE: usize = 4_096;

/// The most bytes that the attributes of one span take up, names included; texts beyond are left
/// empty.
pub const MAX_ATTRIBUTES: usize = 8_192;

/// The longest parts of a name that the configuration gives, in bytes.
const MAX_NAME_PART: usize = 127;

/// Field numbers of the messages of opentelemetry-proto.
mod field {
    pub(super) const SPAN_ATTRIBUTES: u8 = 9;
    pub(super) const KEY_VALUE_KEY: u8 = 1;
    pub(super) const KEY_VALUE_VALUE: u8 = 2;
    pub(super) const VALUE_STRING: u8 = 1;
    pub(super) const VALUE_BOOL: u8 = 2;
    pub(super) const VALUE_INT: u8 = 3;
    pub(super) const VALUE_DOUBLE: u8 = 4;
}

/// Attributes as they are gathered: one field after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    bytes: Vec<u8>,
}

/// An attribute of text that is known when this is compiled, as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known(&'static [u8]);

impl Known {
    /// What [`known_text`] made.
    pub(super) const fn new(bytes: &'static [u8]) -> Self {
        Self(bytes)
    }
}

/// An attribute's value as it is read back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a [u8]),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
}

impl Attributes {
    /// No attributes, in a buffer that was used before.
    #[must_use]
    pub fn reuse(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The buffer, to be used again.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// The fields `attributes` of the span.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds text, cut at [`MAX_VALUE`] bytes.
    #[inline]
    pub fn text(&mut self, key: Key, value: &str) {
        let room = self.room();
        let value = if value.len() > room { cut(value, room) } else { value };
        text(&mut self.bytes, field::SPAN_ATTRIBUTES, key.encoded(), &[value.as_bytes()]);
    }

    /// Adds what need not be put together.
    #[inline]
    pub(super) fn known(&mut self, attribute: Known) {
        self.bytes.extend_from_slice(attribute.0);
    }

    /// Adds text as it came over the wire, cut as [`Self::text`] does. What is not UTF-8 is made
    /// so, with replacement characters, because a receiver would refuse the whole request otherwise.
    pub fn raw(&mut self, key: Key, value: &[u8]) {
        let value = fit(value, self.room());
        text(&mut self.bytes, field::SPAN_ATTRIBUTES, key.encoded(), &[value.as_bytes()]);
    }

    /// Adds text made of several pieces, as [`Self::raw`] does.
    pub fn raw_pieces(&mut self, key: Key, pieces: &[&[u8]]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let is_fit = length <= self.room() && pieces.iter().all(|p| str::from_utf8(p).is_ok());
        if is_fit {
            text(&mut self.bytes, field::SPAN_ATTRIBUTES, key.encoded(), pieces);
        } else {
            self.raw(key, &pieces.concat());
        }
    }

    /// Adds text under a name of the configuration's; both are cut at their limits.
    pub fn custom(&mut self, prefix: &str, name: &str, value: &[u8]) {
        let name = name_of(&[prefix, name].map(|part| cut(part, MAX_NAME_PART)).concat());
        let value = fit(value, self.room());
        text(&mut self.bytes, field::SPAN_ATTRIBUTES, &name, &[value.as_bytes()]);
    }

    /// Adds a whole number.
    #[inline]
    pub fn int(&mut self, key: Key, value: i64) {
        let value = value.cast_unsigned();
        let out = self.open(key, 1 + protobuf::varint_len(value));
        protobuf::uint(out, field::VALUE_INT, value);
    }

    /// Adds a count or size; what does not fit is the largest number.
    #[inline]
    pub fn count(&mut self, key: Key, value: u64) {
        self.int(key, i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Adds a number.
    #[inline]
    pub fn double(&mut self, key: Key, value: f64) {
        let out = self.open(key, 1 + size_of::<f64>());
        protobuf::fixed64(out, field::VALUE_DOUBLE, value.to_bits());
    }

    /// Adds a yes or a no.
    #[inline]
    pub fn bool(&mut self, key: Key, value: bool) {
        let out = self.open(key, 2);
        protobuf::uint(out, field::VALUE_BOOL, u64::from(value));
    }

    /// Adds all that `other` holds.
    pub fn extend(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// How long the next text may be.
    fn room(&self) -> usize {
        MAX_VALUE.min(MAX_ATTRIBUTES.saturating_sub(self.bytes.len()))
    }

    fn open(&mut self, key: Key, value: usize) -> &mut Vec<u8> {
        open(&mut self.bytes, field::SPAN_ATTRIBUTES, key.encoded(), value);
        &mut self.bytes
    }
}

/// Appends a text as a field of attributes, whatever message that is in.
pub fn text_field(out: &mut Vec<u8>, number: u8, name: &str, value: &str) {
    text(out, number, &name_of(name), &[value.as_bytes()]);
}

/// Appends an attribute of text, which is UTF-8 when it is put together.
fn text(out: &mut Vec<u8>, number: u8, name: &[u8], pieces: &[&[u8]]) {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    open(out, number, name, protobuf::bytes_len(length));
    protobuf::open(out, field::VALUE_STRING, length);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// Appends an attribute up to its value, of which `value` bytes follow.
fn open(out: &mut Vec<u8>, number: u8, name: &[u8], value: usize) {
    let length = protobuf::varint_len(value as u64);
    protobuf::open(out, number, name.len() + length + value);
    out.extend_from_slice(name);
    protobuf::varint(out, value as u64);
}

/// As much of a text as has room.
fn cut(text: &str, room: usize) -> &str {
    text.get(..text.floor_char_boundary(room)).unwrap_or_default()
}

/// As much of `bytes` as has room, as text.
fn fit(bytes: &[u8], room: usize) -> Cow<'_, str> {
    let mut text = protobuf::utf8(bytes.get(..room).unwrap_or(bytes));
    // Replacement characters are longer than what they stand for.
    if let Cow::Owned(text) = &mut text {
        text.truncate(text.floor_char_boundary(room));
    }
    text
}

/// The field `key` of a `KeyValue`, and the tag of its field `value`.
fn name_of(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 4);
    protobuf::bytes(&mut out, field::KEY_VALUE_KEY, name.as_bytes());
    out.push(protobuf::tag(field::KEY_VALUE_VALUE));
    out
}

/// The same of a name that is known when this is compiled: `N` is three more than its length.
#[expect(clippy::indexing_slicing, reason = "at compile time, where a mistake does not compile")]
#[expect(clippy::cast_possible_truncation, reason = "the length is checked")]
pub(super) const fn known_name<const N: usize>(name: &str) -> [u8; N] {
    let name = name.as_bytes();
    assert!(name.len() + 3 == N && name.len() < 0x80, "a name is short");
    let mut out = [0; N];
    out[0] = protobuf::tag(field::KEY_VALUE_KEY);
    out[1] = name.len() as u8;
    let mut at = 0;
    while at < name.len() {
        out[at + 2] = name[at];
        at += 1;
    }
    out[N - 1] = protobuf::tag(field::KEY_VALUE_VALUE);
    out
}

/// A whole attribute of text that is known when this is compiled: `N` is [`known_length`].
#[expect(clippy::indexing_slicing, reason = "at compile time, where a mistake does not compile")]
#[expect(clippy::cast_possible_truncation, reason = "the length is checked")]
pub(super) const fn known_text<const N: usize>(key: Key, value: &str) -> [u8; N] {
    let (name, value) = (key.encoded(), value.as_bytes());
    assert!(known_length(key, value) == N && N < 0x80, "an attribute is short");
    let mut out = [0; N];
    out[0] = protobuf::tag(field::SPAN_ATTRIBUTES);
    out[1] = N as u8 - 2;
    let mut at = 0;
    while at < name.len() {
        out[at + 2] = name[at];
        at += 1;
    }
    let from = name.len() + 5;
    out[from - 3] = value.len() as u8 + 2;
    out[from - 2] = protobuf::tag(field::VALUE_STRING);
    out[from - 1] = value.len() as u8;
    at = 0;
    while at < value.len() {
        out[from + at] = value[at];
        at += 1;
    }
    out
}

/// How long [`known_text`] is: heads of the attribute, of its value, and of the text in it.
pub(super) const fn known_length(key: Key, value: &[u8]) -> usize {
    2 + key.encoded().len() + 1 + 2 + value.len()
}

/// Reads attributes back, in the order they were added.
#[derive(Clone, Debug)]
pub struct Pairs<'a>(Fields<'a>);

impl<'a> Pairs<'a> {
    /// Reads what [`Attributes::as_bytes`] gave.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Fields::new(bytes))
    }

    /// Those that have not been read, as they are sent.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0.rest()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (_, Field::Bytes(pair)) = self.0.next()? else { return None };
        let pair = Fields::new(pair);
        let name = pair.bytes(field::KEY_VALUE_KEY.into());
        let (number, value) = Fields::new(pair.bytes(field::KEY_VALUE_VALUE.into())).next()?;
        let value = match (u8::try_from(number).ok()?, value) {
            (field::VALUE_STRING, Field::Bytes(text)) => Value::Text(text),
            (field::VALUE_BOOL, Field::Uint(is)) => Value::Bool(is != 0),
            (field::VALUE_INT, Field::Uint(number)) => Value::Int(number.cast_signed()),
            (field::VALUE_DOUBLE, Field::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            _ => return None,
        };
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attributes_are_read_back_as_they_were_added() {
        let mut attributes = Attributes::default();
        attributes.text(Key::UrlPath, "/a");
        attributes.int(Key::HttpResponseStatusCode, -7);
        attributes.double(Key::ConnectDuration, 0.5);
        attributes.bool(Key::ContextWithheld, true);
        attributes.custom("baggage.", "user", b"u1");
        attributes.raw_pieces(Key::UrlFull, &[b"http", b"://", b"h"]);
        let read: Vec<_> = Pairs::new(attributes.as_bytes()).collect();
        let expected: [(&[u8], Value<'_>); 6] = [
            (b"url.path", Value::Text(b"/a")),
            (b"http.response.status_code", Value::Int(-7)),
            (b"spandrel.connect.duration", Value::Double(0.5)),
            (b"spandrel.context.withheld", Value::Bool(true)),
            (b"baggage.user", Value::Text(b"u1")),
            (b"url.full", Value::Text(b"http://h")),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn every_known_name_is_written_like_any_other() {
        for key in Key::ALL {
            assert_eq!(key.encoded(), name_of(key.as_str()), "{key:?}");
        }
    }

    #[test]
    fn what_is_known_is_written_like_any_other() {
        const KEY: Key = Key::UrlScheme;
        const BYTES: [u8; known_length(KEY, b"http")] = known_text(KEY, "http");
        let (mut known, mut written) = (Attributes::default(), Attributes::default());
        known.known(Known::new(&BYTES));
        written.text(KEY, "http");
        assert_eq!(known, written);
    }

    #[test]
    fn long_values_are_cut_and_what_follows_is_intact() {
        let mut attributes = Attributes::default();
        attributes.raw_pieces(Key::UrlPath, &[&[b'a'; MAX_VALUE - 1], b"bcd"]);
        attributes.int(Key::ServerPort, 80);
        let read: Vec<_> = Pairs::new(attributes.as_bytes()).collect();
        let Value::Text(path) = read[0].1 else { panic!("text expected") };
        assert_eq!((path.len(), path.last()), (MAX_VALUE, Some(&b'b')));
        assert_eq!(read[1], (&b"server.port"[..], Value::Int(80)));
    }

    #[test]
    fn what_is_not_utf8_is_made_so_within_its_bounds() {
        let mut attributes = Attributes::default();
        attributes.raw(Key::UrlPath, &[0xff; MAX_VALUE]);
        attributes.raw_pieces(Key::UrlFull, &[b"\xc3", b"\xa4"]);
        let read: Vec<_> = Pairs::new(attributes.as_bytes()).collect();
        let Value::Text(path) = read[0].1 else { panic!("text expected") };
        assert!(path.len() <= MAX_VALUE && path.len() + 3 > MAX_VALUE, "{}", path.len());
        assert!(str::from_utf8(path).is_ok());
        assert_eq!(read[1].1, Value::Text("\u{e4}".as_bytes()), "pieces of one character");
    }

    #[test]
    fn the_attributes_of_a_span_have_a_bound_together() {
        let mut attributes = Attributes::default();
        for _ in 0..100 {
            attributes.raw(Key::UrlPath, &[b'a'; MAX_VALUE]);
        }
        assert!(attributes.as_bytes().len() < MAX_ATTRIBUTES + 100 * 24);
        assert_eq!(Pairs::new(attributes.as_bytes()).count(), 100);
    }

    #[test]
    fn names_of_any_length_are_cut_between_characters() {
        let mut attributes = Attributes::default();
        attributes.custom("baggage.", &"\u{e4}".repeat(200), b"v");
        let (name, _) = Pairs::new(attributes.as_bytes()).next().unwrap();
        let name = str::from_utf8(name).unwrap();
        assert_eq!(name.len(), "baggage.".len() + MAX_NAME_PART - 1);
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pairs::new(&bytes).count();
        }
    }
}
