//! The protocol of a connection: decided once, by the first byte that differs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::proxy::detect::{Protocol, protocol};

fuzz_target!(|bytes: &[u8]| {
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
