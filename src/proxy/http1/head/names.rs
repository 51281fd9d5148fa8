//! Which names the lines of a head may have.
//!
//! Tracing asks for some fifteen names, most of which no line has. One bit tells for most of those
//! that there is nothing to look for.

/// A set of names that says of each name that it is not in it, or that it may be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Names(u64);

impl Names {
    /// Whether a name, in any case, may be in it.
    #[inline]
    pub(super) const fn may_have(self, name: &[u8]) -> bool {
        self.0 & bit(name) != 0
    }
}

impl<'a> FromIterator<&'a [u8]> for Names {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(iter: T) -> Self {
        Self(iter.into_iter().fold(0, |set, name| set | bit(name)))
    }
}

/// The bit of a name: by its length and its last letter, in either case.
#[inline]
const fn bit(name: &[u8]) -> u64 {
    let last = match name {
        [.., last] => *last & 0x1f,
        [] => 0,
    };
    1 << ((name.len() * 5 + last as usize) % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_in_it_may_be_in_it_in_any_case() {
        let names: Names = [&b"Host"[..], b"X-Request-ID", b""].into_iter().collect();
        for name in ["host", "HOST", "x-request-id", ""] {
            assert!(names.may_have(name.as_bytes()), "{name}");
        }
        assert!(!names.may_have(b"traceparent") && !Names::default().may_have(b"host"));
    }

    #[test]
    fn few_of_the_names_that_are_asked_for_are_taken_for_usual_ones() {
        let usual = [
            "host",
            "user-agent",
            "accept",
            "accept-encoding",
            "connection",
            "x-request-id",
            "traceparent",
            "content-length",
            "authorization",
            "x-tenant-id",
        ];
        let asked = [
            "tracestate",
            "baggage",
            "content-type",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "upgrade",
            "x-correlation-id",
            "b3",
        ];
        let names: Names = usual.iter().map(|name| name.as_bytes()).collect();
        let mistaken: Vec<_> =
            asked.iter().filter(|name| names.may_have(name.as_bytes())).collect();
        assert!(mistaken.len() <= 2, "{mistaken:?}");
    }
}
