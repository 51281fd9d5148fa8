//! A response's head: read alike however it comes, and never with two lengths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::proxy::http1::head::{Answers, ResponseHead};
use spandrel_fuzz::{LIMITS, led};

fuzz_target!(|input: &[u8]| {
    let Some((lead, bytes)) = led(input) else { return };
    let answers = [Answers::Other, Answers::Head, Answers::Connect, Answers::Upgrade][lead % 4];
    let whole = ResponseHead::parse(bytes, answers, &LIMITS);
    let mut at_last = Ok(None);
    for end in (0..bytes.len()).step_by(lead / 4 % 32 + 1).chain([bytes.len()]) {
        at_last = ResponseHead::parse(&bytes[..end], answers, &LIMITS);
        if !matches!(at_last, Ok(None)) {
            break;
        }
    }
    match (whole, at_last) {
        (Err(_), Err(_)) => {}
        (whole, at_last) => assert_eq!(whole, at_last, "the pieces matter"),
    }
    let Ok(Some(head)) = whole else { return };
    assert!(head.end <= bytes.len().min(LIMITS.bytes) && head.status <= 999);
    if matches!(head.status, 100..=199 | 204 | 304) || answers == Answers::Head {
        assert!(head.body.is_done(), "a body where there is none");
    }
    assert!(!(head.is_persistent && head.body.ends_with_connection()));
});
