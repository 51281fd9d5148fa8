//! `traceparent`: what is read is what is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::propagate::traceparent::{LENGTH, format, parse};

fuzz_target!(|bytes: &[u8]| {
    let Some(context) = parse(bytes) else { return };
    let written = format(context);
    assert_eq!(parse(&written), Some(context));
    let read = bytes.trim_ascii();
    let flags = LENGTH - 2;
    assert_eq!(&read[2..flags], &written[2..flags], "another context than the one that came");
    // Flags that nobody has given a meaning yet do not travel on.
    let is_odd = matches!(read[flags + 1], b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f');
    assert_eq!(context.flags.is_sampled(), is_odd);
    assert!(context.trace_id.to_bytes() != [0; 16] && context.span_id.to_bytes() != [0; 8]);
    assert!(&read[..2] != b"00" || read.len() == LENGTH);
});
