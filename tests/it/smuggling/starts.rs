//! Request lines: methods, targets and versions.

use super::case::{Case, Outcome, SMUGGLED, Way, cases};

/// Odd request lines that every reader takes for the same.
const PASS: &[&[u8]] = &[
    b"PURGE / HTTP/1.1",
    b"QUERY / HTTP/1.1",
    b"M-SEARCH / HTTP/1.1",
    b"get / HTTP/1.1",
    b"GET2 / HTTP/1.1",
    b"!#$%&'*+-.^_`|~ / HTTP/1.1",
    b"PRI / HTTP/1.1",
    b"TRACE / HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET * HTTP/1.1",
    b"GET // HTTP/1.1",
    b"GET //x/ HTTP/1.1",
    b"GET /../../etc HTTP/1.1",
    b"GET /a;b=c HTTP/1.1",
    b"GET /? HTTP/1.1",
    b"GET ?a HTTP/1.1",
    b"GET a HTTP/1.1",
    b"GET h:1 HTTP/1.1",
    b"GET /a#b HTTP/1.1",
    b"GET # HTTP/1.1",
    b"GET /a\\b HTTP/1.1",
    b"GET \\ HTTP/1.1",
    b"GET /\"<>^`{|} HTTP/1.1",
    b"GET /[::1] HTTP/1.1",
    b"GET /%00 HTTP/1.1",
    b"GET /%0d%0aX:%20y HTTP/1.1",
    b"GET /%zz HTTP/1.1",
    b"GET /% HTTP/1.1",
    b"GET /caf\xc3\xa9 HTTP/1.1",
    b"GET /caf\xe9 HTTP/1.1",
    b"GET /\xff\x80?\xa0 HTTP/1.1",
    b"GET /http://x/ HTTP/1.1",
    b"GET /HTTP/1.1 HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"DELETE / HTTP/1.1",
];

/// URLs to the inbound side: the application sees them as they came, `Host` included, and knows
/// by RFC 9112, section 3.2.2, which of the two counts.
const INBOUND: &[&[u8]] = &[
    b"GET http://h/ HTTP/1.1",
    b"GET http://h HTTP/1.1",
    b"GET http://other/ HTTP/1.1",
    b"GET http://other:81/?a HTTP/1.1",
    b"GET HTTP://other/ HTTP/1.1",
    b"GET https://h/ HTTP/1.1",
    b"GET ftp://h/ HTTP/1.1",
    b"GET http://u:p@other/ HTTP/1.1",
    b"GET http:///x HTTP/1.1",
    b"GET http:x HTTP/1.1",
    b"OPTIONS http://other HTTP/1.1",
];

