//! `tracestate`: W3C Trace Context Level 2, section 3.3.
//!
//! The list is checked, never rewritten: a valid one travels on as the bytes that came in, an
//! invalid one is left out whole, which is what the W3C conformance suite asks for.

use super::trim_ows;

/// The most members a list may have (section 3.3.1.1).
pub const MAX_MEMBERS: usize = 32;
/// The longest key, in bytes (section 3.3.1.3.1).
const MAX_KEY: usize = 256;
/// The longest value, in bytes (section 3.3.1.3.2).
const MAX_VALUE: usize = 256;

/// Whether these header lines, taken together in order, are a list that may travel on.
/// Empty members are legal and do not count; a list of nothing else is valid too.
pub fn is_valid<'a>(lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut members = 0;
    for member in lines.flat_map(|line| line.split(|b| *b == b',')) {
        // Leading spaces belong to nothing, trailing ones neither: both are list white space.
        let member = trim_ows(member);
        if member.is_empty() {
            continue;
        }
        members += 1;
        if members > MAX_MEMBERS || !is_member(member) {
            return false;
        }
    }
    true
}

/// Appends the lines, joined as one list, to `out`.
pub fn join<'a>(lines: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    join_all(lines.map(trim_ows), out);
}

/// Appends the members of all lines as one list without white space or empty members between
/// them, to `out`: what a valid list can take is then bounded by its members.
pub fn join_members<'a>(lines: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    join_all(lines.flat_map(|line| line.split(|b| *b == b',')).map(trim_ows), out);
}

fn join_all<'a>(parts: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let start = out.len();
    for part in parts.filter(|part| !part.is_empty()) {
        if out.len() > start {
            out.push(b',');
        }
        out.extend_from_slice(part);
    }
}

fn is_member(member: &[u8]) -> bool {
    let mut halves = member.splitn(2, |b| *b == b'=');
    match (halves.next(), halves.next()) {
        (Some(key), Some(value)) => is_key(key) && is_value(value),
        _ => false,
    }
}

/// Level 2 grammar: `@` is an ordinary character after the first.
fn is_key(key: &[u8]) -> bool {
    let Some((first, rest)) = key.split_first() else { return false };
    key.len() <= MAX_KEY
        && matches!(first, b'a'..=b'z' | b'0'..=b'9')
        && rest
            .iter()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@'))
}

fn is_value(value: &[u8]) -> bool {
    (1..=MAX_VALUE).contains(&value.len())
        && value.last() != Some(&b' ')
        && value.iter().all(|b| matches!(b, 0x20..=0x7e) && *b != b',' && *b != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(lines: &[&str]) -> bool {
        is_valid(lines.iter().map(|l| l.as_bytes()))
    }

    #[test]
    fn the_level_2_key_grammar_holds() {
        let longest = "k".repeat(256);
        for key in ["foo", "0foo", "foo@", "foo@@bar", "t@abcdefghijklmno", "a-_*/@9", &longest] {
            assert!(valid(&[&format!("{key}=1")]), "key {key:?}");
        }
        let too_long = "k".repeat(257);
        for key in ["@foo", "FOO", "foo.bar", "foo ", "", "_foo", "fo\u{f6}", &too_long] {
            assert!(!valid(&[&format!("{key}=1")]), "key {key:?}");
        }
    }

    #[test]
    fn the_value_grammar_holds() {
        let longest = "v".repeat(256);
        for value in ["1", " leading", "a b", "!\"#~", &longest] {
            assert!(valid(&[&format!("k={value}")]), "value {value:?}");
        }
        let too_long = "v".repeat(257);
        for value in ["", "a=b", "b\u{f6}", "tab\tinside", "bell\x07", &too_long] {
            assert!(!valid(&[&format!("k={value}")]), "value {value:?}");
        }
    }

    #[test]
    fn one_bad_member_spoils_the_list() {
        assert!(!valid(&["foo=1,bar=baz=2"]));
        assert!(!valid(&["foo=1", "bar"]));
        assert!(!valid(&["foo=1,@foo=1"]));
    }

    #[test]
    fn members_are_counted_over_all_lines() {
        let list = |n: usize| (0..n).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
        assert!(valid(&[&list(32)]));
        assert!(!valid(&[&list(33)]));
        assert!(valid(&[&list(16), &list(16)]));
        assert!(!valid(&[&list(16), &list(17)]));
    }

    #[test]
    fn empty_members_and_white_space_are_legal() {
        assert!(valid(&["", " , ,\t", "a=1 ,\t b=2,,", "a=1"]));
        assert!(valid(&[]));
    }

    #[test]
    fn duplicate_keys_survive() {
        assert!(valid(&["foo=1,foo=1", "foo=2"]));
    }

    #[test]
    fn lines_are_joined_in_order() {
        let mut out = Vec::new();
        join([&b" a=1 "[..], b"", b"b=2,c=3"].into_iter(), &mut out);
        assert_eq!(out, b"a=1,b=2,c=3");
        out.clear();
        join_members([&b" ,a= 1 ,\t,,"[..], b",", b" , b=2"].into_iter(), &mut out);
        assert_eq!(out, b"a= 1,b=2");
    }
}
