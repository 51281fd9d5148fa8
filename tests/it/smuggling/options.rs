//! What asks for something else beside the request, and messages that break off.

use super::case::{CHUNKED, Case, Outcome, SMUGGLED, Way, post};

/// Lines of a request with a body of 35 bytes, and whether another may follow it.
const WITH_BODY: &[(&[u8], bool)] = &[
    (b"Connection: content-length\r\n", true),
    (b"Connection: Content-Length, Host\r\n", true),
    (b"Connection: transfer-encoding\r\n", true),
    (b"Connection: host\r\n", true),
    (b"Connection: traceparent\r\n", true),
    (b"Connection: x-tenant-id, authorization\r\n", true),
    (b"Connection: keep-alive\r\n", true),
    (b"Connection:\r\n", true),
    (b"Connection: ,,\r\n", true),
    (b"Connection: closed\r\n", true),
    (b"Connection: \"close\"\r\n", true),
    (b"Connection: close\r\n", false),
    (b"Connection: CLOSE\r\n", false),
    (b"Connection: keep-alive, close\r\n", false),
    (b"Connection: close\r\nConnection: keep-alive\r\n", false),
    (b"Proxy-Connection: close\r\n", true),
    (b"Keep-Alive: timeout=0\r\n", true),
    (b"Connection: upgrade\r\n", true),
    (b"Upgrade: websocket\r\n", true),
    (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", true),
    (b"Connection: upgrade\r\nUpgrade: h2c\r\n", true),
    (b"Connection: upgrade\r\nUpgrade: TLS/1.3, HTTP/2.0\r\n", true),
    (b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", true),
    (b"Expect: 100-continue\r\n", true),
    (b"Expect: 100-Continue\r\n", true),
    (b"Expect: 200-ok\r\n", true),
    (b"Expect: 100-continue, x\r\n", true),
    (b"Expect:\r\n", true),
    (b"Expect: 100-continue\r\nExpect: 100-continue\r\n", true),
    (b"TE: trailers\r\n", true),
    (b"TE: chunked\r\n", true),
    (b"Trailer: Content-Length\r\n", true),
    (b"Content-Encoding: chunked\r\n", true),
    (b"Content-Type: multipart/form-data; boundary=x\r\n", true),
    (b"Content-Range: bytes 0-4/35\r\n", true),
    (b"X-HTTP-Method-Override: GET\r\n", true),
    (b"X-Original-URL: /smuggled\r\n", true),
    (b"Max-Forwards: 0\r\n", true),
    (b"HTTP2-Settings: AAMAAABk\r\n", true),
    (b":authority: x\r\n", false),
];

/// Where a message breaks off.
const CUT: &[&[u8]] = &[
    b"G",
    b"GET",
    b"GET ",
    b"GET /",
    b"GET / HTTP/1.1",
    b"GET / HTTP/1.1\r",
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHo",
    b"GET / HTTP/1.1\r\nHost: h",
    b"GET / HTTP/1.1\r\nHost: h\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r",
];

pub(super) fn table() -> Vec<Case> {
    let mut all = Vec::new();
    for (lines, may_another_follow) in WITH_BODY {
        let outcome = match lines.first() {
            Some(b':') => Outcome::Refused,
            _ if *may_another_follow => Outcome::Passes,
            _ => Outcome::PassesLast,
        };
        let counted = post(&[lines, &b"Content-Length: 35\r\n"[..]].concat(), SMUGGLED);
        let chunked = post(&[lines, &b"Transfer-Encoding: chunked\r\n"[..]].concat(), CHUNKED);
        let name = lines.escape_ascii();
        // Where a proxy is addressed by URL, this field is for the proxy.
        let ways: &[Way] = match lines.starts_with(b"Proxy-Connection") {
            true => &[Way::Inbound, Way::Outbound],
            false => &[Way::Inbound, Way::Outbound, Way::Absolute],
        };
        for (kind, message) in [("a body", counted), ("chunks", chunked)] {
            let name = format!("{name} with {kind}");
            all.push(Case::new("option", &name, message, outcome.clone()).only(ways));
        }
    }
    let of = |start: &str, lines: &str, body: &[u8]| {
        [start.as_bytes(), b"\r\nHost: h\r\n", lines.as_bytes(), b"\r\n", body].concat()
    };
    let length = "Content-Length: 35\r\n";
    let kept = "Connection: keep-alive\r\nContent-Length: 35\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (name, message, outcome) in [
        ("GET with a body", of("GET / HTTP/1.1", length, SMUGGLED), Outcome::Passes),
        ("HEAD with a body", of("HEAD / HTTP/1.1", length, SMUGGLED), Outcome::Passes),
        ("TRACE with a body", of("TRACE / HTTP/1.1", length, SMUGGLED), Outcome::Passes),
        ("DELETE with chunks", of("DELETE / HTTP/1.1", chunked, CHUNKED), Outcome::Passes),
        ("GET with chunks", of("GET / HTTP/1.1", chunked, CHUNKED), Outcome::Passes),
        ("POST without a length", of("POST / HTTP/1.1", "", b""), Outcome::Passes),
        ("1.0 with a body", of("POST / HTTP/1.0", length, SMUGGLED), Outcome::PassesLast),
        ("1.0 without a length", of("POST / HTTP/1.0", "", b""), Outcome::PassesLast),
        ("1.0 with a body that stays", of("POST / HTTP/1.0", kept, SMUGGLED), Outcome::Passes),
    ] {
        all.push(Case::new("option", name, message, outcome));
    }
    let cut = CUT
        .iter()
        .map(|cut| Case::new("cut", &cut.escape_ascii().to_string(), cut.to_vec(), Outcome::Cut));
    all.extend(cut);
    all
}
