//! Keeping secrets of URLs out of spans.

/// Whether the values of a query are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryValues {
    /// Every value is replaced; the keys stay.
    #[default]
    Redact,
    /// Values are kept, except those of the keys that the conventions name as secrets.
    Keep,
}

/// What stands in a redacted value's place.
const REDACTED: &[u8] = b"REDACTED";

/// The query keys whose values are always redacted (HTTP conventions, `url.query`).
const SECRET_KEYS: [&[u8]; 7] = [
    b"AWSAccessKeyId",
    b"Signature",
    b"X-Amz-Credential",
    b"X-Amz-Security-Token",
    b"X-Amz-Signature",
    b"X-Goog-Signature",
    b"sig",
];

impl QueryValues {
    /// Calls `push` with the pieces of the query as it may be recorded.
    pub(super) fn redact<'a>(self, query: &'a [u8], mut push: impl FnMut(&'a [u8])) {
        for (i, pair) in query.split(|b| *b == b'&').enumerate() {
            if i > 0 {
                push(b"&");
            }
            match pair.iter().position(|b| *b == b'=').and_then(|at| pair.split_at_checked(at)) {
                Some((key, _)) if self == Self::Redact || SECRET_KEYS.contains(&key) => {
                    push(key);
                    push(b"=");
                    push(REDACTED);
                }
                _ => push(pair),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(values: QueryValues, query: &str) -> String {
        let mut out = Vec::new();
        values.redact(query.as_bytes(), |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_redacted_and_keys_stay() {
        let query = "user=ann&flag&empty=&a=b=c";
        let expected = "user=REDACTED&flag&empty=REDACTED&a=REDACTED";
        assert_eq!(redacted(QueryValues::Redact, query), expected);
    }

    #[test]
    fn secrets_are_redacted_even_where_values_are_kept() {
        let query = "user=ann&sig=s3cret&X-Amz-Signature=x&Sig=kept";
        let expected = "user=ann&sig=REDACTED&X-Amz-Signature=REDACTED&Sig=kept";
        assert_eq!(redacted(QueryValues::Keep, query), expected);
    }
}
