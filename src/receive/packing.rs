//! From what an application sends to a parcel: item by item, never a message as a whole.
//!
//! Each item is read and written again, so that what goes on is sound: a collector refuses a whole
//! message for one item that is not. The resource is completed by what spandrel knows.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::encoding;

use crate::analysis::message::{Item, Take};
use crate::export::Parcel;
use crate::intake::Outcome;
use crate::otlp::{self, Signal};
use crate::trace::resource;

/// The field of the groups in a message, and of the resource or the scope in a group.
const FIRST: u32 = 1;
/// The field of what a group holds.
const SECOND: u32 = 2;
/// The field of a group's schema.
const SCHEMA_URL: u32 = 3;

/// What a span, a metric or a log record tells of itself.
pub(super) trait Forwarded: Item {
    /// What it is of.
    const SIGNAL: Signal;
    /// How many the books count it for.
    fn count(&self) -> usize;
    /// Whether it has failed.
    fn is_error(&self) -> bool;
    /// Whether its ids are as long as they must be.
    fn is_sound(&self) -> bool;
}

impl Forwarded for Span {
    const SIGNAL: Signal = Signal::Traces;

    fn count(&self) -> usize {
        1
    }

    fn is_error(&self) -> bool {
        otlp::is_error(self)
    }

    fn is_sound(&self) -> bool {
        let is_some = |id: &[u8]| id.iter().any(|byte| *byte != 0);
        has_length(&self.trace_id, 16)
            && has_length(&self.span_id, 8)
            && is_some(&self.trace_id)
            && is_some(&self.span_id)
            && has_length(&self.parent_span_id, 8)
            && self.links.iter().all(|l| has_length(&l.trace_id, 16) && has_length(&l.span_id, 8))
    }
}

impl Forwarded for Metric {
    const SIGNAL: Signal = Signal::Metrics;

    fn count(&self) -> usize {
        otlp::data_points(self)
    }

    fn is_error(&self) -> bool {
        false
    }

    fn is_sound(&self) -> bool {
        true
    }
}

impl Forwarded for LogRecord {
    const SIGNAL: Signal = Signal::Logs;

    fn count(&self) -> usize {
        1
    }

    fn is_error(&self) -> bool {
        false
    }

    fn is_sound(&self) -> bool {
        has_length(&self.trace_id, 16) && has_length(&self.span_id, 8)
    }
}

/// Whether an id is there in full, or not at all.
const fn has_length(id: &[u8], length: usize) -> bool {
    id.is_empty() || id.len() == length
}

/// A parcel while it is made.
#[derive(Debug)]
pub(super) struct Packing<'r> {
    known: &'r resource::Resource,
    message: Vec<u8>,
    group: Group,
    scoped: Group,
    items: usize,
    has_error: bool,
    outcome: Outcome,
}

/// A group while it is made: it is left out if nothing comes into it.
#[derive(Debug, Default)]
struct Group {
    /// The resource or the scope, and what is in the group, as they are written.
    bytes: Vec<u8>,
    schema_url: String,
    has_items: bool,
}

impl Group {
    fn new<M: prost::Message>(describes: &M, schema_url: &str) -> Self {
        let mut bytes = Vec::new();
        if describes.encoded_len() > 0 {
            encoding::message::encode(FIRST, describes, &mut bytes);
        }
        Self { bytes, schema_url: schema_url.to_owned(), has_items: false }
    }

    /// Writes the group into what holds it; says whether there was anything to write.
    fn close(self, field: u32, into: &mut Vec<u8>) -> bool {
        let Self { mut bytes, schema_url, has_items } = self;
        if !has_items {
            return false;
        }
        if !schema_url.is_empty() {
            encoding::string::encode(SCHEMA_URL, &schema_url, &mut bytes);
        }
        encoding::bytes::encode(field, &bytes, into);
        true
    }
}

impl<'r> Packing<'r> {
    /// Nothing yet; resources are completed by what is `known`.
    pub(super) fn new(known: &'r resource::Resource) -> Self {
        Self {
            known,
            message: Vec::new(),
            group: Group::default(),
            scoped: Group::default(),
            items: 0,
            has_error: false,
            outcome: Outcome::default(),
        }
    }

    /// The parcel, unless it would be empty, and what became of the items.
    pub(super) fn finish(mut self, signal: Signal) -> (Option<Parcel>, Outcome) {
        self.close_group();
        let parcel = (self.items > 0).then(|| Parcel {
            signal,
            items: self.items,
            has_error: self.has_error,
            message: Bytes::from(self.message),
        });
        (parcel, self.outcome)
    }

    fn close_scoped(&mut self) {
        let scoped = std::mem::take(&mut self.scoped);
        if scoped.close(SECOND, &mut self.group.bytes) {
            self.group.has_items = true;
        }
    }

    fn close_group(&mut self) {
        self.close_scoped();
        std::mem::take(&mut self.group).close(FIRST, &mut self.message);
    }
}

impl<I: Forwarded> Take<I> for Packing<'_> {
    fn resource(&mut self, mut resource: Resource, schema_url: &str) {
        self.close_group();
        complete(&mut resource, self.known);
        self.group = Group::new(&resource, schema_url);
    }

    fn scope(&mut self, scope: InstrumentationScope, schema_url: &str) {
        self.close_scoped();
        self.scoped = Group::new(&scope, schema_url);
    }

    fn item(&mut self, item: Option<I>) {
        let sound = item.filter(Forwarded::is_sound);
        // The points of a metric that cannot be read are not known: it counts as one.
        let count = sound.as_ref().map_or(1, Forwarded::count);
        for _ in 0..count {
            self.outcome.count(sound.is_some());
        }
        let Some(item) = sound else { return };
        self.items += count;
        self.has_error |= item.is_error();
        self.scoped.has_items = true;
        encoding::message::encode(SECOND, &item, &mut self.scoped.bytes);
    }
}

/// What is never added: what spandrel says there is about its own telemetry, which this is not.
const OURS: &str = "telemetry.";
const SERVICE_NAME: &str = "service.name";
/// How the name of a service begins that nobody gave (OpenTelemetry, "Service").
const UNNAMED: &str = "unknown_service";

/// Adds what is known where the application does not say it, and names a service without a name.
fn complete(resource: &mut Resource, known: &resource::Resource) {
    let is_named = |resource: &Resource| {
        resource.attributes.iter().any(|attribute| {
            attribute.key == SERVICE_NAME && !text(attribute).is_none_or(is_no_name)
        })
    };
    let can_name = !is_no_name(known.service_name());
    if can_name && !is_named(resource) {
        resource.attributes.retain(|attribute| attribute.key != SERVICE_NAME);
    }
    for (key, value) in &known.attributes {
        let is_there = resource.attributes.iter().any(|attribute| attribute.key == *key);
        if !is_there && !key.starts_with(OURS) {
            resource.attributes.push(attribute(key, Value::StringValue(value.clone())));
        }
    }
}

fn is_no_name(name: &str) -> bool {
    name.is_empty() || name.starts_with(UNNAMED)
}

fn text(attribute: &KeyValue) -> Option<&str> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// An attribute.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
