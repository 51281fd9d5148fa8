//! `Transfer-Encoding` in every spelling.

use super::case::{CHUNKED, Case, Outcome, cases, post};

/// What stands behind the colon.
const PASS: &[&[u8]] = &[
    b" chunked",
    b"chunked",
    b"  chunked  ",
    b"\tchunked\t",
    b" Chunked",
    b" CHUNKED",
    b" cHuNkEd",
    b" gzip, chunked",
    b" gzip,chunked",
    b" GZIP ,\tChunked",
    b" deflate, chunked",
    b" compress, chunked",
    b" x-gzip, chunked",
    b" x-compress, chunked",
    b" deflate, gzip, chunked",
];

const REFUSED: &[&[u8]] = &[
    b"",
    b" ",
    b" ,",
    b" identity",
    b" gzip",
    b" deflate",
    b" chunked, gzip",
    b" chunked, identity",
    b" identity, chunked",
    b" chunked, chunked",
    b" chunked, gzip, chunked",
    b" chunked,",
    b" ,chunked",
    b" , chunked",
    b" chunked,,",
    b" gzip,,chunked",
    b" chunked;",
    b" chunked;q=1",
    b" chunked ; a=b",
    b" chunked;q=0",
    b" gzip;q=0.5, chunked",
    b" \"chunked\"",
    b" 'chunked'",
    b" (chunked)",
    b" [chunked]",
    b" <chunked>",
    b" xchunked",
    b" x-chunked",
    b" chunkedx",
    b" chunked-x",
    b" chunke",
    b" chunk",
    b" hunked",
    b" chunked chunked",
    b" chunked gzip",
    b" gzip chunked",
    b" chunked/1.0",
    b" chunked=1",
    b" chunked: x",
    b" chun ked",
    b" chun\tked",
    b" chun\x00ked",
    b" cow",
    b" cow, chunked",
    b" br, chunked",
    b" zstd, chunked",
    b" trailers, chunked",
    b" *",
    b" *, chunked",
    b" none",
    b" false",
    b" \x0bchunked",
    b" chunked\x0b",
    b" \x0cchunked",
    b" chunked\x0c",
    b" \x00chunked",
    b" chunked\x00",
    b" \x01chunked",
    b" chunked\x7f",
    b" \x08chunked",
    b" \xa0chunked",
    b" chunked\xa0",
    b" \xc2\xa0chunked",
    b" chunked\x85",
    b" \xef\xbb\xbfchunked",
    b" chunked\xff",
    b" chun\xe2\x84\xaaed",
    b" \xe3\x80\x80chunked",
    b" chunked\r",
    b" \rchunked",
    b" chunked\rX: y",
    b" chunked\nX: y",
    b"\nchunked",
    b"\r\n chunked",
    b"\r\n\tchunked",
    b" chunked\r\n ",
    b" chunked\r\n , gzip",
    b" gzip,\r\n chunked",
    b" chunked\r\nTransfer-Encoding: chunked",
    b" gzip\r\nX: y\r\ntransfer-encoding:chunked",
    b" gzip\r\nTransfer-Encoding: chunked",
    b" chunked\r\nTransfer-Encoding: identity",
    b" chunked\r\nTransfer-Encoding: gzip",
    b" chunked\r\nTransfer-Encoding: x",
    b" chunked\r\nTransfer-Encoding:",
    b"\r\nTransfer-Encoding: chunked",
    b" identity\r\nTransfer-Encoding: chunked",
    b" cow\r\ntransfer-encoding: chunked",
];

pub(super) fn table() -> Vec<Case> {
    let with = |value: &[u8]| post(&[b"Transfer-Encoding:", value, b"\r\n"].concat(), CHUNKED);
    let mut all = cases("coding", PASS, &Outcome::Passes, with);
    all.extend(cases("coding", REFUSED, &Outcome::Refused, with));
    for (name, lines) in [
        ("in capitals", &b"TRANSFER-ENCODING: chunked\r\n"[..]),
        ("in small letters", b"transfer-encoding: chunked\r\n"),
    ] {
        all.push(Case::new("coding", name, post(lines, CHUNKED), Outcome::Passes));
    }
    for (name, lines) in [
        ("in HTTP/1.0", &b""[..]),
        ("in HTTP/1.0 that stays", b"Connection: keep-alive\r\n"),
        ("in HTTP/1.0 with gzip", b"Transfer-Encoding: gzip\r\n"),
    ] {
        let start = b"POST / HTTP/1.0\r\nHost: h\r\n";
        let message = [start, lines, b"Transfer-Encoding: chunked\r\n\r\n", CHUNKED].concat();
        all.push(Case::new("coding", name, message, Outcome::Refused));
    }
    all
}
