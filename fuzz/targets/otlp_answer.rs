//! What a collector answers: the end of a batch is said whatever it sends.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use spandrel::export::fuzzing;
use spandrel_fuzz::Lines;

fuzz_target!(|input: &[u8]| {
    let Some(([low, high, length], rest)) = input.split_first_chunk() else { return };
    let (head, body) = rest.split_at(rest.len().min(usize::from(*length)));
    let mut headers = HeaderMap::new();
    for (name, value) in Lines::of(head).0 {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    let status = 100 + u16::from_le_bytes([*low, *high]) % 500;
    let over_http = fuzzing::http(status, headers.clone(), body);
    assert_eq!(over_http.is_none(), matches!(status, 429 | 502 | 503 | 504));
    let over_grpc = fuzzing::grpc(body, headers);
    assert!(over_grpc != Some(u64::MAX - 1));
});
