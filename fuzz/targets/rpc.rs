//! The status and the path of a gRPC call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::semconv::rpc::{code_name, method, parse_status};

fuzz_target!(|bytes: &[u8]| {
    let status = parse_status(bytes);
    let is_number = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let by_std = std::str::from_utf8(bytes).ok().filter(|_| is_number).and_then(|t| t.parse().ok());
    assert_eq!(status, by_std.unwrap_or(2));
    assert!(status <= 16 || code_name(status) == "UNKNOWN");
    if let Some(name) = method(bytes) {
        assert_eq!([b"/", name].concat(), bytes);
        assert_eq!(name.iter().filter(|b| **b == b'/').count(), 1);
    }
});
