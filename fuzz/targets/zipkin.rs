//! What goes on as Zipkin's JSON: a list of all spans, of the form that Zipkin takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;
use spandrel::export::fuzzing;

fn is_id(value: &Value, digits: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_it = |id: &str| {
        id.len() == digits && id.bytes().all(is_digit) && id.bytes().any(|byte| byte != b'0')
    };
    value.as_str().is_some_and(is_it)
}

fn is_span(span: &Value) -> bool {
    let is_text =
        |tags: &Value| tags.as_object().is_some_and(|tags| tags.values().all(Value::is_string));
    let is_note = |note: &Value| note["timestamp"].is_u64() && note["value"].is_string();
    is_id(&span["traceId"], 32)
        && is_id(&span["id"], 16)
        && span.get("parentId").is_none_or(|parent| is_id(parent, 16))
        && span["name"].is_string()
        && span.get("timestamp").is_none_or(|at| at.as_u64().is_some_and(|at| at > 0))
        && span["duration"].as_u64().is_some_and(|lasted| lasted > 0)
        && span["localEndpoint"]["serviceName"].as_str().is_some_and(|name| !name.is_empty())
        && span.get("tags").is_none_or(is_text)
        && span
            .get("annotations")
            .is_none_or(|all| all.as_array().is_some_and(|all| all.iter().all(is_note)))
}

fuzz_target!(|message: &[u8]| {
    let Some(body) = fuzzing::zipkin(message) else { return };
    let request = ExportTraceServiceRequest::decode(message).expect("what goes on can be read");
    let scopes = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
    let spans: Vec<_> = scopes.flat_map(|scope| &scope.spans).collect();
    let list: Vec<Value> = serde_json::from_slice(&body).expect("a list in JSON");
    assert_eq!(list.len(), spans.len());
    for (one, span) in list.iter().zip(spans) {
        assert!(is_span(one), "{one}");
        assert_eq!(one["name"], span.name.as_str());
        let has_failed = span.status.as_ref().is_some_and(|status| status.code == 2);
        assert!(!has_failed || one["tags"].get("error").is_some(), "that it failed is not lost");
    }
});
