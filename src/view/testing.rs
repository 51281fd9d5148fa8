//! Spans for the tests of the backend.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as proto;

use super::store::Store;

/// When the traces begin, in nanoseconds since the Unix epoch.
pub(crate) const EPOCH: u64 = 1_700_000_000_000_000_000;

/// An attribute that is text.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

/// An attribute that is a whole number.
pub(crate) fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// A server span of 10 ms that begins `trace` seconds after the epoch; span 1 is the root, and
/// the parent of the others.
pub(crate) fn span(trace: u32, id: u64) -> proto::Span {
    let start = EPOCH + u64::from(trace) * 1_000_000_000;
    proto::Span {
        trace_id: (u128::from(trace) + 1).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if id == 1 { Vec::new() } else { 1_u64.to_be_bytes().to_vec() },
        name: "GET".to_owned(),
        kind: proto::span::SpanKind::Server.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 10_000_000,
        ..proto::Span::default()
    }
}

/// Keeps a span of a service; returns whether it is one.
pub(crate) fn keep(store: &mut Store, service: &str, span: &proto::Span) -> bool {
    let source = store.source(&[text("service.name", service)], "test");
    store.keep(&source, span)
}
