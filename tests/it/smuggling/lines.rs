//! Names and values of header lines, folds, and the ends of lines.

use super::case::{Case, Outcome, SMUGGLED, cases, get, post};

/// Odd lines that every reader takes for the same.
const PASS: &[&[u8]] = &[
    b"!#$%&'*+-.^_`|~: y\r\n",
    b"0: y\r\n",
    b"-: y\r\n",
    b"Content_Length: 35\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Content-Length-: 35\r\n",
    b"X-Content-Length: 35\r\n",
    b"X:\r\n",
    b"X:   \r\n",
    b"X:\t\r\n",
    b"X:y\r\n",
    b"X: y  \r\n",
    b"X: a: b: c\r\n",
    b"X::\r\n",
    b"X: a\tb\r\n",
    b"X: \xe9\r\n",
    b"X: \xff\x80\xa0\r\n",
    b"X: caf\xc3\xa9\r\n",
    b"X: \"a\\\"b\", (c), <d>\r\n",
    b"X: \\r\\n\\r\\n\r\n",
    b"X: %0d%0aContent-Length: 35\r\n",
    b"X: y\r\nX: y\r\nx: z\r\n",
    b"Cookie: a=b; c=d\r\nCookie: e=f\r\n",
];

/// Lines that some readers take for others, or for several, or for none.
const REFUSED: &[&[u8]] = &[
    // white space before the colon
    b"Content-Length : 35\r\n",
    b"Content-Length\t: 35\r\n",
    b"Content-Length  \t : 35\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding\t: chunked\r\n",
    b"X : y\r\n",
    b"X\t: y\r\n",
    b"X\x0b: y\r\n",
    b"X\x0c: y\r\n",
    b"X\xa0: y\r\n",
    // no name, or no field
    b": y\r\n",
    b" : y\r\n",
    b":\r\n",
    b"no colon\r\n",
    b"nocolon\r\n",
    b"GET /smuggled HTTP/1.1\r\n",
    // names that are no tokens
    b"X(y): z\r\n",
    b"X y: z\r\n",
    b"X@y: z\r\n",
    b"X/y: z\r\n",
    b"X[y]: z\r\n",
    b"X{y}: z\r\n",
    b"X\"y\": z\r\n",
    b"X<y: z\r\n",
    b"X>y: z\r\n",
    b"X=y: z\r\n",
    b"X?y: z\r\n",
    b"X\\y: z\r\n",
    b"X,y: z\r\n",
    b"X;y: z\r\n",
    b"\"Content-Length\": 35\r\n",
    b"X\x7f: z\r\n",
    b"X\x01: z\r\n",
    b"X\x00: z\r\n",
    b"\x00X: z\r\n",
    b"Transfer\x00-Encoding: chunked\r\n",
    b"Content-Length\x00: 35\r\n",
    b"X\xff: z\r\n",
    b"X\xe9: z\r\n",
    b"\xef\xbb\xbfX: z\r\n",
    b"Content\xe2\x80\x90Length: 35\r\n",
    // controls in values
    b"X: a\x00b\r\n",
    b"X: \x01\r\n",
    b"X: a\x08\r\n",
    b"X: a\x0bb\r\n",
    b"X: a\x0cb\r\n",
    b"X: \x1b[2J\r\n",
    b"X: a\x7f\r\n",
    // folds
    b"X: a\r\n b\r\n",
    b"X: a\r\n\tb\r\n",
    b"X:\r\n a\r\n",
    b"X: a\r\n \r\n",
    b"X: a\r\n Content-Length: 35\r\n",
    b"X: a\r\n\tTransfer-Encoding: chunked\r\n",
    b"X: a\r\n : b\r\n",
    b"Connection:\r\n close\r\n",
    b" X: y\r\n",
    b"\tX: y\r\n",
    b"  \r\n",
    b" \r\nX: y\r\n",
    // ends of lines
    b"X: y\nContent-Length: 35\r\n",
    b"X: y\n",
    b"X: y\n\r\n",
    b"\n",
    b"X: y\r\n\n",
    b"X: y\n\n",
    b"X: y\rContent-Length: 35\r\n",
    b"X: y\r\r\n",
    b"\rX: y\r\n",
    b"X\r: y\r\n",
    b"X:\ry\r\n",
    b"X: y\r\n\rX: y\r\n",
    b"X: y\n\rZ: y\r\n",
    b"\r\r\n",
    b"\r",
    b"X\n: y\r\n",
    b"X: y\r\n\nGET /smuggled HTTP/1.1\r\nHost: x\r\n",
];

/// Whole heads.
const HEADS: &[&[u8]] = &[
    b"GET / HTTP/1.1\nHost: h\n\n",
    b"GET / HTTP/1.1\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\rHost: h\r\r",
    b"GET / HTTP/1.1\rHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\n",
    b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
    b"GET / HTTP/1.1\r\n\tHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n",
    b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b" \r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r\n GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\0GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: h\r\n\r\n",
];

pub(super) fn table() -> Vec<Case> {
    let mut all = cases("line", PASS, &Outcome::Passes, get);
    all.extend(cases("line", REFUSED, &Outcome::Refused, |lines| post(lines, SMUGGLED)));
    all.extend(cases("head", HEADS, &Outcome::Refused, <[u8]>::to_vec));
    for empty_lines in [1, 2, 16] {
        let message = [&b"\r\n".repeat(empty_lines)[..], &get(b"")].concat();
        let name = format!("after {empty_lines} empty lines");
        all.push(Case::new("head", &name, message, Outcome::PassesAs(get(b""))));
    }
    for empty_lines in [17, 20_000] {
        let message = [&b"\r\n".repeat(empty_lines)[..], &get(b"")].concat();
        let name = format!("after {empty_lines} empty lines");
        all.push(Case::new("head", &name, message, Outcome::Refused));
    }
    let long = |length: usize| get(&[b"X: ", &b"y".repeat(length)[..], b"\r\n"].concat());
    let named = |length: usize| get(&[&b"x".repeat(length)[..], b": y\r\n"].concat());
    let many = |count: usize| get(&b"X: y\r\n".repeat(count));
    for (name, message, outcome) in [
        ("a value of 60000 bytes", long(60_000), Outcome::Passes),
        ("a value of 70000 bytes", long(70_000), Outcome::Refused),
        ("a name of 1000 bytes", named(1_000), Outcome::Passes),
        ("a name of 70000 bytes", named(70_000), Outcome::Refused),
        ("127 lines more", many(127), Outcome::Passes),
        ("128 lines more", many(128), Outcome::Refused),
        ("5000 lines more", many(5_000), Outcome::Refused),
    ] {
        all.push(Case::new("line", name, message, outcome));
    }
    all
}
