//! From compact spans to the protobuf bytes of an `ExportTraceServiceRequest`.
//!
//! The bytes are written straight from the records, with no message types in between: that is
//! what makes a span cheap. Attributes are in their form already. What every request shares, the
//! resource and the scope, is encoded once. Nothing here sends, compresses or frames.

use crate::protobuf::{self, utf8};
use crate::trace::TraceContext;
use crate::trace::attributes::text_field;
use crate::trace::resource::Resource;
use crate::trace::semconv::SCHEMA_URL;
use crate::trace::span::{Kind, Span, SpanView, Status};

/// The name of the instrumentation scope.
const SCOPE: &str = "spandrel";

/// The flags say whether the parent lives in another process.
const HAS_IS_REMOTE: u32 = 0x100;
/// The parent lives in another process.
const IS_REMOTE: u32 = 0x200;

/// The length of a link: the two ids, and the flags.
const LINK: usize = protobuf::bytes_len(16) + protobuf::bytes_len(8) + 5;
/// The status of a span that failed.
const ERROR: [u8; 2] = [field::STATUS_CODE << 3, 2];

/// Field numbers of the messages of opentelemetry-proto.
mod field {
    pub(super) const REQUEST_RESOURCE_SPANS: u8 = 1;
    pub(super) const RESOURCE_SPANS_RESOURCE: u8 = 1;
    pub(super) const RESOURCE_SPANS_SCOPE_SPANS: u8 = 2;
    pub(super) const SCOPE_SPANS_SCOPE: u8 = 1;
    pub(super) const SCOPE_SPANS_SPANS: u8 = 2;
    /// Of both resource spans and scope spans.
    pub(super) const SCHEMA_URL: u8 = 3;
    pub(super) const RESOURCE_ATTRIBUTES: u8 = 1;
    pub(super) const SCOPE_NAME: u8 = 1;
    pub(super) const SCOPE_VERSION: u8 = 2;
    pub(super) const SPAN_TRACE_ID: u8 = 1;
    pub(super) const SPAN_SPAN_ID: u8 = 2;
    pub(super) const SPAN_TRACE_STATE: u8 = 3;
    pub(super) const SPAN_PARENT_SPAN_ID: u8 = 4;
    pub(super) const SPAN_NAME: u8 = 5;
    pub(super) const SPAN_KIND: u8 = 6;
    pub(super) const SPAN_START: u8 = 7;
    pub(super) const SPAN_END: u8 = 8;
    pub(super) const SPAN_LINKS: u8 = 13;
    pub(super) const SPAN_STATUS: u8 = 15;
    pub(super) const SPAN_FLAGS: u8 = 16;
    pub(super) const LINK_TRACE_ID: u8 = 1;
    pub(super) const LINK_SPAN_ID: u8 = 2;
    pub(super) const LINK_FLAGS: u8 = 6;
    pub(super) const STATUS_CODE: u8 = 3;
}

/// Turns spans of one resource into OTLP requests.
#[derive(Debug)]
pub struct Encoder {
    /// The field `resource` of the resource spans.
    resource: Vec<u8>,
    /// The field `scope` of the scope spans.
    scope: Vec<u8>,
    /// The field `schema_url` of both.
    schema: Vec<u8>,
}

impl Encoder {
    /// An encoder for the spans of `resource`.
    #[must_use]
    pub fn new(resource: &Resource) -> Self {
        let mut attributes = Vec::new();
        for (key, value) in &resource.attributes {
            text_field(&mut attributes, field::RESOURCE_ATTRIBUTES, key, value);
        }
        let mut identity = Vec::new();
        protobuf::bytes(&mut identity, field::SCOPE_NAME, SCOPE.as_bytes());
        protobuf::bytes(&mut identity, field::SCOPE_VERSION, env!("CARGO_PKG_VERSION").as_bytes());

        let mut encoder = Self { resource: Vec::new(), scope: Vec::new(), schema: Vec::new() };
        protobuf::bytes(&mut encoder.resource, field::RESOURCE_SPANS_RESOURCE, &attributes);
        protobuf::bytes(&mut encoder.scope, field::SCOPE_SPANS_SCOPE, &identity);
        protobuf::bytes(&mut encoder.schema, field::SCHEMA_URL, SCHEMA_URL.as_bytes());
        encoder
    }

