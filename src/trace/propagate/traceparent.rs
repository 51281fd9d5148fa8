//! `traceparent`: W3C Trace Context Level 2, section 3.2.

use super::super::{Flags, SpanId, TraceContext, TraceId};
use super::known::Malformed;
use super::trim_ows;

/// The length in bytes of a version 00 value.
pub const LENGTH: usize = 55;

/// Reads a `traceparent` value; `None` means that a new trace must start.
///
/// Version 00 must be exactly [`LENGTH`] bytes. Versions 01 to fe are read by their first
/// [`LENGTH`] bytes when what follows is nothing or begins with `-`; version ff is not a version.
#[must_use]
pub fn parse(value: &[u8]) -> Option<TraceContext> {
    let (head, tail) = trim_ows(value).split_first_chunk::<LENGTH>()?;
    let [v0, v1, b'-', rest @ ..] = head else { return None };
    let (trace_id, rest) = rest.split_first_chunk::<32>()?;
    let [b'-', rest @ ..] = rest else { return None };
    let (span_id, rest) = rest.split_first_chunk::<16>()?;
    let [b'-', f0, f1] = rest else { return None };

    match hex_byte(*v0, *v1)? {
        0x00 if !tail.is_empty() => return None,
        0xff => return None,
        _ if !tail.is_empty() && tail.first() != Some(&b'-') => return None,
        _ => {}
    }
    Some(TraceContext {
        trace_id: TraceId::from_bytes(hex(trace_id)?)?,
        span_id: SpanId::from_bytes(hex(span_id)?)?,
        flags: Flags::from_byte(hex_byte(*f0, *f1)?),
    })
}

/// Why a value that [`parse`] does not take is malformed; `None` for one that it takes.
#[cold]
#[must_use]
pub fn malformed(value: &[u8]) -> Option<Malformed> {
    if parse(value).is_some() {
        return None;
    }
    let Some((head, tail)) = trim_ows(value).split_first_chunk::<LENGTH>() else {
        return Some(Malformed::Length);
    };
    let is_in_place = |(at, byte): (usize, &u8)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => hex_digit(*byte) < NO_DIGIT,
    };
    let is_future = !head.starts_with(b"00");
    Some(if !head.iter().enumerate().all(is_in_place) {
        Malformed::Characters
    } else if head.starts_with(b"ff") {
        Malformed::Version
    } else if !is_future && !tail.is_empty() {
        Malformed::Length
    } else if tail.first().is_some_and(|b| *b != b'-') {
        Malformed::Characters
    } else {
        Malformed::ZeroId
    })
}

/// Writes a version 00 value.
#[must_use]
pub fn format(context: TraceContext) -> [u8; LENGTH] {
    let mut value = [b'-'; LENGTH];
    let mut write = |at: usize, bytes: &[u8]| {
        let pairs = value.get_mut(at..).unwrap_or_default().chunks_exact_mut(2);
        for (pair, byte) in pairs.zip(bytes) {
            pair.copy_from_slice(&hex_pair(*byte));
        }
    };
    write(0, &[0]);
    write(3, &context.trace_id.to_bytes());
    write(36, &context.span_id.to_bytes());
    write(53, &[context.flags.to_byte()]);
    value
}

/// The bytes that lower-case hexadecimal digits stand for.
fn hex<const DIGITS: usize, const BYTES: usize>(digits: &[u8; DIGITS]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    // All are looked at, which is faster than to stop at the first that is none.
    let mut seen = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        let (high, low) = (hex_digit(*high), hex_digit(*low));
        seen |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (seen < NO_DIGIT).then_some(bytes)
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    hex(&[high, low]).map(|[byte]| byte)
}

/// What stands for a byte that is no digit.
const NO_DIGIT: u8 = 0x10;

/// Upper-case digits are not digits here: the standard allows lower case only.
const fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => NO_DIGIT,
    }
}

