//! What the targets share: bytes taken apart into what a parser wants.

pub mod fields;
pub mod jaeger;
pub mod memory;

use spandrel::proxy::http1::head::{HeadLimits, RequestHead, Scan};
use spandrel::trace::Headers;

/// The bounds of heads: small, so that they are reached.
pub const LIMITS: HeadLimits = HeadLimits { bytes: 2_048, lines: 24 };

/// The first byte, which says how to go about the others.
pub fn led(bytes: &[u8]) -> Option<(usize, &[u8])> {
    bytes.split_first().map(|(first, rest)| (usize::from(*first), rest))
}

/// Lines of `name: value` as the headers of a message.
#[derive(Debug)]
pub struct Lines<'a>(pub Vec<(&'a [u8], &'a [u8])>);

impl<'a> Lines<'a> {
    pub fn of(text: &'a [u8]) -> Self {
        let lines = text.split(|b| *b == b'\n').filter_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            Some((&line[..at], line[at + 1..].trim_ascii()))
        });
        Self(lines.collect())
    }
}

impl Headers for Lines<'_> {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let is_it = move |n: &[u8]| n.eq_ignore_ascii_case(name.as_bytes());
        self.0.iter().filter(move |(n, _)| is_it(n)).map(|(_, value)| *value)
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().copied()
    }
}

/// The request head at the front of these bytes, if there is a whole one that may pass.
pub fn request_head(bytes: &[u8]) -> Option<RequestHead> {
    let ample = HeadLimits { bytes: 1 << 20, lines: 1 << 10 };
    RequestHead::parse(bytes, &mut Scan::default(), &ample, Vec::new()).ok().flatten()
}

/// Names and values of a head's lines.
pub fn lines<'a>(head: &RequestHead, bytes: &'a [u8]) -> Vec<(String, &'a [u8])> {
    let text = |place: &std::ops::Range<usize>| &bytes[place.clone()];
    let named = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    head.lines.iter().map(|line| (named(text(&line.name)), text(&line.value))).collect()
}
