//! Thrift as it is on the wire, in both of its protocols.
//!
//! A reader takes values off the front of a message; what it reads of one is never copied. It knows
//! nothing of what the fields mean. Every length is checked against what is left, and what is passed
//! over may not be nested deeply.

use std::fmt;

/// How values are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Protocol {
    /// Thrift's compact protocol.
    Compact,
    /// Thrift's binary protocol, with a version in front or without.
    Binary,
}

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

const CUT_OFF: Malformed = Malformed("it is cut off");

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A boolean of which the kind says all.
    Known(bool),
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    /// Bytes or text.
    Bytes,
    /// A list or a set.
    List,
    Map,
    Struct,
}

/// How deeply what is passed over may be nested.
const MAX_DEPTH: usize = 16;
/// The bits of a varint's byte that are of the number.
const VARINT_BITS: u32 = 7;

/// Takes values off the front.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    protocol: Protocol,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(protocol: Protocol, message: &'a [u8]) -> Self {
        Self { rest: message, protocol }
    }

    /// The name of the method that a message calls; its arguments are a structure, which follows.
    pub(super) fn call(&mut self) -> Result<&'a [u8], Malformed> {
        let (kind, name) = match self.protocol {
            Protocol::Compact => self.compact_call()?,
            Protocol::Binary => self.binary_call()?,
        };
        match kind {
            CALL | ONE_WAY => Ok(name),
            _ => Err(Malformed("it is no call")),
        }
    }

    fn compact_call(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        const PROTOCOL: u8 = 0x82;
        const VERSION: u8 = 1;
        let (protocol, version) = (self.byte()?, self.byte()?);
        if protocol != PROTOCOL || version & 0x1f != VERSION {
            return Err(Malformed("it is not of the compact protocol"));
        }
        self.varint()?;
        Ok((version >> 5, self.bytes()?))
    }

    fn binary_call(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        const VERSION: [u8; 2] = [0x80, 1];
        let called = match self.rest {
            [a, b, _, kind, ..] if [*a, *b] == VERSION => {
                self.array::<4>()?;
                (*kind, self.bytes()?)
            }
            _ => {
                let name = self.bytes()?;
                (self.byte()?, name)
            }
        };
        self.array::<4>()?;
        Ok(called)
    }

    /// Reads a structure: `take` is given the number and the kind of each field and takes its value.
    pub(super) fn structure(
        &mut self,
        mut take: impl FnMut(&mut Self, i16, Kind) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut last = 0;
        while let Some((field, kind)) = self.field(last)? {
            take(self, field, kind)?;
            last = field;
        }
        Ok(())
    }

    /// The number and the kind of the next field, unless the structure ends.
    fn field(&mut self, last: i16) -> Result<Option<(i16, Kind)>, Malformed> {
        let first = self.byte()?;
        if first == 0 {
            return Ok(None);
        }
        match self.protocol {
            Protocol::Binary => Ok(Some((self.i16()?, binary_kind(first)?))),
            Protocol::Compact => {
                let kind = match first & 0x0f {
                    1 => Kind::Known(true),
                    2 => Kind::Known(false),
                    other => compact_kind(other)?,
                };
                let field = match first >> 4 {
                    0 => self.i16()?,
                    step => last
                        .checked_add(i16::from(step))
                        .ok_or(Malformed("it has a field beyond all others"))?,
                };
                Ok(Some((field, kind)))
            }
        }
    }

    /// What the values of a list are, and how many follow.
    pub(super) fn list(&mut self) -> Result<(Kind, usize), Malformed> {
        let (kind, count) = match self.protocol {
            Protocol::Binary => (binary_kind(self.byte()?)?, self.length()?),
            Protocol::Compact => {
                let first = self.byte()?;
                let count = match first >> 4 {
                    15 => self.length()?,
                    few => usize::from(few),
                };
                (compact_kind(first & 0x0f)?, count)
            }
        };
        self.holds(count)?;
        Ok((kind, count))
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, kind: Kind) -> Result<(), Malformed> {
        self.skip_within(kind, MAX_DEPTH)
    }

    fn skip_within(&mut self, kind: Kind, depth: usize) -> Result<(), Malformed> {
        let within = || depth.checked_sub(1).ok_or(Malformed("it is nested too deeply"));
        match kind {
            Kind::Known(_) => Ok(()),
            Kind::Bool | Kind::Byte => self.byte().map(drop),
            Kind::I16 => self.i16().map(drop),
            Kind::I32 => self.i32().map(drop),
            Kind::I64 => self.i64().map(drop),
            Kind::Double => self.double().map(drop),
            Kind::Bytes => self.bytes().map(drop),
            Kind::List => {
                let depth = within()?;
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_within(kind, depth))
            }
            Kind::Map => {
                let depth = within()?;
                let Some((key, value, count)) = self.map()? else { return Ok(()) };
                (0..count).try_for_each(|_| {
                    self.skip_within(key, depth)?;
                    self.skip_within(value, depth)
                })
            }
            Kind::Struct => {
                let depth = within()?;
                self.structure(|reader, _, kind| reader.skip_within(kind, depth))
            }
        }
    }

    /// What the keys and values of a map are, and how many pairs follow.
    fn map(&mut self) -> Result<Option<(Kind, Kind, usize)>, Malformed> {
        let (key, value, count) = match self.protocol {
            Protocol::Binary => {
                let (key, value) = (self.byte()?, self.byte()?);
                let count = self.length()?;
                if count == 0 {
                    return Ok(None);
                }
                (binary_kind(key)?, binary_kind(value)?, count)
            }
            Protocol::Compact => {
                let count = self.length()?;
                if count == 0 {
                    return Ok(None);
                }
                let kinds = self.byte()?;
                (compact_kind(kinds >> 4)?, compact_kind(kinds & 0x0f)?, count)
            }
        };
        self.holds(count)?;
        Ok(Some((key, value, count)))
    }

    pub(super) fn boolean(&mut self, kind: Kind) -> Result<bool, Malformed> {
        match kind {
            Kind::Known(value) => Ok(value),
            _ => Ok(self.byte()? == 1),
        }
    }

    fn i16(&mut self) -> Result<i16, Malformed> {
        match self.protocol {
            Protocol::Compact => self.zigzag()?.try_into().map_err(|_| TOO_LARGE),
            Protocol::Binary => Ok(i16::from_be_bytes(self.array()?)),
        }
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        match self.protocol {
            Protocol::Compact => self.zigzag()?.try_into().map_err(|_| TOO_LARGE),
            Protocol::Binary => Ok(i32::from_be_bytes(self.array()?)),
        }
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        match self.protocol {
            Protocol::Compact => self.zigzag(),
            Protocol::Binary => Ok(i64::from_be_bytes(self.array()?)),
        }
    }

    pub(super) fn double(&mut self) -> Result<f64, Malformed> {
        let bytes = self.array()?;
        Ok(match self.protocol {
            Protocol::Compact => f64::from_le_bytes(bytes),
            Protocol::Binary => f64::from_be_bytes(bytes),
        })
    }

    /// Bytes or text.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let length = match self.protocol {
            Protocol::Compact => usize::try_from(self.varint()?).ok(),
            Protocol::Binary => usize::try_from(self.i32()?).ok(),
        };
        length.ok_or(TOO_LARGE)
    }

    /// Whether so many values can follow, of which each takes a byte at least.
    const fn holds(&self, count: usize) -> Result<(), Malformed> {
        if count <= self.rest.len() { Ok(()) } else { Err(CUT_OFF) }
    }

    fn zigzag(&mut self) -> Result<i64, Malformed> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg())
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(VARINT_BITS as usize) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(TOO_LARGE);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(TOO_LARGE)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(*array)
    }
}

