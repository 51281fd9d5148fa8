//! The context formats beside that of W3C: what names a trace is bounded, never zero, and the
//! same however it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::Headers as _;
use spandrel::trace::propagate::carried::{Carried, MAX_JOIN_KEYS};
use spandrel::trace::propagate::known::{Format, MAX_TEXT, MAX_VALUE, TraceKey, trace_key};
use spandrel::trace::propagate::traceparent;
use spandrel_fuzz::{Lines, led};

fuzz_target!(|input: &[u8]| {
    let Some((lead, bytes)) = led(input) else { return };
    let format = Format::ALL[lead % Format::ALL.len()];
    if let Ok(Some(key)) = trace_key(format, bytes) {
        assert!(bytes.trim_ascii().len() <= MAX_VALUE);
        assert!(!key.contradicts(key));
        match key {
            TraceKey::Id(id) => {
                let hex = format!("{id:032x}");
                let again = trace_key(Format::B3Multi, hex.as_bytes());
                assert!(id != 0 && again == Ok(Some(TraceKey::Id(id))));
            }
            TraceKey::Low(low) => {
                let decimal = low.to_string();
                let again = trace_key(Format::Datadog, decimal.as_bytes());
                assert!(low != 0 && again == Ok(Some(TraceKey::Low(low))));
            }
            TraceKey::Text(of, text) => {
                assert!(of == format && (1..=MAX_TEXT).contains(&text.len()));
                assert!(text.is_ascii() && bytes.windows(text.len()).any(|w| w == text));
            }
        }
    }
    // A value that is malformed has a reason, and no other has.
    assert_eq!(traceparent::parse(bytes).is_none(), traceparent::malformed(bytes).is_some());
    whole_message(bytes);
});

/// The same bytes as the lines of a message.
fn whole_message(bytes: &[u8]) {
    let lines = Lines::of(bytes);
    let names = ["x-request-id".to_owned(), "k".to_owned()];
    let carried = Carried::read(&lines, &names);
    let contexts: Vec<_> = carried.contexts().collect();
    assert!(contexts.len() < Format::ALL.len());
    for (format, read) in contexts {
        let mut values = lines.values(format.header());
        let (first, second) = (values.next().expect("it is there"), values.next());
        assert!(if second.is_some() { read.is_err() } else { read == trace_key(format, first) });
    }
    let keys: Vec<_> = carried.keys().collect();
    assert!(keys.len() <= MAX_JOIN_KEYS);
    for (at, value) in keys {
        let all: Vec<_> = lines.values(&names[at]).collect();
        assert!(all == [value] && (1..=MAX_TEXT).contains(&value.len()));
    }
}
