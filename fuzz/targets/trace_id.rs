//! A trace's id in hexadecimal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::TraceId;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(id) = TraceId::from_hex(text) else { return };
    assert_eq!(id.to_string(), text.to_ascii_lowercase());
    assert_eq!(TraceId::from_bytes(id.to_bytes()), Some(id));
});
