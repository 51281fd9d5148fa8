//! Names of hosts, as DNS has them (RFC 1035, section 2.3.4), and as people use them.

/// The most bytes of a name, without the last dot.
pub(super) const MAX_NAME: usize = 253;
/// The most bytes of a label.
const MAX_LABEL: usize = 63;

/// Whether these are the labels of a name, without the last dot. Where the last label is a number
/// the whole is an address, or would be taken for one.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_ours = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label =
        |label: &[u8]| (1..=MAX_LABEL).contains(&label.len()) && label.iter().all(is_ours);
    let last = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
    name.len() <= MAX_NAME
        && name.split(|b| *b == b'.').all(is_label)
        && !last.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_make_a_name_unless_the_last_is_a_number() {
        let (label, long) = ("a".repeat(MAX_LABEL), "a".repeat(MAX_LABEL + 1));
        let longest = [&*label, &label, &label, &"a".repeat(MAX_LABEL - 2)].join(".");
        assert_eq!(longest.len(), MAX_NAME);
        for name in ["a", "a.b", "_dns.a-b", "1.a", "xn--a.b1", &label, &longest] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        let too_long = format!("b{longest}");
        for name in ["", ".", "a.", ".a", "a..b", "a b", "a:1", "127.1", "10.0.0.1", "\u{e9}.a"] {
            assert!(!is_name(name.as_bytes()), "{name}");
        }
        assert!(!is_name(long.as_bytes()) && !is_name(too_long.as_bytes()));
    }
}
