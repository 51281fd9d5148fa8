//! Where a request first came from and what for, by `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use super::super::Headers;

/// What the first proxy said of the original request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded<'a> {
    /// The client's address, as it was written.
    pub(super) client: Option<&'a [u8]>,
    /// The authority the client asked for.
    pub(super) host: Option<&'a [u8]>,
    /// The scheme the client used.
    pub(super) proto: Option<&'a [u8]>,
}

/// Reads the first element of `Forwarded`, and `X-Forwarded-*` for what it does not say.
pub(super) fn read(headers: &impl Headers) -> Forwarded<'_> {
    let mut found = Forwarded::default();
    if let Some(line) = headers.first("forwarded") {
        read_element(first_of_list(line), &mut found);
    }
    let legacy = |name| headers.first(name).map(first_of_list).filter(|v| !v.is_empty());
    found.client = found.client.or_else(|| legacy("x-forwarded-for"));
    found.host = found.host.or_else(|| legacy("x-forwarded-host"));
    found.proto = found.proto.or_else(|| legacy("x-forwarded-proto"));
    found
}

fn read_element<'a>(element: &'a [u8], found: &mut Forwarded<'a>) {
    for pair in element.split(|b| *b == b';') {
        let Some(at) = pair.iter().position(|b| *b == b'=') else { continue };
        let (name, value) = pair.split_at(at);
        let value = unquote(value.get(1..).unwrap_or_default().trim_ascii());
        match name.trim_ascii() {
            n if n.eq_ignore_ascii_case(b"for") => found.client = Some(value),
            n if n.eq_ignore_ascii_case(b"host") => found.host = Some(value),
            n if n.eq_ignore_ascii_case(b"proto") => found.proto = Some(value),
            _ => {}
        }
    }
}

fn first_of_list(line: &[u8]) -> &[u8] {
    line.split(|b| *b == b',').next().unwrap_or_default().trim_ascii()
}

fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value)
}

/// The address of a `for` value without brackets and port.
pub(super) fn address(client: &[u8]) -> &[u8] {
    if let Some(inner) = client.strip_prefix(b"[") {
        return inner.split(|b| *b == b']').next().unwrap_or_default();
    }
    let mut parts = client.splitn(3, |b| *b == b':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(host), Some(_port), None) => host,
        _ => client, // no port, or an IPv6 address without brackets
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Lines;
    use super::*;

    #[test]
    fn the_standard_header_wins_over_the_legacy_ones() {
        let headers = Lines(&[
            ("X-Forwarded-For", b"10.0.0.9, 10.0.0.1"),
            ("X-Forwarded-Proto", b"http"),
            ("X-Forwarded-Host", b"old.example"),
            ("Forwarded", b"For=\"[2001:db8::1]:4711\";proto=https , for=10.0.0.1"),
        ]);
        let found = read(&headers);
        assert_eq!(found.client.map(address), Some(&b"2001:db8::1"[..]));
        assert_eq!(found.proto, Some(&b"https"[..]));
        assert_eq!(found.host, Some(&b"old.example"[..]));
    }

    #[test]
    fn addresses_lose_their_port_and_nothing_else() {
        for (written, address_is) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("unknown", "unknown"),
            ("", ""),
        ] {
            assert_eq!(address(written.as_bytes()), address_is.as_bytes());
        }
    }
}
