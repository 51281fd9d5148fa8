//! `traceparent`: what is read is what is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::propagate::traceparent::{LENGTH, format, parse};

fuzz_target!(|bytes: &[u8]| {
    let Some(context) = parse(bytes) else { return };
    let written = format(context);
    assert_eq!(parse(&written), Some(context));
    let read = bytes.trim_ascii();
    assert_eq!(&read[2..LENGTH], &written[2..], "another context than the one that came");
    assert!(context.trace_id.to_bytes() != [0; 16] && context.span_id.to_bytes() != [0; 8]);
    assert!(&read[..2] != b"00" || read.len() == LENGTH);
});
