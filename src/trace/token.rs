//! Tokens: the names of fields among them, which are the same in any case (RFC 9110, section 5.1).

/// Whether a byte may be part of a token, such as a method or the name of a field (RFC 9110,
/// section 5.6.2).
#[must_use]
pub const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether two names of fields are the same but for the case of their letters. Eight bytes are
/// compared at a time, since every line of a head is asked for its name.
#[inline]
#[must_use]
pub fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (Some(one_end), Some(other_end)) = (one.last_chunk(), other.last_chunk()) else {
        return one.eq_ignore_ascii_case(other);
    };
    let (one_words, other_words) = (one.as_chunks().0, other.as_chunks().0);
    lower_case(*one_end) == lower_case(*other_end)
        && one_words.iter().zip(other_words).all(|(a, b)| lower_case(*a) == lower_case(*b))
}

/// Eight bytes with their ASCII letters in lower case.
#[inline]
const fn lower_case(bytes: [u8; 8]) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = 0x80 * EACH;
    let word = u64::from_ne_bytes(bytes);
    // The highest bit of each byte tells something of that byte: nothing is carried into the next.
    let low = word & !HIGH;
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let beyond_z = low + (0x7f - b'Z' as u64) * EACH;
    let is_upper = (from_a ^ beyond_z) & !word & HIGH;
    word | is_upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_is_as_the_standard_library_has_it() {
        for byte in 0..=u8::MAX {
            let expected = u64::from_ne_bytes([byte.to_ascii_lowercase(); 8]);
            assert_eq!(lower_case([byte; 8]), expected, "{byte:#x}");
        }
    }

    #[test]
    fn names_of_any_length_are_the_same_in_any_case_and_no_others_are() {
        let name = b"x-Forwarded-For_0123456789";
        for length in 0..name.len() {
            let (one, other) = (&name[..length], name[..length].to_ascii_uppercase());
            assert!(is_same_name(one, &other), "{length}");
            for at in 0..length {
                let mut wrong = one.to_vec();
                wrong[at] = b'!';
                assert!(!is_same_name(&wrong, &other), "{length}, {at}");
            }
            assert!(!is_same_name(one, &name[..=length]));
        }
    }

    proptest! {
        #[test]
        fn it_says_what_the_standard_library_says(
            one in proptest::collection::vec(any::<u8>(), 0..24),
            flips in proptest::collection::vec(prop_oneof![Just(0), Just(0x20), Just(0x80)], 24),
        ) {
            let other: Vec<u8> = one.iter().zip(&flips).map(|(byte, flip)| byte ^ flip).collect();
            prop_assert_eq!(is_same_name(&one, &other), one.eq_ignore_ascii_case(&other));
        }
    }
}