const fn hex_pair(byte: u8) -> [u8; 2] {
    const fn digit(nibble: u8) -> u8 {
        if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
    }
    [digit(byte >> 4), digit(byte & 0x0f)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDS: &str = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

    fn flags_of(value: &str) -> Option<u8> {
        parse(value.as_bytes()).map(|c| c.flags.to_byte())
    }

    #[test]
    fn version_00_is_accepted_at_its_exact_length_only() {
        assert_eq!(flags_of(&format!("00-{IDS}-01")), Some(1));
        for tail in ["-", ".", "-xyz", "0", "-01"] {
            assert_eq!(flags_of(&format!("00-{IDS}-01{tail}")), None, "tail {tail:?}");
        }
        assert_eq!(flags_of(&format!("00-{IDS}-0")), None);
        assert_eq!(flags_of(&format!("00-{IDS}-")), None);
        assert_eq!(flags_of(&format!("00-{IDS}")), None);
        assert_eq!(flags_of(""), None);
    }

    #[test]
    fn future_versions_are_read_by_prefix() {
        for version in ["01", "cc", "fe"] {
            assert_eq!(flags_of(&format!("{version}-{IDS}-01")), Some(1));
            assert_eq!(flags_of(&format!("{version}-{IDS}-01-what-the-future-holds")), Some(1));
            assert_eq!(flags_of(&format!("{version}-{IDS}-01-")), Some(1));
            assert_eq!(flags_of(&format!("{version}-{IDS}-01.what")), None);
            assert_eq!(flags_of(&format!("{version}-{IDS}-0")), None);
        }
    }

    #[test]
    fn a_version_that_is_none_is_refused() {
        for version in ["ff", "FF", "0", "000", "+0", ".0", "0.", "0x", "  "] {
            assert_eq!(flags_of(&format!("{version}-{IDS}-01")), None, "version {version:?}");
        }
    }

    #[test]
    fn ids_must_be_whole_lower_case_and_not_zero() {
        for ids in [
            "00000000000000000000000000000000-b7ad6b7169203331",
            "0af7651916cd43dd8448eb211c80319c-0000000000000000",
            "0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331",
            "0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331",
            "0af7651916cd43dd8448eb211c80319-b7ad6b7169203331",
            "0af7651916cd43dd8448eb211c80319c-b7ad6b716920333",
            "0af7651916cd43dd8448eb211c80319c1-b7ad6b7169203331",
            "0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331",
            "+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            ".af7651916cd43dd8448eb211c80319c-.7ad6b7169203331",
        ] {
            assert_eq!(flags_of(&format!("00-{ids}-01")), None, "ids {ids}");
        }
    }

    #[test]
    fn flags_keep_the_known_bits_and_must_be_two_digits() {
        for (flags, kept) in [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("ff", 3), ("08", 0)] {
            assert_eq!(flags_of(&format!("00-{IDS}-{flags}")), Some(kept));
        }
        for flags in ["1", "001", ".0", "0.", "FF", "+1", " 1"] {
            assert_eq!(flags_of(&format!("00-{IDS}-{flags}")), None, "flags {flags:?}");
        }
    }

    #[test]
    fn what_is_malformed_has_a_reason() {
        use Malformed::{Characters, Length, Version, ZeroId};
        let zero = "0".repeat(32);
        for (value, reason) in [
            (String::new(), Length),
            (format!("00-{IDS}-0"), Length),
            (format!("00-{IDS}-01-x"), Length),
            (format!("cc-{IDS}-01.x"), Characters),
            (format!("ff-{IDS}-01"), Version),
            (format!("0x-{IDS}-01"), Characters),
            (format!("00-{}-01", IDS.to_ascii_uppercase()), Characters),
            (format!("00-{zero}-b7ad6b7169203331-01"), ZeroId),
            (format!("00-{IDS}-01").replace("b7ad6b7169203331", "0000000000000000"), ZeroId),
        ] {
            assert_eq!(malformed(value.as_bytes()), Some(reason), "{value}");
        }
        assert_eq!(malformed(format!("00-{IDS}-01").as_bytes()), None);
    }

    #[test]
    fn white_space_around_the_value_is_not_part_of_it() {
        assert_eq!(flags_of(&format!(" \t00-{IDS}-01\t ")), Some(1));
    }

    #[test]
    fn a_future_version_is_written_on_as_version_00() {
        let context = parse(format!("cc-{IDS}-ff-tail").as_bytes()).unwrap();
        assert_eq!(format(context), *format!("00-{IDS}-03").as_bytes());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), flags in 0u8..4) {
            let (Some(trace_id), Some(span_id)) = (TraceId::from_bytes(trace), SpanId::from_bytes(span)) else {
                return Ok(());
            };
            let context = TraceContext { trace_id, span_id, flags: Flags::from_byte(flags) };
            prop_assert_eq!(parse(&format(context)), Some(context));
        }

        #[test]
        fn a_single_changed_byte_is_noticed_or_harmless(at in 0..LENGTH, byte in any::<u8>()) {
            let mut value = format!("00-{IDS}-01").into_bytes();
            value[at] = byte;
            if let Some(context) = parse(&value) {
                let [v0, v1, ..] = value[..] else { unreachable!() };
                prop_assert!(!(v0 == b'f' && v1 == b'f'));
                prop_assert!(value.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-')));
                prop_assert_eq!(format(context)[3..52].to_vec(), value[3..52].to_vec());
            }
            prop_assert_eq!(malformed(&value).is_some(), parse(&value).is_none());
        }
    }
}
