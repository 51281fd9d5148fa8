//! What becomes of a span in Zipkin's terms (the OpenTelemetry specification, "Zipkin").
//!
//! Zipkin has no links, and no resource beside the service's name: what else the resource says
//! becomes tags, unless the span says so itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::Serialize;

use crate::export::exporter::Unfit;

/// The name of a service that says none.
const UNKNOWN: &str = "unknown_service";
const SERVICE_NAME: &str = "service.name";
/// Any tag of this name marks a failure.
const ERROR: &str = "error";

const NANOS_PER_MICRO: u64 = 1_000;

/// A span as Zipkin has it. What is empty is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ZipkinSpan<'a> {
    trace_id: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    timestamp: u64,
    duration: u64,
    local_endpoint: Endpoint<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_endpoint: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<&'a str, String>,
}

/// One end of what a span tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Annotation {
    timestamp: u64,
    value: String,
}

/// Whose spans they are.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    service: &'a str,
    tags: Vec<(&'a str, String)>,
}

impl<'a> Origin<'a> {
    pub(super) fn of(resource: Option<&'a Resource>) -> Self {
        let attributes = resource.map(|resource| &*resource.attributes).unwrap_or_default();
        let service = text(attributes, SERVICE_NAME).filter(|name| !name.is_empty());
        let rest = attributes.iter().filter(|attribute| attribute.key != SERVICE_NAME);
        Self { service: service.unwrap_or(UNKNOWN), tags: tags(rest).collect() }
    }
}

/// The span in Zipkin's form.
///
/// # Errors
/// When its ids are none.
pub(super) fn of<'a>(
    span: &'a Span,
    origin: &Origin<'a>,
    scope: Option<&'a InstrumentationScope>,
) -> Result<ZipkinSpan<'a>, Unfit> {
    let lasted = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    // Some write that there is no parent as zeros.
    let parent_id = match &*span.parent_span_id {
        parent if parent.iter().all(|byte| *byte == 0) => None,
        parent => Some(id::<8>(parent)?),
    };
    Ok(ZipkinSpan {
        trace_id: id::<16>(&span.trace_id)?,
        id: id::<8>(&span.span_id)?,
        parent_id,
        kind: kind(span.kind()),
        name: &span.name,
        timestamp: span.start_time_unix_nano / NANOS_PER_MICRO,
        // No span may take no time at all.
        duration: (lasted / NANOS_PER_MICRO).max(1),
        local_endpoint: Endpoint { service_name: Some(origin.service), ..Endpoint::default() },
        remote_endpoint: remote(span),
        annotations: span.events.iter().map(annotation).collect(),
        tags: all_tags(span, origin, scope),
    })
}

