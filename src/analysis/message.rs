//! The three kinds of OTLP message, taken apart item by item.
//!
//! Spans, metrics and log records travel in the same shape: groups by resource, in them groups by
//! scope, in them the items. A message is never decoded as a whole: an empty span takes two bytes
//! on the wire and hundreds in memory, so that a message within its bound could fill the machine.
//! First its structure is checked, and nothing is taken of a message that breaks it; then one item
//! after the other is decoded, taken and forgotten. An item that cannot be read is refused by
//! itself.

use std::borrow::Cow;
use std::fmt;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::otlp::Encoding;

/// The longest item that is read, in bytes as it came.
pub const MAX_ITEM: usize = 1 << 20;

/// A span, a metric or a log record.
pub trait Item: Message + Default + DeserializeOwned {
    /// The names in JSON of the groups by resource, the groups by scope, and the items.
    const NAMES: [&'static str; 3];
}

impl Item for Span {
    const NAMES: [&'static str; 3] = ["resourceSpans", "scopeSpans", "spans"];
}

impl Item for Metric {
    const NAMES: [&'static str; 3] = ["resourceMetrics", "scopeMetrics", "metrics"];
}

impl Item for LogRecord {
    const NAMES: [&'static str; 3] = ["resourceLogs", "scopeLogs", "logRecords"];
}

/// Takes the items of a message.
pub trait Take<I> {
    /// A group of this resource begins.
    fn resource(&mut self, resource: Resource, schema_url: &str);
    /// In it begins a group of this scope; the items that follow are in it.
    fn scope(&mut self, scope: InstrumentationScope, schema_url: &str);
    /// The next item; `None` for one that cannot be read.
    fn item(&mut self, item: Option<I>);
}

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl From<prost::DecodeError> for Malformed {
    fn from(error: prost::DecodeError) -> Self {
        Self(format!("the body is not the protobuf of OTLP: {error}"))
    }
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("the body is not the JSON of OTLP: {error}"))
    }
}

/// Gives every item of a message to `take`.
///
/// # Errors
/// When the message is broken, before anything was taken.
pub fn each<I: Item>(
    encoding: Encoding,
    body: &[u8],
    take: &mut impl Take<I>,
) -> Result<(), Malformed> {
    match encoding {
        Encoding::Protobuf => protobuf(body, take),
        Encoding::Json => json(body, take),
    }
}

/// The field of the groups in a message, and of the resource or the scope in a group.
const FIRST: u32 = 1;
/// The field of what a group holds.
const SECOND: u32 = 2;
/// The field of a group's schema, and its name in JSON.
const SCHEMA_URL: u32 = 3;
const SCHEMA_URL_NAME: &str = "schemaUrl";

fn protobuf<I: Item>(body: &[u8], take: &mut impl Take<I>) -> Result<(), Malformed> {
    for group in within(body, FIRST) {
        for scoped in within(group?, SECOND) {
            within(scoped?, SECOND).try_for_each(|item| item.map(drop))?;
        }
    }
    for group in within(body, FIRST).flatten() {
        take.resource(decode(within(group, FIRST).flatten().last()), schema_url(group));
        for scoped in within(group, SECOND).flatten() {
            take.scope(decode(within(scoped, FIRST).flatten().last()), schema_url(scoped));
            for item in within(scoped, SECOND).flatten() {
                let item = (item.len() <= MAX_ITEM).then(|| I::decode(item).ok());
                take.item(item.flatten());
            }
        }
    }
    Ok(())
}

/// What describes a group; the default where it says nothing that can be read.
fn decode<M: Message + Default>(bytes: Option<&[u8]>) -> M {
    let bytes = bytes.filter(|bytes| bytes.len() <= MAX_ITEM);
    bytes.and_then(|bytes| M::decode(bytes).ok()).unwrap_or_default()
}

/// The schema that a group says it follows.
fn schema_url(group: &[u8]) -> &str {
    let last = within(group, SCHEMA_URL).flatten().last();
    last.and_then(|url| std::str::from_utf8(url).ok()).unwrap_or_default()
}

/// The messages in the field `wanted` of a message; the last is the error, where there is one.
fn within(message: &[u8], wanted: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            match field(&mut rest) {
                Ok((tag, Some(bytes))) if tag == wanted => return Some(Ok(bytes)),
                Ok(_) => {}
                Err(error) => {
                    rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    })
}

/// Takes a field off the front: its number, and its bytes where it has a length.
fn field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Option<&'a [u8]>), Malformed> {
    let (tag, wire_type) = decode_key(rest)?;
    let length = match wire_type {
        WireType::Varint => {
            decode_varint(rest)?;
            0
        }
        WireType::ThirtyTwoBit => 4,
        WireType::SixtyFourBit => 8,
        WireType::LengthDelimited => decode_varint(rest)?,
        WireType::StartGroup | WireType::EndGroup => {
            return Err(Malformed(
                "the body is not the protobuf of OTLP: it has a group".to_owned(),
            ));
        }
    };
    let cut = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let Some((bytes, after)) = cut else {
        return Err(Malformed("the body is not the protobuf of OTLP: it is cut off".to_owned()));
    };
    *rest = after;
    Ok((tag, (wire_type == WireType::LengthDelimited).then_some(bytes)))
}

/// A part of a JSON message that is not read yet.
type Raw<'a> = &'a RawValue;

fn json<I: Item>(body: &[u8], take: &mut impl Take<I>) -> Result<(), Malformed> {
    let [groups_name, scoped_name, items_name] = I::NAMES;
    let groups = list(serde_json::from_slice(body)?, groups_name)?;
    for group in &groups {
        for scoped in list(group, scoped_name)? {
            list(scoped, items_name)?;
        }
    }
    for group in groups {
        take.resource(member(group, "resource"), &member::<String>(group, SCHEMA_URL_NAME));
        for scoped in list(group, scoped_name)? {
            take.scope(member(scoped, "scope"), &member::<String>(scoped, SCHEMA_URL_NAME));
            for item in list(scoped, items_name)? {
                let text = item.get();
                let item = (text.len() <= MAX_ITEM).then(|| lenient(text));
                take.item(item.flatten());
            }
        }
    }
    Ok(())
}

/// An item; also one that is written as Go's OTLP library does, which leaves the members out of
/// lists and maps of nothing, and writes what JSON has no numbers for as texts.
fn lenient<I: Item>(text: &str) -> Option<I> {
    if let Ok(item) = serde_json::from_str(text) {
        return Some(item);
    }
    let mut item = serde_json::from_str(text).ok()?;
    mend(&mut item);
    serde_json::from_value(item).ok()
}

/// Depth is bounded by the parser, which takes nothing deeper than 128.
fn mend(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(values) => values.iter_mut().for_each(mend),
        serde_json::Value::Object(members) => {
            // The text says what it is; there is no other way to keep it.
            if members.get("doubleValue").is_some_and(serde_json::Value::is_string)
                && let Some(number) = members.remove("doubleValue")
            {
                members.insert("stringValue".to_owned(), number);
            }
            for (name, value) in members {
                let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty);
                match name.as_str() {
                    "arrayValue" | "kvlistValue" if is_empty => {
                        *value = serde_json::json!({ "values": [] });
                    }
                    _ => mend(value),
                }
            }
        }
        _ => {}
    }
}

