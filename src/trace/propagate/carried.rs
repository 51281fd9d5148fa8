//! What a message carries that may tell its trace: one look at its header lines.
//!
//! `traceparent` is not among it, which `extract` reads. A header that comes twice says nothing
//! certain: whoever reads it takes one of its values, or all.

use super::super::Headers;
use super::super::is_same_name;
use super::known::{Format, MAX_TEXT, Malformed, TraceKey, trace_key};
use super::trim_ows;

/// The most headers that can be named as keys.
pub const MAX_JOIN_KEYS: usize = 8;

/// The lines of a message that carry context or keys.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    formats: [Line<'a>; Format::ALL.len()],
    keys: [Line<'a>; MAX_JOIN_KEYS],
    is_any: bool,
}

#[derive(Clone, Copy, Debug)]
enum Line<'a> {
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Line<'a> {
    const fn see(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

impl<'a> Carried<'a> {
    const NOTHING: Self = Self {
        formats: [Line::Absent; Format::ALL.len()],
        keys: [Line::Absent; MAX_JOIN_KEYS],
        is_any: false,
    };

    /// Looks at the lines of a message, of which those of these names (in lower case) are keys.
    pub fn read(headers: &'a impl Headers, join_keys: &[String]) -> Self {
        let mut carried = Self::NOTHING;
        for (name, value) in headers.lines() {
            let key = join_keys.iter().position(|key| is_same_name(name, key.as_bytes()));
            let line = match (key, Format::of_header(name)) {
                (Some(at), _) => carried.keys.get_mut(at),
                (None, Some(format)) => carried.formats.get_mut(format as usize),
                (None, None) => continue,
            };
            if let Some(line) = line {
                line.see(value);
                carried.is_any = true;
            }
        }
        carried
    }

    /// Whether there is anything at all.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.is_any
    }

    /// The formats that are there, and what each names as the trace.
    pub fn contexts(
        &self,
    ) -> impl Iterator<Item = (Format, Result<Option<TraceKey<'a>>, Malformed>)> {
        Format::ALL.iter().zip(&self.formats).filter_map(|(format, line)| match line {
            Line::Absent => None,
            Line::Once(value) => Some((*format, trace_key(*format, value))),
            Line::Repeated => Some((*format, Err(Malformed::Repeated))),
        })
    }

    /// The keys that are there: which of the names, and the value.
    pub fn keys(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        self.keys.iter().enumerate().filter_map(|(at, line)| match line {
            Line::Once(value) => Some((at, key(value)?)),
            Line::Absent | Line::Repeated => None,
        })
    }

    /// Which of the names came more than once.
    pub fn repeated_keys(&self) -> impl Iterator<Item = usize> {
        let keys = self.keys.iter().enumerate();
        keys.filter_map(|(at, line)| matches!(line, Line::Repeated).then_some(at))
    }
}

/// The value of a key without white space around it: 1 to [`MAX_TEXT`] bytes that tell one request
/// from another, rather than that nobody has set them.
#[must_use]
pub fn key(value: &[u8]) -> Option<&[u8]> {
    const STANDING_FOR_NONE: [&str; 6] = ["none", "null", "nil", "undefined", "unknown", "n/a"];
    let value = trim_ows(value);
    let is_none = |word: &&str| value.eq_ignore_ascii_case(word.as_bytes());
    let is_blank = value.iter().all(|b| matches!(b, b'0' | b'-'));
    let says = !is_blank && !STANDING_FOR_NONE.iter().any(is_none);
    (says && value.len() <= MAX_TEXT).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Lines;
    use super::*;

    fn keys(lines: &[(&str, &[u8])]) -> Vec<(usize, Vec<u8>)> {
        let names = ["x-request-id".to_owned(), "b3".to_owned()];
        let lines = Lines(lines);
        let carried = Carried::read(&lines, &names);
        carried.keys().map(|(at, value)| (at, value.to_vec())).collect()
    }

    #[test]
    fn a_key_is_one_value_of_a_bounded_length() {
        assert_eq!(keys(&[("X-Request-ID", b"a")]), [(0, b"a".to_vec())]);
        assert_eq!(keys(&[("x-request-id", b"")]), []);
        assert_eq!(keys(&[("x-request-id", &[b'x'; MAX_TEXT])]).len(), 1);
        assert_eq!(keys(&[("x-request-id", &[b'x'; MAX_TEXT + 1])]), []);
        assert_eq!(keys(&[("x-request-id", b"a"), ("x-request-id", b"a")]), []);
        assert_eq!(keys(&[("x-correlation-id", b"a")]), []);
        assert_eq!(keys(&[("x-request-id", b"\ta ")]), [(0, b"a".to_vec())]);
    }

    #[test]
    fn a_value_that_stands_for_none_is_no_key() {
        let nil = "00000000-0000-0000-0000-000000000000";
        for value in ["", " ", "-", "0", nil, "None", "NULL", "nil", "undefined", "unknown", "N/A"]
        {
            assert_eq!(key(value.as_bytes()), None, "{value}");
        }
        for value in ["1", "0-1", "nulls", "non"] {
            assert_eq!(key(value.as_bytes()), Some(value.as_bytes()));
        }
    }

    #[test]
    fn a_context_header_can_be_named_as_a_key() {
        assert_eq!(keys(&[("b3", b"d")]), [(1, b"d".to_vec())]);
    }

    #[test]
    fn what_came_twice_is_told() {
        let lines = Lines(&[("b3", b"0"), ("B3", b"0"), ("sw8", b""), ("host", b"h")]);
        let found: Vec<_> = Carried::read(&lines, &[]).contexts().collect();
        let expected =
            [(Format::B3, Err(Malformed::Repeated)), (Format::SkyWalking, Err(Malformed::Length))];
        assert_eq!(found, expected);
        let twice = Lines(&[("k", b"1"), ("K", b"1"), ("l", b"1")]);
        let names = ["l".to_owned(), "k".to_owned()];
        assert_eq!(Carried::read(&twice, &names).repeated_keys().collect::<Vec<_>>(), [1]);
        assert!(!Carried::read(&Lines(&[("host", b"h")]), &[]).is_any());
    }
}
