//! Which protocol a connection speaks, by its first bytes.

/// The protocols that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.x, or what will be refused as such.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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
}
