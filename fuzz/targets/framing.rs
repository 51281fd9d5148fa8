//! The end of a body: the pieces do not matter, and a simpler reader finds the same content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::proxy::http1::framing::{Body, FramingError};
use spandrel_fuzz::led;

const TRAILERS: usize = 200;

/// How many bytes belong to the message, whether it is whole, and its content.
fn feed(mut body: Body, bytes: &[u8], step: usize) -> Result<(usize, bool, Vec<u8>), FramingError> {
    let (mut taken, mut content) = (0, Vec::new());
    for piece in bytes.chunks(step) {
        let count = body.advance(piece, |part| content.extend_from_slice(part))?;
        assert!(count <= piece.len());
        taken += count;
        if count < piece.len() {
            assert!(body.is_done());
            break;
        }
    }
    Ok((taken, body.is_done(), content))
}

/// The length of a whole chunked message with its framing, and its content, as simply as can be.
fn decoded(bytes: &[u8]) -> (usize, Vec<u8>) {
    let line = |at: usize| bytes[at..].windows(2).position(|w| w == b"\r\n").map(|n| at + n);
    let (mut at, mut content) = (0, Vec::new());
    loop {
        let end = line(at).expect("a size line");
        let text = &bytes[at..end];
        let digits = text.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(text.len());
        let size = std::str::from_utf8(&text[..digits]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a size");
        at = end + 2;
        if size == 0 {
            break;
        }
        content.extend_from_slice(&bytes[at..at + size]);
        at += size;
        assert_eq!(&bytes[at..at + 2], b"\r\n", "the end of the data");
        at += 2;
    }
    loop {
        let end = line(at).expect("a trailer or the end");
        if end == at {
            return (at + 2, content);
        }
        at = end + 2;
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((lead, bytes)) = led(input) else { return };
    let step = lead / 4 + 1;
    let body = match lead % 4 {
        0 => Body::length(bytes.len() as u64 / 2),
        1 => Body::until_close(),
        2 => Body::chunked(TRAILERS),
        _ => Body::chunked(TRAILERS).strictly(),
    };
    let whole = feed(body, bytes, bytes.len().max(1));
    let pieces = feed(body, bytes, step);
    assert_eq!(whole.is_ok(), pieces.is_ok(), "the pieces matter");
    let (Ok(whole), Ok(pieces)) = (whole, pieces) else { return };
    assert_eq!(whole, pieces, "the pieces matter");
    let (taken, is_done, content) = whole;
    assert!(taken <= bytes.len() && content.len() <= taken);
    match lead % 4 {
        0 | 1 => assert_eq!(content, bytes[..taken]),
        _ if is_done => assert_eq!(decoded(bytes), (taken, content)),
        _ => assert_eq!(taken, bytes.len()),
    }
});
