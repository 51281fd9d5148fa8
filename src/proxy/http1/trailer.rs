//! A line of a request's trailers, looked at byte by byte.
//!
//! Some servers take trailers for header lines. So that none of these finds out by them that the
//! message was another, a line must be a field, and not one that says where a request goes or ends.

use crate::trace::is_token;

/// The fields that no trailer may have (RFC 9110, section 6.5.1).
const FORBIDDEN: [&[u8]; 3] = [b"content-length", b"host", b"transfer-encoding"];

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrailerLine {
    /// In the name: how many bytes of it there have been, and which of [`FORBIDDEN`] begin alike.
    Name { length: usize, alike: [bool; FORBIDDEN.len()] },
    /// Behind the colon.
    Value,
}

impl TrailerLine {
    /// Before the first byte.
    pub(super) const fn start() -> Self {
        Self::Name { length: 0, alike: [true; FORBIDDEN.len()] }
    }

    /// The place after `byte`; `None` where the line is no field, or a forbidden one.
    pub(super) fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Name { length: 0, .. }, b':') => None,
            (Self::Name { length, alike }, b':') => {
                let is_forbidden =
                    FORBIDDEN.iter().zip(alike).any(|(name, is)| is && name.len() == length);
                (!is_forbidden).then_some(Self::Value)
            }
            (Self::Name { length, mut alike }, _) => {
                for (name, is) in FORBIDDEN.iter().zip(&mut alike) {
                    *is &= name.get(length) == Some(&byte.to_ascii_lowercase());
                }
                is_token(byte).then_some(Self::Name { length: length + 1, alike })
            }
            (Self::Value, b'\t' | b' '..=b'~' | 0x80..) => Some(Self::Value),
            (Self::Value, _) => None,
        }
    }

    /// Whether the line may end here.
    pub(super) const fn is_field(self) -> bool {
        matches!(self, Self::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(line: &str) -> bool {
        let end = line.bytes().try_fold(TrailerLine::start(), TrailerLine::step);
        end.is_some_and(TrailerLine::is_field)
    }

    #[test]
    fn fields_pass() {
        for line in
            ["a:", "Grpc-Status: 0", "x-Host: h", "Hos: h", "content-lengths: 5", "a: \u{e9}\t"]
        {
            assert!(passes(line), "{line}");
        }
    }

    #[test]
    fn what_is_no_field_or_a_forbidden_one_is_refused() {
        for line in [
            "",
            ":",
            ": a",
            "a",
            " a: b",
            "\ta: b",
            "a : b",
            "a\tb: c",
            "a: \u{1}",
            "a: \u{7f}",
            "\u{e9}: a",
            "Host: h",
            "HOST:h",
            "content-length: 5",
            "Transfer-Encoding: chunked",
        ] {
            assert!(!passes(line), "{line}");
        }
    }
}
