//! The batch of spans that a Jaeger client emits (`jaeger.thrift`), as spans of OTLP.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::super::packing::attribute;
use super::thrift::{Kind, Malformed, Reader};

/// The bit of a span's flags that says that it is sampled. The others (debug, firehose) have no place
/// in OTLP.
const SAMPLED: i32 = 1;
/// The kinds of reference.
const CHILD_OF: i32 = 0;
const FOLLOWS_FROM: i32 = 1;
/// The attribute of a link that tells its kind (OpenTelemetry, "`OpenTracing`").
const REF_TYPE: &str = "opentracing.ref_type";
const NANOSECONDS: u64 = 1_000;

/// What a client emitted.
#[derive(Debug, Default)]
pub(in super::super) struct Batch {
    /// What is told of the process.
    pub(super) attributes: Vec<KeyValue>,
    pub(super) spans: Vec<Span>,
    /// Spans that have no ids.
    pub(in super::super) refused: u64,
}

/// Reads the arguments of `emitBatch`.
pub(super) fn arguments(reader: &mut Reader<'_>) -> Result<Batch, Malformed> {
    let mut batch = None;
    reader.structure(|reader, field, kind| match (field, kind) {
        (1, Kind::Struct) => {
            batch = Some(read_batch(reader)?);
            Ok(())
        }
        _ => reader.skip(kind),
    })?;
    batch.ok_or(Malformed("there is no batch in it"))
}