fn id<const LENGTH: usize>(bytes: &[u8]) -> Result<String, Unfit> {
    if bytes.len() != LENGTH || bytes.iter().all(|byte| *byte == 0) {
        return Err(Unfit("a span in it has an id that is none".to_owned()));
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

const fn kind(kind: SpanKind) -> Option<&'static str> {
    match kind {
        SpanKind::Unspecified | SpanKind::Internal => None,
        SpanKind::Server => Some("SERVER"),
        SpanKind::Client => Some("CLIENT"),
        SpanKind::Producer => Some("PRODUCER"),
        SpanKind::Consumer => Some("CONSUMER"),
    }
}

/// The other end: whom a caller calls, or who calls. Only a callee has a name, since the names of
/// callers are those of hosts, which Zipkin would draw as services.
fn remote(span: &Span) -> Option<Endpoint<'_>> {
    let of = |key| text(&span.attributes, key).filter(|text| !text.is_empty());
    let peer = of("network.peer.address");
    let (name, addresses, ports) = match span.kind() {
        SpanKind::Client | SpanKind::Producer => {
            let server = of("server.address");
            let name = of("peer.service").or_else(|| server.filter(|name| ip(name).is_none()));
            (name, [peer, server], ["network.peer.port", "server.port"])
        }
        SpanKind::Server | SpanKind::Consumer => {
            (of("peer.service"), [of("client.address"), peer], ["client.port", "network.peer.port"])
        }
        SpanKind::Unspecified | SpanKind::Internal => return None,
    };
    let mut endpoint = Endpoint { service_name: name, ..Endpoint::default() };
    match addresses.into_iter().flatten().find_map(ip) {
        Some(IpAddr::V4(ip)) => endpoint.ipv4 = Some(ip.to_string()),
        Some(IpAddr::V6(ip)) => endpoint.ipv6 = Some(ip.to_string()),
        None => {}
    }
    if endpoint == Endpoint::default() {
        return None;
    }
    endpoint.port = ports.into_iter().find_map(|key| port(&span.attributes, key));
    Some(endpoint)
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn port(attributes: &[KeyValue], key: &str) -> Option<u16> {
    match value(attributes, key)? {
        Value::IntValue(port) => u16::try_from(*port).ok().filter(|port| *port != 0),
        _ => None,
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn all_tags<'a>(
    span: &'a Span,
    origin: &Origin<'a>,
    scope: Option<&'a InstrumentationScope>,
) -> BTreeMap<&'a str, String> {
    let mut all: BTreeMap<_, _> = origin.tags.iter().cloned().collect();
    all.extend(tags(&span.attributes));
    if let Some(scope) = scope {
        for (key, text) in
            [("otel.scope.name", &scope.name), ("otel.scope.version", &scope.version)]
        {
            if !text.is_empty() {
                all.insert(key, text.clone());
            }
        }
    }
    for (key, count) in [
        ("otel.dropped_attributes_count", span.dropped_attributes_count),
        ("otel.dropped_events_count", span.dropped_events_count),
        ("otel.dropped_links_count", span.dropped_links_count),
    ] {
        if count > 0 {
            all.insert(key, count.to_string());
        }
    }
    // Zipkin takes any value for a failure, this one too.
    if all.get(ERROR).is_some_and(|value| value == "false") {
        all.remove(ERROR);
    }
    let status = span.status.as_ref();
    match status.map(|status| status.code()) {
        Some(StatusCode::Error) => {
            all.insert("otel.status_code", "ERROR".to_owned());
            let message = status.map(|status| status.message.clone()).unwrap_or_default();
            all.insert(ERROR, message);
        }
        Some(StatusCode::Ok) => {
            all.insert("otel.status_code", "OK".to_owned());
        }
        Some(StatusCode::Unset) | None => {}
    }
    all
}

fn tags<'a>(
    attributes: impl IntoIterator<Item = &'a KeyValue>,
) -> impl Iterator<Item = (&'a str, String)> {
    attributes.into_iter().filter_map(|attribute| {
        let value = attribute.value.as_ref()?.value.as_ref()?;
        let text = match value {
            Value::StringValue(text) => text.clone(),
            other => json(other).to_string(),
        };
        (!attribute.key.is_empty()).then_some((&*attribute.key, text))
    })
}

/// An event with its attributes as JSON, as OpenTelemetry writes it for Zipkin.
fn annotation(event: &Event) -> Annotation {
    let value = if event.attributes.is_empty() {
        event.name.clone()
    } else {
        let name = serde_json::Value::from(&*event.name);
        format!("{name}: {}", object(&event.attributes))
    };
    Annotation { timestamp: event.time_unix_nano / NANOS_PER_MICRO, value }
}

fn object(attributes: &[KeyValue]) -> serde_json::Value {
    let field = |attribute: &KeyValue| (attribute.key.clone(), any(attribute.value.as_ref()));
    serde_json::Value::Object(attributes.iter().map(field).collect())
}

fn any(value: Option<&AnyValue>) -> serde_json::Value {
    value.and_then(|value| value.value.as_ref()).map_or(serde_json::Value::Null, json)
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::StringValue(text) => (&**text).into(),
        Value::BoolValue(yes) => (*yes).into(),
        Value::IntValue(number) => (*number).into(),
        Value::DoubleValue(number) if number.is_finite() => (*number).into(),
        Value::DoubleValue(number) => number.to_string().into(),
        Value::ArrayValue(list) => list.values.iter().map(|value| any(Some(value))).collect(),
        Value::KvlistValue(map) => object(&map.values),
        Value::BytesValue(bytes) => STANDARD.encode(bytes).into(),
        Value::StringValueStrindex(_) => serde_json::Value::Null,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it asks about so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
