//! What stands in the messages of OTLP: the numbers of their fields, their names in JSON, and the
//! form of their values. Fields that are not listed are left out of the JSON.

/// A kind of message.
#[derive(Debug)]
pub(super) struct Message(pub(super) &'static [Spec]);

/// One of its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) is_list: bool,
    /// Whether it is written where it is missing too, because readers insist on it.
    pub(super) is_required: bool,
}

/// The form of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Text,
    /// Bytes in hexadecimal, as ids are.
    Hex,
    Base64,
    Bool,
    /// A varint, the number of an enumeration among them.
    Int32,
    Uint32,
    /// A varint of which the last bit is the sign.
    Sint32,
    Fixed32,
    /// Varints and eight bytes, which JSON has as text.
    Int64,
    Uint64,
    Fixed64,
    Sfixed64,
    Double,
    Of(&'static Message),
}

const fn one(number: u64, name: &'static str, form: Form) -> Spec {
    Spec { number, name, form, is_list: false, is_required: false }
}

const fn list(number: u64, name: &'static str, form: Form) -> Spec {
    Spec { is_list: true, ..one(number, name, form) }
}

const fn required(spec: Spec) -> Spec {
    Spec { is_required: true, ..spec }
}

use Form::{
    Base64, Bool, Double, Fixed32, Fixed64, Hex, Int32, Int64, Of, Sfixed64, Sint32, Text, Uint32,
    Uint64,
};

pub(super) static TRACES: Message = Message(&[list(1, "resourceSpans", Of(&RESOURCE_SPANS))]);
pub(super) static METRICS: Message = Message(&[list(1, "resourceMetrics", Of(&RESOURCE_METRICS))]);
pub(super) static LOGS: Message = Message(&[list(1, "resourceLogs", Of(&RESOURCE_LOGS))]);

// common/v1

static ANY_VALUE: Message = Message(&[
    one(1, "stringValue", Text),
    one(2, "boolValue", Bool),
    one(3, "intValue", Int64),
    one(4, "doubleValue", Double),
    one(5, "arrayValue", Of(&ARRAY_VALUE)),
    one(6, "kvlistValue", Of(&KEY_VALUE_LIST)),
    one(7, "bytesValue", Base64),
]);
static ARRAY_VALUE: Message = Message(&[required(list(1, "values", Of(&ANY_VALUE)))]);
static KEY_VALUE_LIST: Message = Message(&[required(list(1, "values", Of(&KEY_VALUE)))]);
static KEY_VALUE: Message =
    Message(&[required(one(1, "key", Text)), one(2, "value", Of(&ANY_VALUE))]);
