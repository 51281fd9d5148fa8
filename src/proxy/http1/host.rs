//! `host:port` where no two readers may differ about it (RFC 9112, section 3.2; RFC 3986, 3.2).
//!
//! Names are not looked up here, nor are addresses checked: only what could end the host for one
//! reader and not for another is refused.

/// Whether this is what `Host` may say: a host and perhaps a port, or nothing.
#[must_use]
pub fn is_valid(text: &[u8]) -> bool {
    let (is_host, rest) = match text.strip_prefix(b"[") {
        Some(inner) => {
            let Some(end) = inner.iter().position(|b| *b == b']') else { return false };
            let (address, rest) = inner.split_at_checked(end).unwrap_or((inner, b""));
            let is_address =
                !address.is_empty() && address.iter().all(|b| is_plain(*b) || *b == b':');
            (is_address, rest.strip_prefix(b"]").unwrap_or(rest))
        }
        None => {
            let end = text.iter().position(|b| *b == b':').unwrap_or(text.len());
            let (name, rest) = text.split_at_checked(end).unwrap_or((text, b""));
            (name.iter().all(|b| is_plain(*b)), rest)
        }
    };
    let is_port = match rest {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_host && is_port
}

/// Whether this is the authority of a URL that can be asked for: a host that is not empty, and
/// perhaps a port and who asks.
#[must_use]
pub fn is_authority(text: &[u8]) -> bool {
    let at = text.iter().rposition(|b| *b == b'@');
    let (user, host) = match at.and_then(|at| text.split_at_checked(at)) {
        Some((user, rest)) => (user, rest.strip_prefix(b"@").unwrap_or(rest)),
        None => (&b""[..], text),
    };
    user.iter().all(|b| is_plain(*b) || *b == b':')
        && !matches!(host, [] | [b':', ..])
        && is_valid(host)
}

/// Whether a byte stands for itself in a name, escaped or not.
const fn is_plain(byte: u8) -> bool {
    // All from `$` to `.` are among them.
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'$'..=b'.')
        || matches!(byte, b'!' | b';' | b'=' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_every_kind_are_valid() {
        for host in [
            "",
            "a",
            "a.example",
            "A_B.example.",
            "a:80",
            "a:",
            ":80",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "[fe80::1%25eth0]:1",
            "[v1.a:b]",
            "a%20b",
            "a,b",
            "a:99999",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn what_could_be_two_hosts_is_none() {
        for host in [
            "a b",
            "a, b",
            "a\tb",
            "u@a",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a:8o",
            "a:-1",
            "a:80:81",
            "a:80 ",
            "[::1",
            "::1",
            "[]",
            "[::1]a",
            "[::1]:x",
            "[a b]",
            "a[",
            "a]",
            "\"a\"",
            "a\x7f",
            "b\u{fc}cher.example",
            "a<b",
            "a^b",
            "a|b",
            "http://a",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn an_authority_names_a_host_once() {
        for authority in ["a", "a:80", "u@a", "u:p@a:80", "u%40x:p@[::1]:80", "@a"] {
            assert!(is_authority(authority.as_bytes()), "{authority}");
        }
        for authority in
            ["", ":80", "u@", "u@:80", "a@b@c", "a\\@b", "a#@b", "a b@c", "a#b", "[a@b]"]
        {
            assert!(!is_authority(authority.as_bytes()), "{authority}");
        }
    }
}
