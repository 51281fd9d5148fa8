//! The protocol of a connection: decided once, by the first byte that differs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::proxy::detect::{First, Protocol, first, may_be_settings, protocol};

fuzz_target!(|bytes: &[u8]| {
    what_is_said_first(bytes);
    let decided = protocol(bytes);
    let mut first = None;
    for end in 0..=bytes.len() {
        let now = protocol(&bytes[..end]);
        assert!(first.is_none() || now == first, "it changes its mind");
        first = first.or(now);
    }
    assert_eq!(first, decided);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(decided == Some(Protocol::Http2), bytes.starts_with(preface));
});

/// Where anything may come, what was decided stays too, in whatever pieces it comes.
fn what_is_said_first(bytes: &[u8]) {
    let mut decided = First::Undecided;
    let mut is_settings = true;
    for end in 0..=bytes.len() {
        let now = first(&bytes[..end]);
        assert!(decided == First::Undecided || now == decided, "it changes its mind");
        decided = now;
        let may_be = may_be_settings(&bytes[..end]);
        assert!(is_settings || !may_be, "a greeting stays one");
        is_settings = may_be;
    }
    if decided == First::Http(Protocol::Http1) {
        let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(line[..line.len() - 1].ends_with(b" HTTP/1."), "{line:?}");
    }
}
