//! `Content-Length` in every spelling, and beside `Transfer-Encoding`.

use super::case::{CHUNKED, Case, Outcome, SMUGGLED, cases, post};

/// What stands behind the colon, of a body of 35 bytes: legal, if unusual.
const PASS: &[&[u8]] =
    &[b" 35", b"35", b"   35   ", b"\t35\t", b" 0035", b" 00000000000000000000000000000000035"];

/// The one length several times: it goes on once.
const COLLAPSE: &[&[u8]] = &[
    b" 35, 35",
    b" 35,35",
    b" 35 ,\t35",
    b" 35, 35, 35",
    b" 35\r\nContent-Length: 35",
    b" 35\r\ncontent-length:35",
    b" 35\r\nContent-Length: 35\r\nCONTENT-LENGTH: 35, 35",
    b" 35, 0035",
];

/// Numbers to some readers and not to others.
const REFUSED: &[&[u8]] = &[
    b"",
    b" ",
    b" +35",
    b" -35",
    b" - 35",
    b" -0",
    b" 0x23",
    b" 0X23",
    b" 0b100011",
    b" 0o43",
    b" 35.0",
    b" 35.",
    b" .35",
    b" 3.5e1",
    b" 35e0",
    b" 3 5",
    b" 35 35",
    b" 35\t35",
    b" 35;",
    b" 35;a=b",
    b" \"35\"",
    b" '35'",
    b" (35)",
    b" [35]",
    b" 35,",
    b" ,35",
    b" ,",
    b" 35,,35",
    b" 35, 0",
    b" 0, 35",
    b" 35, 36",
    b" 35, -35",
    b" 35, +35",
    b" 35, x",
    b" 35, 35, 34",
    b" 3_5",
    b" 35_",
    b" 1_0",
    b" 35L",
    b" 35 bytes",
    b" 35%",
    b" 35/1",
    b" 35=35",
    b" NaN",
    b" Infinity",
    b" null",
    b" 35\x0b",
    b" \x0b35",
    b" 35\x0c",
    b" \x0c35",
    b" \x0035",
    b" 35\x00",
    b" 3\x005",
    b" \x0135",
    b" 35\x7f",
    b" \xa035",
    b" 35\xa0",
    b" \xc2\xa035",
    b" 35\x85",
    b" \xef\xbb\xbf35",
    b" \xef\xbc\x93\xef\xbc\x95",
    b" \xd9\xa3\xd9\xa5",
    b" \xc2\xb3",
    b" 18446744073709551616",
    b" 18446744073709551651",
    b" 4294967331x",
    b" 99999999999999999999999999999999",
    b" 35\rX: y",
    b" \r35",
    b" 35\nX: y",
    b" 35\r",
    b"\r\n 35",
    b" 35\r\n 0",
    b" 3\r\n\t5",
    b" 35\r\n ",
    b" 35\r\nContent-Length: 0",
    b" 0\r\nContent-Length: 35",
    b" 35\r\nContent-Length: 36",
    b" 35\r\nContent-Length:",
    b"\r\nContent-Length: 35",
    b" 35\r\nContent-Length: +35",
    b" 35\r\nX: y\r\ncontent-length: 34",
];

/// Lines that give a length and a coding.
const BOTH: &[&[u8]] = &[
    b"Content-Length: 35\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 35\r\n",
    b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    b"Content-Length: 48\r\nTransfer-Encoding: chunked\r\n",
    b"content-length: 4\r\ntransfer-encoding: CHUNKED\r\n",
    b"Content-Length: 35\r\nX: y\r\nTransfer-Encoding: gzip, chunked\r\n",
    b"Content-Length: 35\r\nTransfer-Encoding: identity\r\n",
    b"Content-Length: 35\r\nTransfer-Encoding: gzip\r\n",
    b"Content-Length: 35\r\nTransfer-Encoding: xchunked\r\n",
    b"Content-Length: 35\r\nTransfer-Encoding:\r\n",
    b"Content-Length: 35\r\nTransfer-Encoding: , \r\n",
    b"Content-Length: 35\r\nContent-Length: 35\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length:\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length : 35\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: 35\r\nTransfer-Encoding : chunked\r\n",
    b"Content-Length: 35\r\n Transfer-Encoding: chunked\r\n",
    b"Content-Length: 35\r\nTransfer-Encoding: chunked, identity\r\n",
];

pub(super) fn table() -> Vec<Case> {
    let with = |value: &[u8]| post(&[b"Content-Length:", value, b"\r\n"].concat(), SMUGGLED);
    let mut all = cases("length", PASS, &Outcome::Passes, with);
    let once = Outcome::PassesAs(post(b"Content-Length: 35\r\n", SMUGGLED));
    all.extend(cases("length", COLLAPSE, &once, with));
    all.extend(cases("length", REFUSED, &Outcome::Refused, with));
    all.extend(cases("both", BOTH, &Outcome::Refused, |lines| post(lines, CHUNKED)));
    let old = [
        &b"POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 35\r\nTransfer-Encoding: chunked\r\n\r\n"
            [..],
        CHUNKED,
    ];
    all.push(Case::new("both", "in HTTP/1.0", old.concat(), Outcome::Refused));
    for (name, lines) in [
        ("in capitals", &b"CONTENT-LENGTH: 35\r\n"[..]),
        ("in small letters", b"content-length: 35\r\n"),
        ("last of many lines", b"A: b\r\nC: d\r\nE:\r\nContent-Length: 35\r\n"),
    ] {
        all.push(Case::new("length", name, post(lines, SMUGGLED), Outcome::Passes));
    }
    for (name, length) in [("the most", "18446744073709551615"), ("too long", "5000")] {
        let lines = format!("Content-Length: {length}\r\n");
        all.push(Case::new("length", name, post(lines.as_bytes(), SMUGGLED), Outcome::Cut));
    }
    all
}
