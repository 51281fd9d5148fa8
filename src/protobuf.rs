//! The few pieces of the protobuf wire format that OTLP needs: writing fields, reading them back.
//!
//! Writing goes straight into a buffer, without types in between. Reading is total: it stops at
//! the first byte that makes no sense and gives what came before.

use std::borrow::Cow;

/// The wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// A varint has at most this many bytes.
const MAX_VARINT: usize = 10;

/// Appends a varint. Most are short, and so is what is written at each place for these.
#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(low_byte(value));
    } else {
        long_varint(out, value);
    }
}

#[cold]
fn long_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// How many bytes [`varint`] appends for `value`.
#[inline]
pub(crate) const fn varint_len(value: u64) -> usize {
    let bits = (u64::BITS - (value | 1).leading_zeros()) as usize;
    bits.div_ceil(7)
}

/// How many bytes [`bytes`] appends for a `field` below 16 and `length` bytes.
#[inline]
pub(crate) const fn bytes_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// Appends a field that is a varint.
#[inline]
pub(crate) fn uint(out: &mut Vec<u8>, field: u8, value: u64) {
    key(out, field, VARINT);
    varint(out, value);
}

/// Appends a field of eight bytes.
#[inline]
pub(crate) fn fixed64(out: &mut Vec<u8>, field: u8, value: u64) {
    key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of four bytes.
#[inline]
pub(crate) fn fixed32(out: &mut Vec<u8>, field: u8, value: u32) {
    key(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of bytes, text or a whole message.
#[inline]
pub(crate) fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    open(out, field, value.len());
    out.extend_from_slice(value);
}

/// Appends the head of a field whose `length` bytes the caller appends next.
#[inline]
pub(crate) fn open(out: &mut Vec<u8>, field: u8, length: usize) {
    match u8::try_from(length) {
        Ok(length @ 0..0x80) if field < 16 => {
            out.extend_from_slice(&[field << 3 | BYTES, length]);
        }
        _ => long_open(out, field, length),
    }
}

#[cold]
fn long_open(out: &mut Vec<u8>, field: u8, length: usize) {
    key(out, field, BYTES);
    long_varint(out, length as u64);
}

/// Text as receivers take it: what is not UTF-8 is replaced, because they would refuse the whole
/// message otherwise. Nearly all text is UTF-8, and checking that is several times faster than
/// looking for what is to be replaced.
pub(crate) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// What a field of bytes, of a number below 16, begins with.
pub(crate) const fn tag(field: u8) -> u8 {
    assert!(field < 16, "its tag is one byte");
    field << 3 | BYTES
}

#[inline]
fn key(out: &mut Vec<u8>, field: u8, wire_type: u8) {
    varint(out, u64::from(field) << 3 | u64::from(wire_type));
}

#[inline]
const fn low_byte(value: u64) -> u8 {
    (value & 0x7f) as u8
}

/// A field's value as it is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// A varint.
    Uint(u64),
    /// Bytes, text or a message.
    Bytes(&'a [u8]),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
}

/// Reads the numbers that stand one after the other, up to one that is cut short.
pub(crate) fn varints(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = Fields(bytes);
    std::iter::from_fn(move || rest.take_varint())
}

/// Reads the fields of one message in the order they stand in.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The number of a field, as it stands last; 0 where there is none.
    pub(crate) fn uint(&self, field: u64) -> u64 {
        match self.field(field) {
            Some(Field::Uint(value)) => value,
            _ => 0,
        }
    }

    /// The bytes of a field, as they stand last; empty where there are none.
    pub(crate) fn bytes(&self, field: u64) -> &'a [u8] {
        match self.field(field) {
            Some(Field::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// What has not been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Whether all has been read: after the last field, that what was read is the whole message.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// A field, as it stands last.
    pub(crate) fn field(&self, field: u64) -> Option<Field<'a>> {
        self.clone().filter(|(number, _)| *number == field).map(|(_, value)| value).last()
    }

    fn take_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for i in 0..MAX_VARINT {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take_chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Field<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let before = self.0;
        let read = self.read();
        if read.is_none() {
            // What makes no sense is left, so that it can be told from the end.
            self.0 = before;
        }
        read
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.take_varint()?;
        let value = match (key & 0x07) as u8 {
            VARINT => Field::Uint(self.take_varint()?),
            FIXED64 => Field::Fixed64(u64::from_le_bytes(self.take_chunk()?)),
            FIXED32 => Field::Fixed32(u32::from_le_bytes(self.take_chunk()?)),
            BYTES => {
                let length = usize::try_from(self.take_varint()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_read_back_as_they_were_written() {
        let mut out = Vec::new();
        uint(&mut out, 1, u64::MAX);
        fixed64(&mut out, 2, 7);
        bytes(&mut out, 3, b"text");
        fixed32(&mut out, 16, 9);
        uint(&mut out, 1, 3);
        let fields = Fields::new(&out);
        let read: Vec<_> = fields.clone().collect();
        assert_eq!(
            read,
            [
                (1, Field::Uint(u64::MAX)),
                (2, Field::Fixed64(7)),
                (3, Field::Bytes(b"text")),
                (16, Field::Fixed32(9)),
                (1, Field::Uint(3)),
            ]
        );
        assert_eq!((fields.uint(1), fields.bytes(1)), (3, &b""[..]));
        assert_eq!((fields.uint(3), fields.bytes(3)), (0, &b"text"[..]));
        assert_eq!(fields.uint(4), 0);
    }

    #[test]
    fn what_is_cut_short_or_of_an_unknown_type_ends_the_reading() {
        for bad in [&[0x0a, 5, b'x'][..], &[0x0b], &[0x08, 0xff], &[0xff; 11], &[0x09, 0]] {
            let mut fields = Fields::new(bad);
            assert_eq!((fields.next(), fields.is_at_end()), (None, false), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_length_of_a_varint_is_foretold(value: u64) {
            let mut out = Vec::new();
            varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            out.clear();
            bytes(&mut out, 15, &[0; 200]);
            prop_assert_eq!(out.len(), bytes_len(200));
        }

        #[test]
        fn no_bytes_whatsoever_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Fields::new(&bytes).count() <= bytes.len());
        }
    }
}
