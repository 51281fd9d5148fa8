//! Fields of HTTP/2 as they are written, and what may stand in them.

use http::{HeaderName, HeaderValue, Method, StatusCode};

/// Whether a field can have this name and this value (RFC 9113, sections 8.2.1 and 8.3), where white
/// space around an ordinary value is borne from those who send it.
#[must_use]
pub fn is_valid(name: &[u8], value: &[u8], takes_blanks: bool) -> bool {
    let is_visible = value.iter().all(|b| (b'!'..=b'~').contains(b));
    match name {
        b":authority" => is_visible && !value.contains(&b'@'),
        b":method" => Method::from_bytes(value).is_ok(),
        b":path" => {
            let is_path = value == b"*" || value.starts_with(b"/");
            is_visible && is_path && !value.contains(&b'#')
        }
        b":protocol" => is_visible,
        b":scheme" => {
            let is_letter = |b: &u8| b.is_ascii_alphabetic();
            let is_part = |b: &u8| is_letter(b) || matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.');
            value.first().is_some_and(is_letter) && value.iter().all(is_part)
        }
        b":status" => StatusCode::from_bytes(value).is_ok(),
        _ => {
            let is_trimmed = takes_blanks || value.trim_ascii() == value;
            // A quote is no part of a token (RFC 9110, section 5.6.2), which the crate takes for one.
            let is_name = !name.contains(&b'"') && HeaderName::from_lowercase(name).is_ok();
            is_name && HeaderValue::from_bytes(value).is_ok() && is_trimmed
        }
    }
}

/// Writes an integer whose first `bits` bits share a byte with `first`.
pub fn push_integer(out: &mut Vec<u8>, first: u8, bits: u8, value: usize) {
    let full = (1 << bits) - 1;
    if value < full {
        out.push(first | value as u8);
        return;
    }
    out.push(first | full as u8);
    let mut left = value - full;
    while left >= 128 {
        out.push(left as u8 | 128);
        left >>= 7;
    }
    out.push(left as u8);
}

/// The first byte of each field, and of each change of the table's size, in a block that another
/// reader has read.
#[must_use]
pub fn representations(block: &[u8]) -> Vec<u8> {
    let (mut at, mut firsts) = (0, Vec::new());
    while let Some(first) = block.get(at).copied() {
        firsts.push(first);
        let bits = match first.leading_zeros() {
            0 => 7,
            1 => 6,
            2 => 5,
            _ => 4,
        };
        let index = integer(block, &mut at, bits);
        let strings = match (bits, index) {
            (7 | 5, _) => 0,
            (_, 0) => 2,
            _ => 1,
        };
        for _ in 0..strings {
            at += integer(block, &mut at, 7);
        }
    }
    firsts
}

fn integer(block: &[u8], at: &mut usize, bits: u8) -> usize {
    let full = (1 << bits) - 1;
    let mut value = usize::from(block[*at]) & full;
    *at += 1;
    if value < full {
        return value;
    }
    for shift in (0..).step_by(7) {
        let byte = block[*at];
        *at += 1;
        value += usize::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    value
}
