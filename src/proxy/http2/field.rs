//! What the fields of a message can be called, and what they can hold (RFC 9113, sections 8.2 and
//! 8.3).

use crate::trace::is_token;

/// What a field is for, as far as its value depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Authority,
    Method,
    Path,
    Protocol,
    Scheme,
    Status,
    /// A pseudo-field that there is not.
    Unknown,
    /// No pseudo-field.
    Ordinary,
}

impl Class {
    /// The class of a field that is called so.
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":scheme" => Self::Scheme,
            b":status" => Self::Status,
            [b':', ..] => Self::Unknown,
            _ => Self::Ordinary,
        }
    }

    /// Whether a field of this class can be called so: in lower case, and by a token.
    pub(super) fn is_called(self, name: &[u8]) -> bool {
        match self {
            Self::Unknown => false,
            Self::Ordinary => {
                let is_good = |b: &u8| is_token(*b) && !b.is_ascii_uppercase();
                !name.is_empty() && name.iter().all(is_good)
            }
            _ => true,
        }
    }

    /// The class of an entry of the static table, which begins with the pseudo-fields.
    pub(super) const fn of_static(at: usize) -> Self {
        match at {
            0 => Self::Authority,
            1 | 2 => Self::Method,
            3 | 4 => Self::Path,
            5 | 6 => Self::Scheme,
            7..=13 => Self::Status,
            _ => Self::Ordinary,
        }
    }

    /// Whether such a field can have this value (RFC 9113, sections 8.2.1 and 8.3).
    pub(super) fn takes(self, value: &[u8]) -> bool {
        let is_visible = || value.iter().all(u8::is_ascii_graphic);
        match self {
            Self::Method => !value.is_empty() && value.iter().all(|b| is_token(*b)),
            Self::Path => {
                is_visible() && !value.contains(&b'#') && (value.starts_with(b"/") || value == b"*")
            }
            Self::Authority => is_visible() && !value.contains(&b'@'),
            Self::Status => {
                matches!(value, [b'1'..=b'9', rest @ ..] if rest.len() == 2 && rest.iter().all(u8::is_ascii_digit))
            }
            Self::Scheme => {
                let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
                value.first().is_some_and(u8::is_ascii_alphabetic) && value.iter().all(is_part)
            }
            Self::Protocol => is_visible(),
            // All are looked at, which is faster than to stop at the first.
            Self::Unknown | Self::Ordinary => {
                !value.iter().fold(false, |has_control, b| has_control | is_control(*b))
            }
        }
    }
}

/// Whether a byte can stand in no value: a tab can, and so can what is not ASCII.
pub(super) const fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}
