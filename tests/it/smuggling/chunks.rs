//! Chunks and trailers.

use super::case::{Case, Outcome, cases, post};

/// Bodies that every reader takes for the same.
const PASS: &[&[u8]] = &[
    b"0\r\n\r\n",
    b"000\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"0005\r\nhello\r\n0\r\n\r\n",
    b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    b"a\r\n0123456789\r\n0\r\n\r\n",
    b"A\r\n0123456789\r\n0\r\n\r\n",
    b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n",
    b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    // extensions
    b"5;a\r\nhello\r\n0\r\n\r\n",
    b"5;a=b\r\nhello\r\n0\r\n\r\n",
    b"5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n",
    b"5 ; a = b\r\nhello\r\n0\r\n\r\n",
    b"5\t;a\r\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;a=0\r\nhello\r\n0;last\r\n\r\n",
    b"5;\xe9\r\nhello\r\n0\r\n\r\n",
    b"5  \r\nhello\r\n0  \r\n\r\n",
    // trailers
    b"0\r\nX: y\r\n\r\n",
    b"0\r\nX: y\r\nZ:\r\n\r\n",
    b"5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nGrpc-Message: \xe9\r\n\r\n",
    b"0\r\nHostname: y\r\nContent-Lengths: 1\r\n\r\n",
    b"0\r\n!#$%&'*+-.^_`|~: y\r\n\r\n",
    b"0\r\nX: y\r\nX: y\r\n\r\n",
];

/// Bodies that some readers end elsewhere.
const REFUSED: &[&[u8]] = &[
    // sizes
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"0X5\r\nhello\r\n0\r\n\r\n",
    b"x5\r\nhello\r\n0\r\n\r\n",
    b"5x\r\nhello\r\n0\r\n\r\n",
    b"5h\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"- 5\r\nhello\r\n0\r\n\r\n",
    b"5_\r\nhello\r\n0\r\n\r\n",
    b"0_5\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"\t5\r\nhello\r\n0\r\n\r\n",
    b"\x0b5\r\nhello\r\n0\r\n\r\n",
    b"\x005\r\nhello\r\n0\r\n\r\n",
    b"\xa05\r\nhello\r\n0\r\n\r\n",
    b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
    b"5\0\r\nhello\r\n0\r\n\r\n",
    b"5\x0b\r\nhello\r\n0\r\n\r\n",
    b"5\xa0\r\nhello\r\n0\r\n\r\n",
    b"5 5\r\nhello\r\n0\r\n\r\n",
    b"5, 5\r\nhello\r\n0\r\n\r\n",
    b"5.0\r\nhello\r\n0\r\n\r\n",
    b"5:\r\nhello\r\n0\r\n\r\n",
    b"5=a\r\nhello\r\n0\r\n\r\n",
    b"5a=b\r\nhello\r\n0\r\n\r\n",
    b"\"5\"\r\nhello\r\n0\r\n\r\n",
    b"'5'\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n",
    b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\n5\r\nhello\r\n0\r\n\r\n",
    b";a=b\r\nhello\r\n0\r\n\r\n",
    b"hello\r\n0\r\n\r\n",
    b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"-1\r\n0\r\n\r\n",
    // ends of size lines
    b"5\nhello\r\n0\r\n\r\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5\r\rhello\r\n0\r\n\r\n",
    b"5\r \nhello\r\n0\r\n\r\n",
    b"5\r\n\nhello\r\n0\r\n\r\n",
    b"5;a\nhello\r\n0\r\n\r\n",
    b"5;a\rhello\r\n0\r\n\r\n",
    b"5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
    b"5;a=\"\nb\"\r\nhello\r\n0\r\n\r\n",
    b"5;a\0\r\nhello\r\n0\r\n\r\n",
    b"5;\n0\r\n\r\n\r\n0\r\n\r\n",
    // sizes that lie, and ends of data
    b"4\r\nhello\r\n0\r\n\r\n",
    b"6\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"5\r\nhelloX\n0\r\n\r\n",
    b"5\r\nhello\n\n0\r\n\r\n",
    b"5\r\nhello\rX0\r\n\r\n",
    b"5\r\nhello\r\r0\r\n\r\n",
    b"5\r\nhello \r\n0\r\n\r\n",
    b"5\r\nhello\r\n\r\n0\r\n\r\n",
    b"5\r\nhello\r\n 0\r\n\r\n",
    b"5\r\nhello\n\r0\r\n\r\n",
    // the end
    b"0\n\r\n",
    b"0\r\n\n",
    b"0\n\n",
    b"0\r\r\n",
    b"0\r\n\r\r\n",
    b"0;a\n\n",
    // trailers
    b"0\r\nX: y\n\r\n",
    b"0\r\nX: y\r\n\n",
    b"0\r\nX: y\rZ: a\r\n\r\n",
    b"0\r\nno colon\r\n\r\n",
    b"0\r\nnocolon\r\n\r\n",
    b"0\r\n: y\r\n\r\n",
    b"0\r\nX : y\r\n\r\n",
    b"0\r\nX\t: y\r\n\r\n",
    b"0\r\n X: y\r\n\r\n",
    b"0\r\n\tX: y\r\n\r\n",
    b"0\r\nX: y\r\n z\r\n\r\n",
    b"0\r\nX: y\r\n \r\n\r\n",
    b"0\r\nX\0: y\r\n\r\n",
    b"0\r\nX: \0\r\n\r\n",
    b"0\r\nX: \x01\r\n\r\n",
    b"0\r\nX: \x7f\r\n\r\n",
    b"0\r\n\xe9: y\r\n\r\n",
    b"0\r\nX(y): z\r\n\r\n",
    b"0\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    b"0\r\nContent-Length: 35\r\n\r\n",
    b"0\r\nX: y\r\ncontent-length:0\r\n\r\n",
    b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"0\r\nTRANSFER-ENCODING: identity\r\n\r\n",
    b"0\r\nHost: x\r\n\r\n",
    b"5\r\nhello\r\n0\r\nhost:\r\n\r\n",
];

pub(super) fn table() -> Vec<Case> {
    let with = |body: &[u8]| post(b"Transfer-Encoding: chunked\r\n", body);
    let mut all = cases("chunks", PASS, &Outcome::Passes, with);
    all.extend(cases("chunks", REFUSED, &Outcome::Refused, with));
    let extended = |length: usize| {
        let extension = b"a".repeat(length);
        with(&[b"5;", &extension[..], b"\r\nhello\r\n0\r\n\r\n"].concat())
    };
    let spaced =
        |length: usize| with(&[b"5", &b" ".repeat(length)[..], b"\r\nhello\r\n0\r\n\r\n"].concat());
    let trailing =
        |count: usize| with(&[b"0\r\n", &b"X: yyyyy\r\n".repeat(count)[..], b"\r\n"].concat());
    for (name, message, outcome) in [
        ("an extension of 8000 bytes", extended(8_000), Outcome::Passes),
        ("an extension of 9000 bytes", extended(9_000), Outcome::Refused),
        ("9000 spaces behind a size", spaced(9_000), Outcome::Refused),
        ("trailers of 60000 bytes", trailing(6_000), Outcome::Passes),
        ("trailers of 70000 bytes", trailing(7_000), Outcome::Refused),
        ("a chunk larger than what comes", with(b"ffffffff\r\nhello"), Outcome::Cut),
        ("the largest chunk", with(b"ffffffffffffffff\r\nhello"), Outcome::Cut),
    ] {
        all.push(Case::new("chunks", name, message, outcome));
    }
    all
}
