//! Which protocol a connection speaks, by its first bytes.

use crate::trace::is_token;
use crate::trace::tls::begins_tls;

/// The protocols that are told apart on a listener that clients address on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.x, or what will be refused as such.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// What the first bytes of a connection say that may carry anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// They could be the beginning of several protocols.
    Undecided,
    /// This is HTTP.
    Http(Protocol),
    /// This is TLS.
    Tls,
    /// This is something else.
    Opaque,
}

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest method that is waited for.
const MAX_METHOD: usize = 64;

/// The protocol that begins with these bytes; `None` while they could be either.
#[must_use]
pub fn protocol(first: &[u8]) -> Option<Protocol> {
    let common = first.len().min(PREFACE.len());
    match (first.get(..common), PREFACE.get(..common)) {
        (Some(got), Some(expected)) if got != expected => Some(Protocol::Http1),
        _ if first.len() >= PREFACE.len() => Some(Protocol::Http2),
        _ => None,
    }
}

/// What a client's first bytes say. HTTP/1 is known by its whole first line alone: there are
/// protocols of lines that begin with a word too, but none ends one with the version of HTTP.
#[must_use]
pub fn first(bytes: &[u8]) -> First {
    match (begins_tls(bytes), protocol(bytes)) {
        (Some(true), _) => First::Tls,
        (None, _) | (_, None) => First::Undecided,
        (_, Some(Protocol::Http2)) => First::Http(Protocol::Http2),
        (_, Some(Protocol::Http1)) => first_line(bytes),
    }
}

/// What is said by a first line, or by as much of it as there is.
fn first_line(bytes: &[u8]) -> First {
    let (line, is_whole) = match memchr::memchr(b'\n', bytes) {
        Some(end) => (bytes.get(..end).unwrap_or_default(), true),
        None => (bytes, false),
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let method = line.iter().position(|b| *b == b' ');
    let word = line.get(..method.unwrap_or(line.len())).unwrap_or_default();
    let is_line = (1..=MAX_METHOD).contains(&word.len())
        && word.iter().all(|b| is_token(*b))
        && line.iter().all(|b| *b >= b' ' && *b != 0x7f);
    match (is_line, is_whole) {
        (false, _) => First::Opaque,
        (true, false) => First::Undecided,
        (true, true) => match line.last_chunk::<9>() {
            Some([rest @ .., minor]) if rest == b" HTTP/1." && minor.is_ascii_digit() => {
                First::Http(Protocol::Http1)
            }
            _ => First::Opaque,
        },
    }
}

/// Whether a client that has said this much may be about to say that it speaks HTTP/2.
#[must_use]
pub fn may_be_preface(first: &[u8]) -> bool {
    PREFACE.starts_with(first)
}

/// Whether a server that speaks first may be one of HTTP/2, which begins with its settings
/// (RFC 9113, sections 3.4 and 6.5): its client is about to say so.
#[must_use]
pub fn may_be_settings(first: &[u8]) -> bool {
    const REST: &[u8] = &[0x04, 0, 0, 0, 0, 0];
    let (length, rest) = first.split_at_checked(3).unwrap_or((first, &[]));
    let is_length =
        length.iter().take(2).all(|b| *b == 0) && length.get(2).is_none_or(|count| count % 6 == 0);
    let common = rest.len().min(REST.len());
    is_length && rest.get(..common) == REST.get(..common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_decides() {
        assert_eq!(protocol(b""), None);
        for end in 1..PREFACE.len() {
            assert_eq!(protocol(&PREFACE[..end]), None);
        }
        assert_eq!(protocol(PREFACE), Some(Protocol::Http2));
        assert_eq!(protocol(&[PREFACE, b"more"].concat()), Some(Protocol::Http2));
        for other in [&b"G"[..], b"PUT / ", b"PRI * HTTP/1.1\r\n", b"\x16\x03\x01"] {
            assert_eq!(protocol(other), Some(Protocol::Http1));
        }
    }

    #[test]
    fn http_1_is_known_by_its_first_line() {
        for line in ["GET / HTTP/1.1\r\n", "GET / HTTP/1.1\n", "M-SEARCH * HTTP/1.0\r\nHost: x"] {
            assert_eq!(first(line.as_bytes()), First::Http(Protocol::Http1), "{line}");
        }
        let line = b"POST /a?b HTTP/1.1\r\n";
        for end in 0..line.len() {
            assert_eq!(first(&line[..end]), First::Undecided, "{end}");
        }
    }

    #[test]
    fn what_only_begins_like_http_is_opaque() {
        let others: [&[u8]; 12] = [
            b"EHLO here\r\n",
            b"get key\r\n",
            b"PING\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"AMQP\0\0\x09\x01",
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            b"GET / HTTP/2.0\r\n",
            b"OPTIONS rtsp://x RTSP/1.0\r\n",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
            b"\r\nGET / HTTP/1.1\r\n",
            b"\x16\x02",
        ];
        for other in others {
            assert_eq!(first(other), First::Opaque, "{:?}", String::from_utf8_lossy(other));
        }
        let endless = [b"a".repeat(MAX_METHOD), b"a".repeat(MAX_METHOD + 1)];
        assert_eq!(endless.map(|word| first(&word)), [First::Undecided, First::Opaque]);
    }

    #[test]
    fn tls_and_http_2_are_known_by_theirs() {
        let hello = b"\x16\x03\x01\x02\x00\x01";
        for end in 0..hello.len() {
            assert_eq!(first(&hello[..end]), First::Undecided);
        }
        assert_eq!(first(hello), First::Tls);
        for end in 0..PREFACE.len() {
            assert_eq!(first(&PREFACE[..end]), First::Undecided);
        }
        assert_eq!(first(PREFACE), First::Http(Protocol::Http2));
    }

    #[test]
    fn settings_of_a_server_are_no_greeting() {
        let settings = [0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0];
        for end in 0..settings.len() {
            assert!(may_be_settings(&settings[..end]));
        }
        let greetings: [&[u8]; 4] =
            [b"220 mail\r\n", b"\x4a\0\0\0\x0a5.5.5", b"\0\0\x05", b"\0\0\x06\x04\x01"];
        for greeting in greetings {
            assert!(!may_be_settings(greeting), "{greeting:?}");
        }
    }
}
