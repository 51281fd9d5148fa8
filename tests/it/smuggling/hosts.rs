//! `Host`: missing, several times, and what is none.

use super::case::{Case, Outcome, cases};

/// What stands behind the colon.
const PASS: &[&[u8]] = &[
    b"",
    b" ",
    b"h",
    b" h.example",
    b" h:80",
    b" h:",
    b" H_x-1.Example.",
    b" 127.0.0.1:8080",
    b" [::1]",
    b" [::1]:8080",
    b" [fe80::1%25eth0]",
    b" xn--bcher-kva.example",
    b" h%41",
    b" a,b",
    b" h:99999",
    b"\th\t",
];

const REFUSED: &[&[u8]] = &[
    b" a b",
    b" a, b",
    b" a\tb",
    b" u@h",
    b" u:p@h",
    b" @h",
    b" h@",
    b" h/",
    b" h/x",
    b" h?x",
    b" h#x",
    b" h\\x",
    b" http://h",
    b" http://h/",
    b" h:8o",
    b" h:+80",
    b" h:-1",
    b" h:80:81",
    b" h: 80",
    b" h :80",
    b" h:80,81",
    b" h:0x50",
    b" [::1",
    b" ::1",
    b" []",
    b" [::1]x",
    b" [::1]:x",
    b" [::1]]",
    b" x[::1]",
    b" \"h\"",
    b" <h>",
    b" {h}",
    b" h^",
    b" h|h",
    b" h`",
    b" b\xc3\xbccher.example",
    b" b\xfccher.example",
    b" h\0",
    b" \0h",
    b" h\x01",
    b" h\x7f",
    b" h\x0b",
    b" h\rX: y",
    b" h\nX: y",
    b" a\r\nHost: b",
    b" h\r\nHost: h",
    b" h\r\nhost: h",
    b" h\r\nX: y\r\nHOST:",
    b"\r\nHost: h",
];

pub(super) fn table() -> Vec<Case> {
    let with = |host: &[u8]| [b"GET / HTTP/1.1\r\nHost:", host, b"\r\n\r\n"].concat();
    let mut all = cases("host", PASS, &Outcome::Passes, with);
    all.extend(cases("host", REFUSED, &Outcome::Refused, with));
    for (name, message) in [
        ("missing", &b"GET / HTTP/1.1\r\n\r\n"[..]),
        ("missing among others", b"GET / HTTP/1.1\r\nX: y\r\nHosts: h\r\n\r\n"),
        ("missing with a URL", b"GET http://h/ HTTP/1.1\r\n\r\n"),
        ("twice with a URL", b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        ("none with a URL", b"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
        ("twice in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("none in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
        ("before the line", b"Host: h\r\nGET / HTTP/1.1\r\n\r\n"),
    ] {
        all.push(Case::new("host", name, message.to_vec(), Outcome::Refused));
    }
    all
}