fn read_batch(reader: &mut Reader<'_>) -> Result<Batch, Malformed> {
    let mut batch = Batch::default();
    reader.structure(|reader, field, kind| {
        match (field, kind) {
            (1, Kind::Struct) => batch.attributes = process(reader)?,
            (2, Kind::List) => {
                for span in each(reader, span)? {
                    match span {
                        Some(span) => batch.spans.push(span),
                        None => batch.refused += 1,
                    }
                }
            }
            _ => reader.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(batch)
}

/// Reads a list of structures.
fn each<'a, T>(
    reader: &mut Reader<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let (kind, count) = reader.list()?;
    if kind != Kind::Struct && count > 0 {
        return Err(Malformed("a list in it holds something else than structures"));
    }
    (0..count).map(|_| read(reader)).collect()
}

fn process(reader: &mut Reader<'_>) -> Result<Vec<KeyValue>, Malformed> {
    let (mut name, mut tags) = (String::new(), Vec::new());
    reader.structure(|reader, field, kind| {
        match (field, kind) {
            (1, Kind::Bytes) => name = text(reader.bytes()?),
            (2, Kind::List) => tags = each(reader, tag)?,
            _ => reader.skip(kind)?,
        }
        Ok(())
    })?;
    if !name.is_empty() {
        tags.push(("service.name".to_owned(), Value::StringValue(name)));
    }
    Ok(attributes(tags))
}

type Tag = (String, Value);

fn tag(reader: &mut Reader<'_>) -> Result<Tag, Malformed> {
    let (mut key, mut form) = (None, 0);
    let (mut string, mut double, mut boolean, mut long) = (&[][..], 0.0, false, 0);
    let mut bytes = &[][..];
    reader.structure(|reader, field, kind| {
        match (field, kind) {
            (1, Kind::Bytes) => key = Some(text(reader.bytes()?)),
            (2, Kind::I32) => form = reader.i32()?,
            (3, Kind::Bytes) => string = reader.bytes()?,
            (4, Kind::Double) => double = reader.double()?,
            (5, Kind::Bool | Kind::Known(_)) => boolean = reader.boolean(kind)?,
            (6, Kind::I64) => long = reader.i64()?,
            (7, Kind::Bytes) => bytes = reader.bytes()?,
            _ => reader.skip(kind)?,
        }
        Ok(())
    })?;
    let value = match form {
        0 => Value::StringValue(text(string)),
        1 => Value::DoubleValue(double),
        2 => Value::BoolValue(boolean),
        3 => Value::IntValue(long),
        4 => Value::BytesValue(bytes.to_vec()),
        _ => return Err(Malformed("a tag has a value of an unknown kind")),
    };
    Ok((key.ok_or(Malformed("a tag has no key"))?, value))
}

/// Thrift does not say how texts are encoded, and OTLP does.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Attributes have one value each: the last that was set.
fn attributes(tags: Vec<Tag>) -> Vec<KeyValue> {
    let mut places = HashMap::<String, usize>::new();
    let mut attributes = Vec::new();
    for (key, value) in tags {
        let added = attribute(&key, value);
        let place = *places.entry(key).or_insert(attributes.len());
        match attributes.get_mut(place) {
            Some(there) => *there = added,
            None => attributes.push(added),
        }
    }
    attributes
}

/// A span as it is read.
#[derive(Default)]
struct Draft {
    trace: Trace,
    id: i64,
    parent: i64,
    name: String,
    references: Vec<Reference>,
    flags: i32,
    start: i64,
    duration: i64,
    tags: Vec<Tag>,
    logs: Vec<(i64, Vec<Tag>)>,
}

/// The id of a trace, in two numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Trace {
    low: i64,
    high: i64,
}

impl Trace {
    fn to_bytes(self) -> Vec<u8> {
        [self.high.to_be_bytes(), self.low.to_be_bytes()].concat()
    }

    fn is_valid(self) -> bool {
        self != Self::default()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Reference {
    kind: i32,
    trace: Trace,
    span: i64,
}

/// Reads a span; `None` for one that has no ids.
fn span(reader: &mut Reader<'_>) -> Result<Option<Span>, Malformed> {
    let mut draft = Draft::default();
    reader.structure(|reader, field, kind| {
        match (field, kind) {
            (1, Kind::I64) => draft.trace.low = reader.i64()?,
            (2, Kind::I64) => draft.trace.high = reader.i64()?,
            (3, Kind::I64) => draft.id = reader.i64()?,
            (4, Kind::I64) => draft.parent = reader.i64()?,
            (5, Kind::Bytes) => draft.name = text(reader.bytes()?),
            (6, Kind::List) => draft.references = each(reader, reference)?,
            (7, Kind::I32) => draft.flags = reader.i32()?,
            (8, Kind::I64) => draft.start = reader.i64()?,
            (9, Kind::I64) => draft.duration = reader.i64()?,
            (10, Kind::List) => draft.tags = each(reader, tag)?,
            (11, Kind::List) => draft.logs = each(reader, log)?,
            _ => reader.skip(kind)?,
        }
        Ok(())
    })?;
    let has_ids = draft.trace.is_valid() && draft.id != 0;
    Ok(has_ids.then(|| draft.finish()))
}

fn reference(reader: &mut Reader<'_>) -> Result<Reference, Malformed> {
    let mut reference = Reference::default();
    reader.structure(|reader, field, kind| {
        match (field, kind) {
            (1, Kind::I32) => reference.kind = reader.i32()?,
            (2, Kind::I64) => reference.trace.low = reader.i64()?,
            (3, Kind::I64) => reference.trace.high = reader.i64()?,
            (4, Kind::I64) => reference.span = reader.i64()?,
            _ => reader.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(reference)
}

fn log(reader: &mut Reader<'_>) -> Result<(i64, Vec<Tag>), Malformed> {
    let (mut time, mut fields) = (0, Vec::new());
    reader.structure(|reader, field, kind| {
        match (field, kind) {
            (1, Kind::I64) => time = reader.i64()?,
            (2, Kind::List) => fields = each(reader, tag)?,
            _ => reader.skip(kind)?,
        }
        Ok(())
    })?;
    Ok((time, fields))
}

impl Draft {
    fn finish(self) -> Span {
        let parent = self.parent();
        let start = nanoseconds(self.start);
        let mut span = Span {
            trace_id: self.trace.to_bytes(),
            span_id: self.id.to_be_bytes().to_vec(),
            parent_span_id: parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
            flags: (self.flags & SAMPLED).unsigned_abs(),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(nanoseconds(self.duration)),
            links: self.links(parent),
            name: self.name,
            events: self.logs.into_iter().map(event).collect(),
            ..Span::default()
        };
        let others = self.tags.into_iter().filter_map(|tag| place(tag, &mut span)).collect();
        span.attributes = attributes(others);
        span
    }

    /// The parent: as the span names it, or else its first reference of that kind.
    fn parent(&self) -> Option<i64> {
        let is_parent = |r: &&Reference| r.kind == CHILD_OF && r.trace == self.trace && r.span != 0;
        let named = (self.parent != 0).then_some(self.parent);
        named.or_else(|| self.references.iter().find(is_parent).map(|r| r.span))
    }

    /// The references, less the one that is the parent.
    fn links(&self, parent: Option<i64>) -> Vec<Link> {
        let is_parent =
            |r: &Reference| r.kind == CHILD_OF && r.trace == self.trace && Some(r.span) == parent;
        let is_link = |r: &&Reference| !is_parent(r) && r.trace.is_valid() && r.span != 0;
        self.references.iter().filter(is_link).map(|reference| link(*reference)).collect()
    }
}

fn link(reference: Reference) -> Link {
    let kind = match reference.kind {
        CHILD_OF => Some("child_of"),
        FOLLOWS_FROM => Some("follows_from"),
        _ => None,
    };
    let kind = kind.map(|kind| attribute(REF_TYPE, Value::StringValue(kind.to_owned())));
    Link {
        trace_id: reference.trace.to_bytes(),
        span_id: reference.span.to_be_bytes().to_vec(),
        attributes: kind.into_iter().collect(),
        ..Link::default()
    }
}

/// Microseconds as nanoseconds; what lies before 1970, or ends before it begins, is nothing.
fn nanoseconds(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0).saturating_mul(NANOSECONDS)
}

/// Puts a tag where OTLP has a place of its own for it; gives back any other.
fn place((key, value): Tag, span: &mut Span) -> Option<Tag> {
    let code = match (key.as_str(), &value) {
        ("error", Value::BoolValue(true)) => Some(StatusCode::Error),
        ("error", Value::StringValue(text)) if text == "true" => Some(StatusCode::Error),
        ("otel.status_code", Value::StringValue(text)) => status_code(text),
        _ => None,
    };
    let kind = match (key.as_str(), &value) {
        ("span.kind", Value::StringValue(text)) => span_kind(text),
        _ => None,
    };
    match (code, kind, key.as_str(), value) {
        (Some(code), ..) => {
            span.status.get_or_insert_with(Status::default).code = code.into();
        }
        (_, Some(kind), ..) => span.kind = kind.into(),
        (.., "otel.status_description", Value::StringValue(text)) => {
            span.status.get_or_insert_with(Status::default).message = text;
        }
        (.., value) => return Some((key, value)),
    }
    None
}

/// The codes as the SDKs of OpenTelemetry write them for Jaeger.
fn status_code(text: &str) -> Option<StatusCode> {
    match text {
        "OK" => Some(StatusCode::Ok),
        "ERROR" => Some(StatusCode::Error),
        _ => None,
    }
}

fn span_kind(text: &str) -> Option<SpanKind> {
    match text {
        "internal" => Some(SpanKind::Internal),
        "server" => Some(SpanKind::Server),
        "client" => Some(SpanKind::Client),
        "producer" => Some(SpanKind::Producer),
        "consumer" => Some(SpanKind::Consumer),
        _ => None,
    }
}

/// An event, which has the name that its fields give it.
fn event((time, mut fields): (i64, Vec<Tag>)) -> Event {
    let named = |wanted: &str| {
        fields.iter().position(|(key, value)| {
            key == wanted && matches!(value, Value::StringValue(text) if !text.is_empty())
        })
    };
    let name = named("event").or_else(|| named("message")).map(|at| fields.remove(at));
    let name = match name {
        Some((_, Value::StringValue(name))) => name,
        _ => String::new(),
    };
    Event {
        time_unix_nano: nanoseconds(time),
        name,
        attributes: attributes(fields),
        ..Event::default()
    }
}