static SCOPE: Message = Message(&[
    one(1, "name", Text),
    one(2, "version", Text),
    list(3, "attributes", Of(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Uint32),
]);
static ENTITY_REF: Message = Message(&[
    required(one(1, "schemaUrl", Text)),
    required(one(2, "type", Text)),
    required(list(3, "idKeys", Text)),
    required(list(4, "descriptionKeys", Text)),
]);

// resource/v1

static RESOURCE: Message = Message(&[
    list(1, "attributes", Of(&KEY_VALUE)),
    one(2, "droppedAttributesCount", Uint32),
    list(3, "entityRefs", Of(&ENTITY_REF)),
]);

// trace/v1

static RESOURCE_SPANS: Message = Message(&[
    one(1, "resource", Of(&RESOURCE)),
    list(2, "scopeSpans", Of(&SCOPE_SPANS)),
    one(3, "schemaUrl", Text),
]);
static SCOPE_SPANS: Message =
    Message(&[one(1, "scope", Of(&SCOPE)), list(2, "spans", Of(&SPAN)), one(3, "schemaUrl", Text)]);
static SPAN: Message = Message(&[
    one(1, "traceId", Hex),
    one(2, "spanId", Hex),
    one(3, "traceState", Text),
    one(4, "parentSpanId", Hex),
    one(5, "name", Text),
    one(6, "kind", Int32),
    one(7, "startTimeUnixNano", Fixed64),
    one(8, "endTimeUnixNano", Fixed64),
    list(9, "attributes", Of(&KEY_VALUE)),
    one(10, "droppedAttributesCount", Uint32),
    list(11, "events", Of(&EVENT)),
    one(12, "droppedEventsCount", Uint32),
    list(13, "links", Of(&LINK)),
    one(14, "droppedLinksCount", Uint32),
    one(15, "status", Of(&STATUS)),
    one(16, "flags", Fixed32),
]);
static EVENT: Message = Message(&[
    one(1, "timeUnixNano", Fixed64),
    one(2, "name", Text),
    list(3, "attributes", Of(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Uint32),
]);
static LINK: Message = Message(&[
    one(1, "traceId", Hex),
    one(2, "spanId", Hex),
    one(3, "traceState", Text),
    list(4, "attributes", Of(&KEY_VALUE)),
    one(5, "droppedAttributesCount", Uint32),
    one(6, "flags", Fixed32),
]);
static STATUS: Message = Message(&[one(2, "message", Text), one(3, "code", Int32)]);

// metrics/v1

static RESOURCE_METRICS: Message = Message(&[
    one(1, "resource", Of(&RESOURCE)),
    list(2, "scopeMetrics", Of(&SCOPE_METRICS)),
    one(3, "schemaUrl", Text),
]);
static SCOPE_METRICS: Message = Message(&[
    one(1, "scope", Of(&SCOPE)),
    list(2, "metrics", Of(&METRIC)),
    one(3, "schemaUrl", Text),
]);
static METRIC: Message = Message(&[
    one(1, "name", Text),
    one(2, "description", Text),
    one(3, "unit", Text),
    one(5, "gauge", Of(&GAUGE)),
    one(7, "sum", Of(&SUM)),
    one(9, "histogram", Of(&HISTOGRAM)),
    one(10, "exponentialHistogram", Of(&EXPONENTIAL_HISTOGRAM)),
    one(11, "summary", Of(&SUMMARY)),
    list(12, "metadata", Of(&KEY_VALUE)),
]);
static GAUGE: Message = Message(&[list(1, "dataPoints", Of(&NUMBER_DATA_POINT))]);
static SUM: Message = Message(&[
    list(1, "dataPoints", Of(&NUMBER_DATA_POINT)),
    one(2, "aggregationTemporality", Int32),
    one(3, "isMonotonic", Bool),
]);
static HISTOGRAM: Message = Message(&[
    list(1, "dataPoints", Of(&HISTOGRAM_DATA_POINT)),
    one(2, "aggregationTemporality", Int32),
]);
static EXPONENTIAL_HISTOGRAM: Message = Message(&[
    list(1, "dataPoints", Of(&EXPONENTIAL_HISTOGRAM_DATA_POINT)),
    one(2, "aggregationTemporality", Int32),
]);
static SUMMARY: Message = Message(&[list(1, "dataPoints", Of(&SUMMARY_DATA_POINT))]);
static NUMBER_DATA_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "asDouble", Double),
    list(5, "exemplars", Of(&EXEMPLAR)),
    one(6, "asInt", Sfixed64),
    list(7, "attributes", Of(&KEY_VALUE)),
    one(8, "flags", Uint32),
]);
static HISTOGRAM_DATA_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    list(6, "bucketCounts", Fixed64),
    list(7, "explicitBounds", Double),
    list(8, "exemplars", Of(&EXEMPLAR)),
    list(9, "attributes", Of(&KEY_VALUE)),
    one(10, "flags", Uint32),
    one(11, "min", Double),
    one(12, "max", Double),
]);
static EXPONENTIAL_HISTOGRAM_DATA_POINT: Message = Message(&[
    list(1, "attributes", Of(&KEY_VALUE)),
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    one(6, "scale", Sint32),
    one(7, "zeroCount", Fixed64),
    one(8, "positive", Of(&BUCKETS)),
    one(9, "negative", Of(&BUCKETS)),
    one(10, "flags", Uint32),
    list(11, "exemplars", Of(&EXEMPLAR)),
    one(12, "min", Double),
    one(13, "max", Double),
    one(14, "zeroThreshold", Double),
]);
static BUCKETS: Message = Message(&[one(1, "offset", Sint32), list(2, "bucketCounts", Uint64)]);
static SUMMARY_DATA_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    list(6, "quantileValues", Of(&VALUE_AT_QUANTILE)),
    list(7, "attributes", Of(&KEY_VALUE)),
    one(8, "flags", Uint32),
]);
static VALUE_AT_QUANTILE: Message = Message(&[one(1, "quantile", Double), one(2, "value", Double)]);
static EXEMPLAR: Message = Message(&[
    one(2, "timeUnixNano", Fixed64),
    one(3, "asDouble", Double),
    one(4, "spanId", Hex),
    one(5, "traceId", Hex),
    one(6, "asInt", Sfixed64),
    list(7, "filteredAttributes", Of(&KEY_VALUE)),
]);

// logs/v1

static RESOURCE_LOGS: Message = Message(&[
    one(1, "resource", Of(&RESOURCE)),
    list(2, "scopeLogs", Of(&SCOPE_LOGS)),
    one(3, "schemaUrl", Text),
]);
static SCOPE_LOGS: Message = Message(&[
    one(1, "scope", Of(&SCOPE)),
    list(2, "logRecords", Of(&LOG_RECORD)),
    one(3, "schemaUrl", Text),
]);
static LOG_RECORD: Message = Message(&[
    one(1, "timeUnixNano", Fixed64),
    one(2, "severityNumber", Int32),
    one(3, "severityText", Text),
    one(5, "body", Of(&ANY_VALUE)),
    list(6, "attributes", Of(&KEY_VALUE)),
    one(7, "droppedAttributesCount", Uint32),
    one(8, "flags", Fixed32),
    one(9, "traceId", Hex),
    one(10, "spanId", Hex),
    one(11, "observedTimeUnixNano", Fixed64),
    one(12, "eventName", Text),
]);
