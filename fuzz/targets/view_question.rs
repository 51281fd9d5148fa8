//! What `view` is asked: every question is answered, or refused with a 4xx.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use spandrel::otlp::{Encoding, Signal};
use spandrel::view::fuzzing::Unbound;

static VIEW: LazyLock<Unbound> = LazyLock::new(|| {
    let view = Unbound::new(1 << 20);
    let span = |id: u8| Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: "GET /".to_owned(),
        end_time_unix_nano: u64::from(id),
        ..Span::default()
    };
    let scoped = ScopeSpans { spans: (1..4).map(span).collect(), ..ScopeSpans::default() };
    let group = ResourceSpans { scope_spans: vec![scoped], ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![group] };
    view.take(Signal::Traces, Encoding::Protobuf, &request.encode_to_vec()).expect("spans");
    view
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for place in ["/api/traces?", "/api/v3/traces?", "/api/graph?", "/api/traces/", "/"] {
        if let Some(status) = VIEW.ask(&format!("{place}{text}")) {
            assert!(!status.is_server_error(), "{place}{text}: {status}");
        }
    }
});
