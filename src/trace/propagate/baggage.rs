//! `baggage`: W3C Baggage, sections 3.2 and 3.3.
//!
//! The header always travels on as the bytes that came in. It is read only to copy the members a
//! setting names onto the span.

use std::borrow::Cow;

use super::trim_ows;
use crate::trace::is_token;

/// The most members that are looked at, over all lines: the count every hop must propagate.
const MAX_MEMBERS: usize = 64;
/// The most bytes that are looked at, over all lines: the size every hop must propagate.
const MAX_BYTES: usize = 8192;

/// The well-formed members of these header lines, in order, with their values percent-decoded.
///
/// A malformed member is left out and the others are kept. What lies beyond the limits that the
/// standard obliges a hop to carry is not looked at.
pub fn members<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
    let mut bytes = 0;
    lines
        .flat_map(|line| line.split(|b| *b == b','))
        .take(MAX_MEMBERS)
        .take_while(move |member| {
            bytes += member.len() + 1;
            bytes <= MAX_BYTES + 1
        })
        .filter_map(parse_member)
}

/// `key OWS = OWS value *( OWS ; OWS property )`; properties are checked by nobody and skipped.
fn parse_member(member: &[u8]) -> Option<(&str, Cow<'_, str>)> {
    let pair = member.split(|b| *b == b';').next()?;
    let mut halves = pair.splitn(2, |b| *b == b'=');
    let (key, value) = (trim_ows(halves.next()?), trim_ows(halves.next()?));
    if key.is_empty() || !key.iter().copied().all(is_token) {
        return None;
    }
    if !value.iter().copied().all(is_value) {
        return None;
    }
    let key = std::str::from_utf8(key).ok()?;
    Some((key, percent_encoding::percent_decode(value).decode_utf8_lossy()))
}

const fn is_value(b: u8) -> bool {
    matches!(b, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(lines: &[&[u8]]) -> Vec<(String, String)> {
        members(lines.iter().copied()).map(|(k, v)| (k.to_owned(), v.into_owned())).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn members_are_read_across_lines_in_order() {
        let found = read(&[b"a=1 ,\tb = 2", b"a=3"]);
        assert_eq!(found, [pair("a", "1"), pair("b", "2"), pair("a", "3")]);
    }

    #[test]
    fn values_are_decoded_and_may_hold_an_equals_sign() {
        let found = read(&[b"k=a%20b=c;p=1;q,e=,w=%E4%BD%A0,x=%ff"]);
        assert_eq!(
            found,
            [pair("k", "a b=c"), pair("e", ""), pair("w", "\u{4f60}"), pair("x", "\u{fffd}")]
        );
    }

    #[test]
    fn a_malformed_member_is_left_out_and_the_others_stay() {
        let found = read(&[b"good=1,no-equals,=2,b ad=3,q=\"4\",sp=a b,also=5"]);
        assert_eq!(found, [pair("good", "1"), pair("also", "5")]);
    }

    #[test]
    fn what_is_beyond_the_limits_is_not_looked_at() {
        let many = (0..70).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&[many.as_bytes()]).len(), MAX_MEMBERS);
        let exact = format!("k={}", "v".repeat(MAX_BYTES - 2));
        assert_eq!(read(&[exact.as_bytes()]).len(), 1);
        let over = format!("k={}", "v".repeat(MAX_BYTES - 1));
        assert_eq!(read(&[over.as_bytes()]).len(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_it_panic(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..4)) {
            let _ = read(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