/// Request lines that some readers take for others, or for none.
const REFUSED: &[&[u8]] = &[
    // versions
    b"GET / HTTP/1.2",
    b"GET / HTTP/1.10",
    b"GET / HTTP/1.11",
    b"GET / HTTP/01.1",
    b"GET / HTTP/1.01",
    b"GET / HTTP/2.0",
    b"GET / HTTP/2",
    b"GET / HTTP/3.0",
    b"GET / HTTP/0.9",
    b"GET / HTTP/1.",
    b"GET / HTTP/1",
    b"GET / HTTP/.1",
    b"GET / HTTP/1,1",
    b"GET / HTTP/+1.1",
    b"GET / HTTP/1.1x",
    b"GET / HTTP/1.1 ",
    b"GET / HTTP/1.1\t",
    b"GET / HTTP/1.1 x",
    b"GET / HTTP/1.1;x",
    b"GET / HTTP/1.1\0",
    b"GET / HTTP/ 1.1",
    b"GET / HTTP /1.1",
    b"GET / HTTP",
    b"GET / http/1.1",
    b"GET / Http/1.1",
    b"GET / HTTPS/1.1",
    b"GET / HTTPX/1.1",
    b"GET / XHTTP/1.1",
    b"GET / /1.1",
    b"GET / 1.1",
    b"GET / ICY",
    b"GET / \xd0\x9dTTP/1.1",
    b"GET /",
    b"GET / ",
    b"GET",
    b"GET ",
    b"GET HTTP/1.1",
    // white space
    b"GET  / HTTP/1.1",
    b"GET /  HTTP/1.1",
    b"GET  HTTP/1.1",
    b"GET\t/ HTTP/1.1",
    b"GET /\tHTTP/1.1",
    b"GET\t/\tHTTP/1.1",
    b"GET \t/ HTTP/1.1",
    b"GET\x0b/ HTTP/1.1",
    b"GET /\x0cHTTP/1.1",
    b"GET\xa0/ HTTP/1.1",
    b" GET / HTTP/1.1",
    b"\tGET / HTTP/1.1",
    b"GET /a b HTTP/1.1",
    b"GET /a\tb HTTP/1.1",
    b"GET / HTTP/1.1 / HTTP/1.1",
    // bytes
    b"GET /\0 HTTP/1.1",
    b"GET /\x01 HTTP/1.1",
    b"GET /\x08 HTTP/1.1",
    b"GET /\x0b HTTP/1.1",
    b"GET /\x1b HTTP/1.1",
    b"GET /\x7f HTTP/1.1",
    b"GET /\r HTTP/1.1",
    b"GET /\n HTTP/1.1",
    b"GET /a\rb HTTP/1.1",
    b"GE\0T / HTTP/1.1",
    b"\0GET / HTTP/1.1",
    b"G(T / HTTP/1.1",
    b"G@T / HTTP/1.1",
    b"G:T / HTTP/1.1",
    b"G/T / HTTP/1.1",
    b"\"GET\" / HTTP/1.1",
    b"G\xc9T / HTTP/1.1",
    b"G\xc3\x89T / HTTP/1.1",
    b"GET: / HTTP/1.1",
    // other protocols
    b"HTTP/1.1 200 OK",
    b"SSH-2.0-OpenSSH_9.9",
    b"EHLO example",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"{\"a\": 1}",
    b"Host: h",
    // what a tunnel is made of
    b"CONNECT h:1 HTTP/1.2",
];

pub(super) fn table() -> Vec<Case> {
    let with = |start: &[u8]| [start, b"\r\nHost: h\r\n\r\n"].concat();
    let mut all = cases("start", PASS, &Outcome::Passes, with);
    let inbound = cases("start", INBOUND, &Outcome::Passes, with);
    all.extend(inbound.into_iter().map(|case| case.only(&[Way::Inbound])));
    all.extend(cases("start", REFUSED, &Outcome::Refused, |start| {
        [&with(start), SMUGGLED].concat()
    }));
    let target = |length: usize| with(&[b"GET /", &b"a".repeat(length)[..], b" HTTP/1.1"].concat());
    let method = |length: usize| with(&[&b"A".repeat(length)[..], b" / HTTP/1.1"].concat());
    let connect = |lines: &[u8]| [b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n"].concat();
    let content = |lines: &[u8]| [&connect(lines), SMUGGLED].concat();
    for (name, message) in [
        ("CONNECT to the application", connect(b"")),
        ("CONNECT with no content", connect(b"Content-Length: 0\r\n")),
    ] {
        // On the outbound side it makes a tunnel.
        let case = Case::new("start", name, message, Outcome::PassesLast);
        all.push(case.only(&[Way::Inbound]));
    }
    for (name, message, outcome) in [
        ("a target of 8000 bytes", target(8_000), Outcome::Passes),
        ("a target of 60000 bytes", target(60_000), Outcome::Passes),
        ("a target of 70000 bytes", target(70_000), Outcome::Refused),
        ("a method of 2000 bytes", method(2_000), Outcome::Passes),
        ("a method of 70000 bytes", method(70_000), Outcome::Refused),
        ("CONNECT with content", content(b"Content-Length: 35\r\n"), Outcome::Refused),
        ("CONNECT with chunks", content(b"Transfer-Encoding: chunked\r\n"), Outcome::Refused),
        ("HTTP/1.0", b"GET / HTTP/1.0\r\nHost: h\r\n\r\n".to_vec(), Outcome::PassesLast),
        ("HTTP/1.0 without a host", b"GET / HTTP/1.0\r\n\r\n".to_vec(), Outcome::PassesLast),
        ("HTTP/0.9", b"GET /\r\n".to_vec(), Outcome::Refused),
        ("HTTP/0.9 and an empty line", b"GET /\r\n\r\n".to_vec(), Outcome::Refused),
    ] {
        all.push(Case::new("start", name, message, outcome));
    }
    all
}