/// The members of the list `name` of an object; none where it has no such list.
fn list<'a>(object: Raw<'a>, name: &str) -> Result<Vec<Raw<'a>>, Malformed> {
    let Some(list) = value(object, name)? else { return Ok(Vec::new()) };
    Ok(serde_json::from_str::<Option<_>>(list.get())?.unwrap_or_default())
}

/// What describes a group; the default where it says nothing that can be read.
fn member<M: Default + DeserializeOwned>(object: Raw<'_>, name: &str) -> M {
    let text = value(object, name).ok().flatten().map(RawValue::get);
    let text = text.filter(|text| text.len() <= MAX_ITEM);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The value that an object has under a name.
fn value<'a>(object: Raw<'a>, name: &str) -> Result<Option<Raw<'a>>, Malformed> {
    let members: Members<'a> = serde_json::from_str(object.get())?;
    Ok(members.0.into_iter().find(|(member, _)| member == name).map(|(_, value)| value))
}

/// The most members of an object that hold groups or items.
const MAX_MEMBERS: usize = 32;

/// The members of an object, values unread.
struct Members<'a>(Vec<(Cow<'a, str>, Raw<'a>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
        let mut members = Vec::new();
        while let Some(entry) = map.next_entry()? {
            if members.len() == MAX_MEMBERS {
                return Err(de::Error::custom("an object has too many members"));
            }
            members.push(entry);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
    use proptest::prelude::*;

    use super::*;

    /// What was taken, in words.
    #[derive(Default)]
    struct Taken(Vec<String>);

    impl Take<Span> for Taken {
        fn resource(&mut self, resource: Resource, schema_url: &str) {
            let attributes = resource.attributes.len();
            self.0.push(format!("resource of {attributes} attributes by `{schema_url}`"));
        }

        fn scope(&mut self, scope: InstrumentationScope, schema_url: &str) {
            let InstrumentationScope { name, version, .. } = scope;
            self.0.push(format!("scope `{name}` `{version}` by `{schema_url}`"));
        }

        fn item(&mut self, item: Option<Span>) {
            self.0.push(item.map_or_else(|| "refused".to_owned(), |span| span.name));
        }
    }

    fn taken(encoding: Encoding, body: &[u8]) -> Result<Vec<String>, Malformed> {
        let mut taken = Taken::default();
        each::<Span>(encoding, body, &mut taken).map(|()| taken.0)
    }

    fn request() -> ExportTraceServiceRequest {
        let named = |name: &str| Span { name: name.to_owned(), ..Span::default() };
        let value = any_value("orders");
        let attribute = KeyValue { key: "service.name".to_owned(), value, ..KeyValue::default() };
        let resource = Resource { attributes: vec![attribute], ..Resource::default() };
        let (name, version) = ("library".to_owned(), "1.2".to_owned());
        let scope = InstrumentationScope { name, version, ..Default::default() };
        let schema_url = "schema/2".to_owned();
        let scoped = |scope, spans| ScopeSpans { scope, spans, schema_url: schema_url.clone() };
        ExportTraceServiceRequest {
            resource_spans: vec![
                ResourceSpans {
                    resource: Some(resource),
                    scope_spans: vec![
                        scoped(Some(scope), vec![named("a"), named("b")]),
                        scoped(None, vec![named("c")]),
                    ],
                    schema_url: "schema/1".to_owned(),
                },
                ResourceSpans::default(),
            ],
        }
    }

    fn any_value(text: &str) -> Option<AnyValue> {
        let value = opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
        Some(AnyValue { value: Some(value(text.to_owned())) })
    }

    const IN_ORDER: [&str; 7] = [
        "resource of 1 attributes by `schema/1`",
        "scope `library` `1.2` by `schema/2`",
        "a",
        "b",
        "scope `` `` by `schema/2`",
        "c",
        "resource of 0 attributes by ``",
    ];

    #[test]
    fn both_encodings_give_the_same_items_in_their_order() {
        let protobuf = request().encode_to_vec();
        let json = serde_json::to_vec(&request()).unwrap();
        assert_eq!(taken(Encoding::Protobuf, &protobuf).unwrap(), IN_ORDER);
        assert_eq!(taken(Encoding::Json, &json).unwrap(), IN_ORDER);
    }

    #[test]
    fn a_message_without_items_is_no_error() {
        assert_eq!(taken(Encoding::Protobuf, b"").unwrap(), [""; 0]);
        for empty in ["{}", r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[],"more":1}"#] {
            assert_eq!(taken(Encoding::Json, empty.as_bytes()).unwrap(), [""; 0], "{empty}");
        }
        let of_nothing = br#"{"resourceSpans":[{}]}"#;
        assert_eq!(taken(Encoding::Json, of_nothing).unwrap(), IN_ORDER[6..]);
    }

    #[test]
    fn nothing_is_taken_of_a_message_that_breaks_off() {
        let whole = request().encode_to_vec();
        let mut taken = Taken::default();
        let cut = &whole[..whole.len() - 3];
        assert!(each::<Span>(Encoding::Protobuf, cut, &mut taken).is_err());
        let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"}]},7]}]}"#;
        assert!(each::<Span>(Encoding::Json, json, &mut taken).is_err());
        assert_eq!(taken.0, [""; 0]);
    }

    #[test]
    fn a_span_that_cannot_be_read_is_refused_alone() {
        let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":7},{"name":"b"}]}]}]}"#;
        let expected = ["resource of 0 attributes by ``", "scope `` `` by ``", "refused", "b"];
        assert_eq!(taken(Encoding::Json, json).unwrap(), expected);
        let long = Span { name: "x".repeat(MAX_ITEM), ..Span::default() };
        let mut request = request();
        request.resource_spans[0].scope_spans[1].spans.insert(0, long);
        let names = taken(Encoding::Protobuf, &request.encode_to_vec()).unwrap();
        assert_eq!(
            names.get(4..7),
            Some(&["scope `` `` by `schema/2`", "refused", "c"].map(str::to_owned)[..])
        );
    }

    #[test]
    fn attributes_are_taken_as_go_writes_them() {
        let attributes = concat!(
            r#"{"key":"a","value":{"arrayValue":{}}},{"key":"b","value":{"kvlistValue": {}}},"#,
            r#"{"key":"c","value":{"doubleValue":"NaN"}},{"key":"d","value":{"#,
            r#""doubleValue" : "-Infinity"}},{"key":"e","value":{}},"#,
            r#"{"key":"f","value":{"stringValue":"\"arrayValue\":{}"}}"#,
        );
        let span: Span =
            lenient(&format!(r#"{{"name":"n","attributes":[{attributes}]}}"#)).unwrap();
        let values: Vec<_> = crate::analysis::otlp::attributes(span.attributes)
            .into_iter()
            .map(|(key, value)| format!("{key}{value}"))
            .collect();
        assert_eq!(values, ["a[]", "b{}", "cNaN", "d-Infinity", "e", r#"f"arrayValue":{}"#]);
        assert!(lenient::<Span>(r#"{"name":7,"attributes":[]}"#).is_none());
    }

    proptest! {
        #[test]
        fn bytes_of_strangers_are_read_or_refused(body: Vec<u8>) {
            taken(Encoding::Protobuf, &body).ok();
            taken(Encoding::Json, &body).ok();
        }

        #[test]
        fn a_broken_message_is_read_or_refused(at in 0usize..200, byte: u8) {
            let mut body = request().encode_to_vec();
            if let Some(place) = body.get_mut(at) {
                *place = byte;
            }
            taken(Encoding::Protobuf, &body).ok();
        }
    }
}
