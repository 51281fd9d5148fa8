//! What `view` takes: it keeps within its bound, and can answer for all it keeps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::otlp::{Encoding, Signal};
use spandrel::view::fuzzing::Unbound;
use spandrel_fuzz::led;

const MEMORY: usize = 64 * 1024;
const QUESTIONS: [&str; 6] = [
    "/api/traces",
    "/api/traces?attribute=a=b&edge=a%3Eb",
    "/api/graph",
    "/api/tenants",
    "/api/v3/services",
    "/api/v3/traces?query.service_name=a",
];

fuzz_target!(|input: &[u8]| {
    let Some((lead, bytes)) = led(input) else { return };
    let signal = [Signal::Traces, Signal::Metrics, Signal::Logs][lead % 3];
    let encoding = if lead & 4 == 0 { Encoding::Protobuf } else { Encoding::Json };
    let view = Unbound::new(MEMORY);
    if view.take(signal, encoding, bytes).is_err() {
        return;
    }
    let (kept, most) = view.bytes();
    assert!(kept <= most, "{kept} bytes are kept, {most} may be");
    for question in QUESTIONS {
        let status = view.ask(question).expect("a URL");
        assert!(!status.is_server_error(), "{question}: {status}");
    }
});
