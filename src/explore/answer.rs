//! What `/api/v3/*` answers, read into spans.
//!
//! The shape is that of Jaeger's API, version 3: one JSON value or, where a server sends traces as
//! it finds them, several, one after another. Their spans are OTLP in JSON.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::analysis::Span;
use crate::analysis::message::{self, Malformed, Take};
use crate::analysis::otlp::{self, Unshared};
use crate::otlp::Encoding;

/// One of the values that an answer with traces consists of.
#[derive(Deserialize)]
struct Part {
    result: Option<Box<RawValue>>,
    error: Option<Problem>,
}

/// The spans as they are read, of the resource and scope that were named last.
#[derive(Default)]
struct Spans {
    resource: Vec<KeyValue>,
    scope: String,
    read: Vec<Span>,
}

impl Take<proto::Span> for Spans {
    fn resource(&mut self, resource: Resource, _schema_url: &str) {
        self.resource = resource.attributes;
    }

    fn scope(&mut self, scope: InstrumentationScope, _schema_url: &str) {
        self.scope = scope.name;
    }

    fn item(&mut self, item: Option<proto::Span>) {
        let Some(read) = item else { return };
        let origin = otlp::origin(&self.resource, &mut Unshared);
        let facts = otlp::facts(&read, &origin, &mut Unshared);
        self.read.extend(facts.map(|facts| otlp::span(facts, read, &self.resource, &self.scope)));
    }
}

#[derive(Deserialize)]
struct Services {
    #[serde(default)]
    services: Vec<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Problem,
}

/// What a server says is wrong: `view` in a text, Jaeger in an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Problem {
    Text(String),
    Object {
        #[serde(default)]
        message: String,
    },
}

impl Problem {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { message: text } => text,
        }
    }
}

/// The spans of an answer with traces, in its order.
///
/// # Errors
/// With what is wrong, when the answer is none, or tells of a failure.
pub(super) fn spans(body: &[u8]) -> Result<Vec<Span>, String> {
    let mut spans = Spans::default();
    for part in serde_json::Deserializer::from_slice(body).into_iter::<Part>() {
        let part = part.map_err(|error| error.to_string())?;
        if let Some(problem) = part.error {
            return Err(problem.into_text());
        }
        if let Some(result) = part.result {
            message::each(Encoding::Json, result.get().as_bytes(), &mut spans)
                .map_err(|Malformed(problem)| problem)?;
        }
    }
    Ok(spans.read)
}

/// The services of an answer that names them, sorted.
///
/// # Errors
/// With what is wrong, when the answer is none.
pub(super) fn services(body: &[u8]) -> Result<Vec<String>, String> {
    let mut services: Vec<String> =
        serde_json::from_slice::<Services>(body).map_err(|error| error.to_string())?.services;
    services.sort_unstable();
    services.dedup();
    Ok(services)
}

/// What an answer says is wrong; `None` where it is not one of this API.
pub(super) fn problem(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error.into_text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Kind;

    /// A value of an answer, with one span of this id and these attributes.
    fn part(span: &str, attributes: &str) -> String {
        format!(
            r#"{{"result":{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name",
            "value":{{"stringValue":"orders"}}}}]}},"scopeSpans":[{{"scope":{{"name":"test"}},
            "spans":[{{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"{span}",
            "parentSpanId":"","name":"GET /","kind":2,"startTimeUnixNano":"1000",
            "endTimeUnixNano":"3000","attributes":[{attributes}],"status":{{"code":2}}}}]}}]}}]}}}}"#
        )
    }

    #[test]
    fn an_answer_may_be_several_values() {
        let body = format!("{}\n{}", part("b7ad6b7169203331", ""), part("b7ad6b7169203332", ""));
        let spans = spans(body.as_bytes()).unwrap();
        let ids: Vec<String> = spans.iter().map(|s| s.facts.span_id.to_string()).collect();
        assert_eq!(ids, ["b7ad6b7169203331", "b7ad6b7169203332"]);
        let facts = &spans[0].facts;
        assert_eq!(facts.trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((&*facts.service, &*facts.name, facts.kind), ("orders", "GET /", Kind::Server));
        assert_eq!((facts.start, facts.end, facts.is_error), (1_000, 3_000, true));
        assert_eq!(facts.parent, None);
    }

    #[test]
    fn an_answer_without_traces_is_none_of_them() {
        for body in ["", "{}", r#"{"result":{}}"#, r#"{"result":{"resourceSpans":[]}}"#] {
            assert_eq!(spans(body.as_bytes()), Ok(vec![]), "{body}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let cut = part("b7ad6b7169203331", "");
        let half = cut.split_at(cut.len() / 2).0;
        for body in ["<html>", "[]", "7", half, r#"{"result":{"resourceSpans":{}}}"#] {
            assert!(spans(body.as_bytes()).is_err(), "{body}");
        }
        let failed = format!("{cut}{}", r#"{"error":{"httpCode":500,"message":"disk full"}}"#);
        assert_eq!(spans(failed.as_bytes()), Err("disk full".to_owned()));
    }

    #[test]
    fn spans_without_ids_are_left_out() {
        for id in ["", "00", "0000000000000000"] {
            assert_eq!(spans(part(id, "").as_bytes()), Ok(vec![]), "{id}");
        }
        assert_eq!(spans(part("xyz", "").as_bytes()), Ok(vec![]));
    }

    #[test]
    fn services_are_sorted_and_named_once() {
        let body = br#"{"services":["b","a","b"],"total":3}"#;
        assert_eq!(services(body), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(services(b"{}"), Ok(vec![]));
        assert!(services(b"<html>").is_err());
    }

    #[test]
    fn a_refusal_says_why_in_either_way() {
        for body in [r#"{"error":"no"}"#, "{\"error\":{\"httpCode\":404,\"message\":\"no\"}}\n"] {
            assert_eq!(problem(body.as_bytes()).as_deref(), Some("no"));
        }
        assert_eq!(problem(br#"{"error":{"httpCode":404}}"#).as_deref(), Some(""));
        for body in ["", "404 page not found", "{}", "<html>"] {
            assert_eq!(problem(body.as_bytes()), None, "{body}");
        }
    }
}