    /// The request that carries `spans`. Text that is not UTF-8 is made so, with replacement
    /// characters, because a receiver would refuse the whole request otherwise.
    ///
    /// The spans are gone through twice: what stands before a message says how long it is.
    pub fn encode<'a, S>(&self, spans: S) -> Vec<u8>
    where
        S: IntoIterator<Item = SpanView<'a>> + Clone,
    {
        let spans_length: usize =
            spans.clone().into_iter().map(|view| protobuf::bytes_len(span_len(&view))).sum();
        let scope_spans = self.scope.len() + spans_length + self.schema.len();
        let resource_spans =
            self.resource.len() + protobuf::bytes_len(scope_spans) + self.schema.len();
        let mut out = Vec::with_capacity(protobuf::bytes_len(resource_spans));
        protobuf::open(&mut out, field::REQUEST_RESOURCE_SPANS, resource_spans);
        out.extend_from_slice(&self.resource);
        protobuf::open(&mut out, field::RESOURCE_SPANS_SCOPE_SPANS, scope_spans);
        out.extend_from_slice(&self.scope);
        for view in spans {
            protobuf::open(&mut out, field::SCOPE_SPANS_SPANS, span_len(&view));
            write_span(&mut out, &view);
        }
        out.extend_from_slice(&self.schema);
        out.extend_from_slice(&self.schema);
        debug_assert_eq!(out.len(), protobuf::bytes_len(resource_spans), "lengths are true");
        out
    }
}

/// How many bytes [`write_span`] appends.
fn span_len(view: &SpanView<'_>) -> usize {
    /// The ids of trace and span, the kind, the times, and the flags, whose number takes two bytes.
    const ALWAYS: usize = protobuf::bytes_len(16) + protobuf::bytes_len(8) + 2 + 9 + 9 + 6;
    let text_len = |text: &[u8]| protobuf::bytes_len(utf8(text).len());
    let span = &view.span;
    let trace_state = if view.trace_state.is_empty() { 0 } else { text_len(view.trace_state) };
    let parent = if span.parent.is_some() { protobuf::bytes_len(8) } else { 0 };
    let link = if span.link.is_some() { protobuf::bytes_len(LINK) } else { 0 };
    let status = if span.status == Status::Error { protobuf::bytes_len(ERROR.len()) } else { 0 };
    let attributes = view.attributes.as_bytes().len();
    ALWAYS + trace_state + parent + text_len(view.name) + attributes + link + status
}

fn write_span(out: &mut Vec<u8>, view: &SpanView<'_>) {
    let span = &view.span;
    protobuf::bytes(out, field::SPAN_TRACE_ID, &span.trace_id.to_bytes());
    protobuf::bytes(out, field::SPAN_SPAN_ID, &span.span_id.to_bytes());
    if !view.trace_state.is_empty() {
        protobuf::bytes(out, field::SPAN_TRACE_STATE, utf8(view.trace_state).as_bytes());
    }
    if let Some(parent) = span.parent {
        protobuf::bytes(out, field::SPAN_PARENT_SPAN_ID, &parent.to_bytes());
    }
    protobuf::bytes(out, field::SPAN_NAME, utf8(view.name).as_bytes());
    protobuf::uint(out, field::SPAN_KIND, kind(span));
    protobuf::fixed64(out, field::SPAN_START, span.start);
    protobuf::fixed64(out, field::SPAN_END, span.end);
    out.extend_from_slice(view.attributes.as_bytes());
    if let Some(link) = span.link {
        write_link(out, link);
    }
    if span.status == Status::Error {
        protobuf::bytes(out, field::SPAN_STATUS, &ERROR);
    }
    protobuf::fixed32(out, field::SPAN_FLAGS, flags(span));
}

/// The flags do not say whether the linked span lives in another process: that is not known here.
fn write_link(out: &mut Vec<u8>, link: TraceContext) {
    protobuf::open(out, field::SPAN_LINKS, LINK);
    protobuf::bytes(out, field::LINK_TRACE_ID, &link.trace_id.to_bytes());
    protobuf::bytes(out, field::LINK_SPAN_ID, &link.span_id.to_bytes());
    protobuf::fixed32(out, field::LINK_FLAGS, u32::from(link.flags.to_byte()));
}

const fn kind(span: &Span) -> u64 {
    match span.kind {
        _ if span.is_part => 1,
        Kind::Server => 2,
        Kind::Client => 3,
    }
}

