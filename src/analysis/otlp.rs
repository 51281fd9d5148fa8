//! Spans as OTLP carries them, read into what the analysis works on.
//!
//! A span without valid ids is no span and is refused by [`facts`]; everything else is taken as
//! it is, so that a look at a trace never fails for an attribute somebody spelled differently.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{self as proto, span::SpanKind, status::StatusCode};

use super::{Attribute, Event, Facts, Kind, Link, NO_SERVICE, Span, Value};
use crate::trace::{SpanId, TraceId};

/// How deep values may be nested; what lies deeper is left out.
const MAX_DEPTH: usize = 16;

/// Texts that are shared between spans.
pub trait Share {
    /// The text, which may be one that was asked for before.
    fn share(&mut self, text: &str) -> Arc<str>;
}

/// Shares nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unshared;

impl Share for Unshared {
    fn share(&mut self, text: &str) -> Arc<str> {
        text.into()
    }
}

/// What the resource of spans says of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `service.name`, or [`NO_SERVICE`].
    pub service: Arc<str>,
    /// The tenant, where the whole process is of one.
    pub tenant: Option<Arc<str>>,
}

/// The part of a resource that every span needs.
#[must_use]
pub fn origin(resource: &[KeyValue], texts: &mut impl Share) -> Origin {
    let service = text(resource, "service.name").unwrap_or(NO_SERVICE);
    Origin { service: texts.share(service), tenant: tenant(resource).map(|t| texts.share(t)) }
}

/// The facts of a span, or `None` where its ids are none.
#[must_use]
pub fn facts(span: &proto::Span, origin: &Origin, texts: &mut impl Share) -> Option<Facts> {
    let attributes = &span.attributes;
    let kind = kind(span.kind());
    let peer = kind.goes_out().then(|| peer(attributes)).flatten();
    let start = span.start_time_unix_nano;
    Some(Facts {
        trace_id: trace_id(&span.trace_id)?,
        span_id: span_id(&span.span_id)?,
        parent: span_id(&span.parent_span_id),
        kind,
        is_error: span.status.as_ref().is_some_and(|s| s.code() == StatusCode::Error),
        start,
        end: span.end_time_unix_nano.max(start),
        service: Arc::clone(&origin.service),
        name: texts.share(&span.name),
        route: route(attributes).map(|r| texts.share(r)),
        tenant: tenant(attributes).map(|t| texts.share(t)).or_else(|| origin.tenant.clone()),
        first_byte: first_byte(attributes),
        is_part: value(attributes, "spandrel.progress.number").is_some(),
        is_connection: is_connection(attributes),
        peer: peer.map(|p| texts.share(&p)),
    })
}

/// The whole span of these facts.
#[must_use]
pub fn span(facts: Facts, span: proto::Span, resource: &[KeyValue], scope: &str) -> Span {
    Span {
        facts,
        is_ok: span.status.as_ref().is_some_and(|s| s.code() == StatusCode::Ok),
        status_message: span.status.map(|s| s.message).unwrap_or_default(),
        attributes: attributes(span.attributes),
        events: span.events.into_iter().map(event).collect(),
        links: span.links.into_iter().filter_map(link).collect(),
        resource: attributes(resource.to_vec()),
        scope: scope.to_owned(),
    }
}

/// The text that an attribute holds.
#[must_use]
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match value(attributes, key)? {
        any_value::Value::StringValue(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a any_value::Value> {
    attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()
}

fn first<'a>(attributes: &'a [KeyValue], keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| text(attributes, key))
}

fn tenant(attributes: &[KeyValue]) -> Option<&str> {
    first(attributes, &["spandrel.tenant.id", "tenant.id"])
}

fn route(attributes: &[KeyValue]) -> Option<&str> {
    first(attributes, &["http.route", "rpc.method"])
}

fn first_byte(attributes: &[KeyValue]) -> Option<u64> {
    match value(attributes, "spandrel.first_byte.duration")? {
        any_value::Value::DoubleValue(seconds) => {
            u64::try_from(Duration::try_from_secs_f64(*seconds).ok()?.as_nanos()).ok()
        }
        _ => None,
    }
}