/// The kinds of message.
const CALL: u8 = 1;
const ONE_WAY: u8 = 4;

const TOO_LARGE: Malformed = Malformed("a number in it is too large");
const UNKNOWN_KIND: Malformed = Malformed("it holds values of an unknown kind");

const fn compact_kind(code: u8) -> Result<Kind, Malformed> {
    Ok(match code {
        1 | 2 => Kind::Bool,
        3 => Kind::Byte,
        4 => Kind::I16,
        5 => Kind::I32,
        6 => Kind::I64,
        7 => Kind::Double,
        8 => Kind::Bytes,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Struct,
        _ => return Err(UNKNOWN_KIND),
    })
}

const fn binary_kind(code: u8) -> Result<Kind, Malformed> {
    Ok(match code {
        2 => Kind::Bool,
        3 => Kind::Byte,
        4 => Kind::Double,
        6 => Kind::I16,
        8 => Kind::I32,
        10 => Kind::I64,
        11 => Kind::Bytes,
        12 => Kind::Struct,
        13 => Kind::Map,
        14 | 15 => Kind::List,
        _ => return Err(UNKNOWN_KIND),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Protocol; 2] = [Protocol::Compact, Protocol::Binary];

    fn compact(bytes: &[u8]) -> Reader<'_> {
        Reader::new(Protocol::Compact, bytes)
    }

    fn binary(bytes: &[u8]) -> Reader<'_> {
        Reader::new(Protocol::Binary, bytes)
    }

    #[test]
    fn numbers_are_read_as_each_protocol_writes_them() {
        assert_eq!(compact(&[1]).i32(), Ok(-1));
        assert_eq!(compact(&[0x80, 1]).i64(), Ok(64));
        let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(compact(&least).i64(), Ok(i64::MIN));
        assert_eq!(binary(&[0xff, 0xff, 0xff, 0xfe]).i32(), Ok(-2));
        assert_eq!(compact(&0.5f64.to_le_bytes()).double(), Ok(0.5));
        assert_eq!(binary(&0.5f64.to_be_bytes()).double(), Ok(0.5));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert_eq!(compact(&[0xff; 11]).i64(), Err(TOO_LARGE));
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(compact(&beyond).i64(), Err(TOO_LARGE));
        assert_eq!(compact(&[0x80, 0x80, 0x80, 0x80, 0x80, 1]).i32(), Err(TOO_LARGE));
        assert_eq!(binary(&[0xff, 0xff, 0xff, 0xff]).bytes(), Err(TOO_LARGE));
    }

    #[test]
    fn fields_follow_one_another_by_steps_or_by_number() {
        // Field 3 true, field 4 false, field 400 of two bytes.
        let bytes = [0x31, 0x12, 0x08, 0xa0, 0x06, 2, b'h', b'i', 0];
        let mut fields = Vec::new();
        let mut text: &[u8] = &[];
        compact(&bytes)
            .structure(|reader, field, kind| {
                fields.push((field, kind));
                if kind == Kind::Bytes {
                    text = reader.bytes()?;
                }
                Ok(())
            })
            .unwrap();
        let expected = [(3, Kind::Known(true)), (4, Kind::Known(false)), (400, Kind::Bytes)];
        assert_eq!((fields.as_slice(), text), (expected.as_slice(), &b"hi"[..]));
    }

    #[test]
    fn a_call_is_told_from_an_answer() {
        let call = [&[0x82, 0x81, 7, 1][..], b"m"].concat();
        assert_eq!(compact(&call).call(), Ok(&b"m"[..]));
        let answer = [&[0x82, 0x41, 7, 1][..], b"m"].concat();
        assert!(compact(&answer).call().is_err());
        let strict = [&[0x80, 1, 0, 4, 0, 0, 0, 1][..], b"m", &[0, 0, 0, 7]].concat();
        assert_eq!(binary(&strict).call(), Ok(&b"m"[..]));
        let elder = [&[0, 0, 0, 1][..], b"m", &[1, 0, 0, 0, 7]].concat();
        assert_eq!(binary(&elder).call(), Ok(&b"m"[..]));
        let other = [&[0x80, 2, 0, 4, 0, 0, 0, 1][..], b"m", &[0, 0, 0, 7]].concat();
        assert!(binary(&other).call().is_err());
    }

    #[test]
    fn every_kind_can_be_passed_over() {
        // A list of three bytes, a map of a text to a boolean, an empty map, a structure.
        let compacts = [
            (&[0x33, 1, 2, 3][..], Kind::List),
            (&[1, 0x81, 1, b'k', 1], Kind::Map),
            (&[0], Kind::Map),
            (&[0x15, 4, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0], Kind::Struct),
        ];
        for (bytes, kind) in compacts {
            let mut reader = compact(bytes);
            assert_eq!((reader.skip(kind), reader.rest), (Ok(()), &[][..]), "{kind:?}");
        }
        let binaries = [
            (&[3, 0, 0, 0, 3, 1, 2, 3][..], Kind::List),
            (&[11, 2, 0, 0, 0, 1, 0, 0, 0, 1, b'k', 1], Kind::Map),
            (&[0, 0, 0, 0, 0, 0], Kind::Map),
            (&[6, 0, 1, 0, 2, 0], Kind::Struct),
        ];
        for (bytes, kind) in binaries {
            let mut reader = binary(bytes);
            assert_eq!((reader.skip(kind), reader.rest), (Ok(()), &[][..]), "{kind:?}");
        }
    }

    #[test]
    fn what_is_nested_deeply_is_refused() {
        let compacts = |depth: usize| [vec![0x1c; depth - 1], vec![0; depth]].concat();
        let structures = |depth: usize| [[12, 0, 1].repeat(depth - 1), vec![0; depth]].concat();
        assert_eq!(compact(&compacts(MAX_DEPTH)).skip(Kind::Struct), Ok(()));
        assert_eq!(binary(&structures(MAX_DEPTH)).skip(Kind::Struct), Ok(()));
        assert!(compact(&compacts(MAX_DEPTH + 1)).skip(Kind::Struct).is_err());
        assert!(binary(&structures(MAX_DEPTH + 1)).skip(Kind::Struct).is_err());
        assert!(compact(&vec![0x1c; 65_000]).skip(Kind::Struct).is_err());
    }

    #[test]
    fn more_values_than_there_are_bytes_are_refused_at_once() {
        assert_eq!(compact(&[0xf3, 0xff, 0xff, 0xff, 0xff, 0x0f]).list(), Err(CUT_OFF));
        assert_eq!(binary(&[3, 0x7f, 0xff, 0xff, 0xff]).list(), Err(CUT_OFF));
        for protocol in BOTH {
            assert_eq!(Reader::new(protocol, &[]).bytes(), Err(CUT_OFF));
        }
    }
}