/// The parent of a request is always in another process, because spandrel makes one span per hop.
const fn flags(span: &Span) -> u32 {
    let remote = if span.parent.is_some() && !span.is_part { IS_REMOTE } else { 0 };
    span.flags.to_byte() as u32 | HAS_IS_REMOTE | remote
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::semconv::Key;
    use crate::trace::span::{Attributes, SpanBatch};
    use crate::trace::{Flags, IdGenerator, SpanId, TraceId};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{
        AnyValue, InstrumentationScope, KeyValue, any_value,
    };
    use opentelemetry_proto::tonic::resource::v1 as resource_proto;
    use opentelemetry_proto::tonic::trace::v1 as proto;
    use proptest::prelude::*;
    use prost::Message as _;

    /// A span and its texts as a test writes them down.
    #[derive(Clone, Debug)]
    struct Given {
        span: Span,
        name: Vec<u8>,
        trace_state: Vec<u8>,
        attributes: Vec<(Result<Key, String>, Content)>,
    }

    #[derive(Clone, Debug)]
    enum Content {
        Text(Vec<u8>),
        Int(i64),
        Double(f64),
        Bool(bool),
    }

    fn lossy(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn key_value(key: String, value: any_value::Value) -> KeyValue {
        KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    fn encode(resource: &Resource, all: &[Given]) -> Vec<u8> {
        let mut batch = SpanBatch::default();
        for given in all {
            let mut attributes = Attributes::default();
            for (key, value) in &given.attributes {
                match (key, value) {
                    (Ok(key), Content::Text(text)) => attributes.raw(*key, text),
                    (Ok(key), Content::Int(n)) => attributes.int(*key, *n),
                    (Ok(key), Content::Double(n)) => attributes.double(*key, *n),
                    (Ok(key), Content::Bool(is)) => attributes.bool(*key, *is),
                    (Err(name), Content::Text(text)) => attributes.custom("x.", name, text),
                    (Err(_), _) => {}
                }
            }
            batch.push(given.span, &[&given.name], &given.trace_state, &attributes);
        }
        let encoder = Encoder::new(resource);
        let first = encoder.encode(batch.iter());
        assert_eq!(first, encoder.encode(batch.iter()), "an encoder keeps nothing of a request");
        first
    }

    fn expected_span(given: &Given) -> proto::Span {
        let span = given.span;
        let attributes = given.attributes.iter().filter_map(|(key, value)| {
            let name = match key {
                Ok(key) => key.as_str().to_owned(),
                Err(name) => format!("x.{name}"),
            };
            let value = match value {
                Content::Text(text) => any_value::Value::StringValue(lossy(text)),
                Content::Int(_) | Content::Double(_) | Content::Bool(_) if key.is_err() => {
                    return None;
                }
                Content::Int(n) => any_value::Value::IntValue(*n),
                Content::Double(n) => any_value::Value::DoubleValue(*n),
                Content::Bool(is) => any_value::Value::BoolValue(*is),
            };
            Some(key_value(name, value))
        });
        proto::Span {
            trace_id: span.trace_id.to_bytes().to_vec(),
            span_id: span.span_id.to_bytes().to_vec(),
            trace_state: lossy(&given.trace_state),
            parent_span_id: span.parent.map(|p| p.to_bytes().to_vec()).unwrap_or_default(),
            flags: u32::from(span.flags.to_byte())
                | if span.parent.is_some() && !span.is_part { 0x300 } else { 0x100 },
            name: lossy(&given.name),
            kind: match span.kind {
                _ if span.is_part => proto::span::SpanKind::Internal.into(),
                Kind::Server => proto::span::SpanKind::Server.into(),
                Kind::Client => proto::span::SpanKind::Client.into(),
            },
            start_time_unix_nano: span.start,
            end_time_unix_nano: span.end,
            attributes: attributes.collect(),
            links: span.link.iter().map(expected_link).collect(),
            status: (span.status == Status::Error).then(|| proto::Status {
                code: proto::status::StatusCode::Error.into(),
                ..proto::Status::default()
            }),
            ..proto::Span::default()
        }
    }

    fn expected_link(link: &TraceContext) -> proto::span::Link {
        proto::span::Link {
            trace_id: link.trace_id.to_bytes().to_vec(),
            span_id: link.span_id.to_bytes().to_vec(),
            flags: u32::from(link.flags.to_byte()),
            ..proto::span::Link::default()
        }
    }

    fn expected(resource: &Resource, all: &[Given]) -> ExportTraceServiceRequest {
        let attributes = resource.attributes.iter().map(|(key, value)| {
            key_value(key.clone(), any_value::Value::StringValue(value.clone()))
        });
        ExportTraceServiceRequest {
            resource_spans: vec![proto::ResourceSpans {
                resource: Some(resource_proto::Resource {
                    attributes: attributes.collect(),
                    ..resource_proto::Resource::default()
                }),
                scope_spans: vec![proto::ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "spandrel".to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans: all.iter().map(expected_span).collect(),
                    schema_url: SCHEMA_URL.to_owned(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            }],
        }
    }

    fn given() -> Given {
        let mut ids = IdGenerator::from_seed([5; 32]);
        Given {
            span: Span {
                trace_id: ids.trace_id(),
                span_id: ids.span_id(),
                parent: Some(ids.span_id()),
                link: Some(TraceContext {
                    trace_id: ids.trace_id(),
                    span_id: ids.span_id(),
                    flags: Flags::SAMPLED,
                }),
                flags: Flags::SAMPLED,
                kind: Kind::Server,
                is_part: false,
                status: Status::Error,
                start: 1,
                end: u64::MAX,
            },
            name: b"GET /a".to_vec(),
            trace_state: b"v=1".to_vec(),
            attributes: vec![
                (Ok(Key::UrlPath), Content::Text(b"/a\xff".to_vec())),
                (Ok(Key::HttpResponseStatusCode), Content::Int(-1)),
                (Ok(Key::ConnectDuration), Content::Double(0.25)),
                (Ok(Key::ContextWithheld), Content::Bool(true)),
                (Err("user".to_owned()), Content::Text(vec![b'u'; 300])),
            ],
        }
    }

    #[test]
    fn a_span_reads_back_as_the_reference_decodes_it() {
        let resource = Resource::new(Some("orders"), &[("zone".to_owned(), "ä".to_owned())]);
        let mut root = given();
        root.span.parent = None;
        root.span.link = None;
        root.span.status = Status::Unset;
        root.span.kind = Kind::Client;
        root.trace_state.clear();
        let all = [given(), root];
        let bytes = encode(&resource, &all);
        let read = ExportTraceServiceRequest::decode(&*bytes).expect("the bytes are a request");
        assert_eq!(read, expected(&resource, &all));
        let spans = &read.resource_spans[0].scope_spans[0].spans;
        assert_eq!((spans[0].flags, spans[1].flags), (0x301, 0x101));
        assert_eq!(spans[1].status, None);
        assert_eq!((spans[0].links.len(), spans[1].links.len()), (1, 0));
    }

    fn value() -> impl Strategy<Value = Content> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Content::Text),
            any::<i64>().prop_map(Content::Int),
            proptest::num::f64::NORMAL.prop_map(Content::Double),
            any::<bool>().prop_map(Content::Bool),
        ]
    }

    fn name() -> impl Strategy<Value = Result<Key, String>> {
        let known = proptest::sample::select(Key::ALL).prop_map(Ok);
        prop_oneof![4 => known, 1 => "[a-z]{0,40}".prop_map(Err)]
    }

    prop_compose! {
        fn any_span()(
            (trace_id, span_id) in (1_u128.., 1_u64..),
            link in proptest::option::of((1_u128.., 1_u64.., any::<u8>())),
            parent in proptest::option::of(1_u64..),
            (flags, server, is_part, error) in any::<(u8, bool, bool, bool)>(),
            (start, end) in any::<(u64, u64)>(),
        ) -> Span {
            let trace = |id: u128| TraceId::from_bytes(id.to_be_bytes()).expect("not zero");
            let own = |id: u64| SpanId::from_bytes(id.to_be_bytes()).expect("not zero");
            Span {
                trace_id: trace(trace_id),
                span_id: own(span_id),
                link: link.map(|(trace_id, span_id, flags)| TraceContext {
                    trace_id: trace(trace_id),
                    span_id: own(span_id),
                    flags: Flags::from_byte(flags),
                }),
                parent: parent.and_then(|p| SpanId::from_bytes(p.to_be_bytes())),
                flags: Flags::from_byte(flags),
                kind: if server { Kind::Server } else { Kind::Client },
                is_part,
                status: if error { Status::Error } else { Status::Unset },
                start,
                end,
            }
        }
    }

    prop_compose! {
        fn any_given()(
            span in any_span(),
            name in proptest::collection::vec(any::<u8>(), 0..200),
            trace_state in proptest::collection::vec(any::<u8>(), 0..200),
            attributes in proptest::collection::vec((name(), value()), 0..20),
        ) -> Given {
            Given { span, name, trace_state, attributes }
        }
    }

    proptest! {
        #[test]
        fn every_span_reads_back_as_the_reference_decodes_it(
            all in proptest::collection::vec(any_given(), 0..6),
            service in "[a-zA-Z0-9 äß]{0,200}",
        ) {
            let resource = Resource::new(Some(&service), &[]);
            let bytes = encode(&resource, &all);
            let read = ExportTraceServiceRequest::decode(&*bytes).expect("the bytes are a request");
            prop_assert_eq!(read, expected(&resource, &all));
        }
    }
}