/// What spandrel tells of a connection has bytes and no request. Of an upgraded one it tells the
/// request too.
fn is_connection(attributes: &[KeyValue]) -> bool {
    let has = |key| value(attributes, key).is_some();
    let has_bytes = has("spandrel.tunnel.request.size") || has("spandrel.progress.number");
    has_bytes && has("network.transport") && !has("http.request.method")
}

fn peer(attributes: &[KeyValue]) -> Option<String> {
    if let Some(name) = text(attributes, "peer.service") {
        return Some(name.to_owned());
    }
    let host = first(attributes, &["server.address", "net.peer.name", "network.peer.address"]);
    let ports = ["server.port", "net.peer.port", "network.peer.port"];
    let port = ports.iter().find_map(|key| value(attributes, key));
    match (host, port) {
        (Some(host), Some(any_value::Value::IntValue(port))) => Some(format!("{host}:{port}")),
        (Some(host), _) => Some(host.to_owned()),
        (None, _) => {
            let names = ["messaging.destination.name", "db.namespace", "db.system.name"];
            first(attributes, &names).map(str::to_owned)
        }
    }
}

const fn kind(kind: SpanKind) -> Kind {
    match kind {
        SpanKind::Unspecified => Kind::Unspecified,
        SpanKind::Internal => Kind::Internal,
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Producer => Kind::Producer,
        SpanKind::Consumer => Kind::Consumer,
    }
}

/// The id of a trace in these bytes.
#[must_use]
pub fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    TraceId::from_bytes(bytes.try_into().ok()?)
}

/// The id of a span in these bytes.
#[must_use]
pub fn span_id(bytes: &[u8]) -> Option<SpanId> {
    SpanId::from_bytes(bytes.try_into().ok()?)
}

fn event(event: proto::span::Event) -> Event {
    Event { time: event.time_unix_nano, name: event.name, attributes: attributes(event.attributes) }
}

fn link(link: proto::span::Link) -> Option<Link> {
    Some(Link {
        trace_id: trace_id(&link.trace_id)?,
        span_id: span_id(&link.span_id)?,
        attributes: attributes(link.attributes),
    })
}

/// Attributes as the analysis keeps them.
#[must_use]
pub fn attributes(attributes: Vec<KeyValue>) -> Vec<Attribute> {
    entries(attributes, 0)
}

fn entries(attributes: Vec<KeyValue>, depth: usize) -> Vec<Attribute> {
    attributes.into_iter().map(|a| (a.key, any(a.value, depth))).collect()
}

fn any(value: Option<AnyValue>, depth: usize) -> Value {
    let Some(value) = value.and_then(|v| v.value).filter(|_| depth < MAX_DEPTH) else {
        return Value::Empty;
    };
    match value {
        any_value::Value::StringValue(text) => Value::Text(text),
        any_value::Value::BoolValue(value) => Value::Bool(value),
        any_value::Value::IntValue(value) => Value::Int(value),
        any_value::Value::DoubleValue(value) => Value::Double(value),
        any_value::Value::BytesValue(bytes) => Value::Bytes(bytes),
        any_value::Value::ArrayValue(list) => {
            Value::List(list.values.into_iter().map(|v| any(Some(v), depth + 1)).collect())
        }
        any_value::Value::KvlistValue(map) => Value::Map(entries(map.values, depth + 1)),
        any_value::Value::StringValueStrindex(_) => Value::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_connection_with(keys: &[&str]) -> bool {
        let text = || Some(AnyValue { value: Some(any_value::Value::StringValue("x".into())) });
        let attribute =
            |key: &&str| KeyValue { key: (*key).to_owned(), value: text(), ..KeyValue::default() };
        is_connection(&keys.iter().map(attribute).collect::<Vec<_>>())
    }

    #[test]
    fn a_connection_has_bytes_and_no_request() {
        let (size, part) = ("spandrel.tunnel.request.size", "spandrel.progress.number");
        assert!(is_connection_with(&["network.transport", size]));
        assert!(is_connection_with(&["network.transport", part]), "a stretch of one");
        for other in [
            &["http.request.method", size][..],
            &["network.transport", "http.request.method", size],
            &["network.transport", "db.system.name"],
            &["rpc.method", part],
            &[],
        ] {
            assert!(!is_connection_with(other), "{other:?}");
        }
    }
}
