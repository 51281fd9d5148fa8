//! `host:port` as it stands in `Host`, `:authority` and URLs (RFC 3986, section 3.2).

/// A host and, if one was written, its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// A name or address; an IPv6 address without its brackets.
    pub host: &'a [u8],
    /// The port, where one is given.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads an authority; credentials before an `@` are skipped.
    /// `None` when there is no host or the port is not a number up to 65535.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text =
            text.iter().rposition(|b| *b == b'@').map_or(Some(text), |at| text.get(at + 1..))?;
        let (host, rest) = match text.strip_prefix(b"[") {
            Some(inner) => {
                let end = inner.iter().position(|b| *b == b']')?;
                (inner.get(..end)?, inner.get(end + 1..)?)
            }
            None => {
                let end = text.iter().position(|b| *b == b':').unwrap_or(text.len());
                text.split_at_checked(end)?
            }
        };
        let port = match rest.split_first() {
            None => None,
            Some((b':', [])) => None,
            Some((b':', digits)) => Some(parse_port(digits)?),
            Some(_) => return None,
        };
        (!host.is_empty()).then_some(Self { host, port })
    }
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |port, digit| {
        let value = digit.is_ascii_digit().then(|| digit - b'0')?;
        port.checked_mul(10)?.checked_add(u16::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(&str, Option<u16>)> {
        let authority = Authority::parse(text.as_bytes())?;
        Some((std::str::from_utf8(authority.host).unwrap(), authority.port))
    }

    #[test]
    fn hosts_and_ports_are_told_apart() {
        assert_eq!(parse("a.example"), Some(("a.example", None)));
        assert_eq!(parse("a.example:"), Some(("a.example", None)));
        assert_eq!(parse("a.example:81"), Some(("a.example", Some(81))));
        assert_eq!(parse("[::1]:81"), Some(("::1", Some(81))));
        assert_eq!(parse("[::1]"), Some(("::1", None)));
        assert_eq!(parse("u:p@h:1"), Some(("h", Some(1))));
    }

    #[test]
    fn what_is_no_authority_is_none() {
        for bad in ["", ":80", "h:65536", "h:8x", "h:+1", "[::1", "[::1]x", "u@", "::1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
