//! What a message carries that may tell its trace: one look at its header lines.
//!
//! `traceparent` is not among it, which `extract` reads. A header that comes twice says nothing.

use super::super::Headers;
use super::known::{Format, MAX_TEXT, Malformed, TraceKey, trace_key};

/// The most headers that can be named as keys.
pub const MAX_JOIN_KEYS: usize = 8;

/// The lines of a message that carry context or keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carried<'a> {
    formats: [Line<'a>; Format::ALL.len()],
    keys: [Line<'a>; MAX_JOIN_KEYS],
    is_any: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Line<'a> {
    #[default]
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
    /// Looks at the lines of a message, of which those of these names (in lower case) are keys.
    pub fn read(headers: &'a impl Headers, join_keys: &[String]) -> Self {
        let mut carried = Self::default();
        for (name, value) in headers.lines() {
            let key = join_keys.iter().position(|key| name.eq_ignore_ascii_case(key.as_bytes()));
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
        Format::ALL.into_iter().zip(self.formats).filter_map(|(format, line)| match line {
            Line::Absent => None,
            Line::Once(value) => Some((format, trace_key(format, value))),
            Line::Repeated => Some((format, Err(Malformed::Repeated))),
        })
    }

    /// The keys that are there: which of the names, and the value, of 1 to [`MAX_TEXT`] bytes.
    pub fn keys(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        self.keys.into_iter().enumerate().filter_map(|(at, line)| match line {
            Line::Once(value) if matches!(value.len(), 1..=MAX_TEXT) => Some((at, value)),
            _ => None,
        })
    }
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
    }

    #[test]
    fn a_context_header_can_be_named_as_a_key() {
        assert_eq!(keys(&[("b3", b"0")]), [(1, b"0".to_vec())]);
    }

    #[test]
    fn a_repeated_context_is_malformed() {
        let lines = Lines(&[("b3", b"0"), ("B3", b"0"), ("sw8", b""), ("host", b"h")]);
        let found: Vec<_> = Carried::read(&lines, &[]).contexts().collect();
        let expected =
            [(Format::B3, Err(Malformed::Repeated)), (Format::SkyWalking, Err(Malformed::Length))];
        assert_eq!(found, expected);
        assert!(!Carried::read(&Lines(&[("host", b"h")]), &[]).is_any());
    }
}
