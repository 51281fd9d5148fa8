//! Which spans a destination gets.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span as Message;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

use super::Filter;
use super::parcel::{Parcel, Signal};
use crate::trace::semconv::Key;
use crate::trace::span::{SpanBatch, SpanView, Value};

/// A filter, ready to be used.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    /// Names of attributes and the values that pass; all must fit.
    wanted: Vec<(String, Vec<String>)>,
}

impl Sieve {
    pub(super) fn new(filter: &Filter) -> Self {
        let mut wanted = filter.attributes.clone();
        if !filter.tenants.is_empty() {
            wanted.push((Key::TenantId.as_str().to_owned(), filter.tenants.clone()));
        }
        Self { wanted }
    }

    pub(super) const fn lets_all_pass(&self) -> bool {
        self.wanted.is_empty()
    }

    /// A batch of the spans that pass.
    pub(super) fn sift(&self, batch: &SpanBatch) -> SpanBatch {
        batch.select(0, |span| self.passes(span))
    }

    /// A parcel of what passes, if anything does. Data points and log records all do, since they
    /// have no attributes in common with spans.
    pub(super) fn sift_parcel(&self, parcel: &Parcel) -> Option<Parcel> {
        if self.lets_all_pass() || parcel.signal != Signal::Traces {
            return Some(parcel.clone());
        }
        let mut request = ExportTraceServiceRequest::decode(parcel.message.clone()).ok()?;
        let (mut items, mut has_error) = (0, false);
        for resource in &mut request.resource_spans {
            let own = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
            for scope in &mut resource.scope_spans {
                scope.spans.retain(|span| self.passes_message(span, own));
                items += scope.spans.len();
                has_error |= scope.spans.iter().any(is_error);
            }
            resource.scope_spans.retain(|scope| !scope.spans.is_empty());
        }
        request.resource_spans.retain(|resource| !resource.scope_spans.is_empty());
        let message = request.encode_to_vec().into();
        (items > 0).then_some(Parcel { signal: Signal::Traces, items, has_error, message })
    }

    fn passes(&self, span: &SpanView<'_>) -> bool {
        self.wanted.iter().all(|(name, values)| {
            let mut all = span.attributes.clone();
            all.any(|(found, value)| found == name.as_bytes() && is_one_of(value, values))
        })
    }

    fn passes_message(&self, span: &Message, resource: &[KeyValue]) -> bool {
        self.wanted.iter().all(|(name, values)| {
            let all = span.attributes.iter().chain(resource);
            all.filter(|a| a.key == *name).any(|a| {
                let value = a.value.as_ref().and_then(|v| v.value.as_ref());
                value.and_then(text_of).is_some_and(|value| values.contains(&value))
            })
        })
    }
}

fn is_error(span: &Message) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

fn is_one_of(value: Value<'_>, values: &[String]) -> bool {
    let is = |text: &str| values.iter().any(|v| v == text);
    match value {
        Value::Text(text) => values.iter().any(|v| v.as_bytes() == text),
        Value::Int(number) => is(&number.to_string()),
        Value::Double(number) => is(&number.to_string()),
        Value::Bool(answer) => is(&answer.to_string()),
    }
}

fn text_of(value: &any_value::Value) -> Option<String> {
    match value {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        any_value::Value::DoubleValue(number) => Some(number.to_string()),
        any_value::Value::BoolValue(answer) => Some(answer.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::span::Attributes;

    fn batch() -> SpanBatch {
        let mut batch = SpanBatch::default();
        for (tenant, status) in [("acme", 200), ("globex", 500), ("acme", 500)] {
            let mut attributes = Attributes::default();
            attributes.text(Key::TenantId, tenant);
            attributes.int(Key::HttpResponseStatusCode, status);
            batch.push(
                super::super::testing::span(),
                &[b"GET ", tenant.as_bytes()],
                b"",
                &attributes,
            );
        }
        batch
    }

    fn names(filter: &Filter) -> Vec<String> {
        let passed = Sieve::new(filter).sift(&batch());
        passed.iter().map(|span| String::from_utf8_lossy(span.name).into_owned()).collect()
    }

    fn filter(attributes: &[(&str, &[&str])], tenants: &[&str]) -> Filter {
        let texts = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let attributes =
            attributes.iter().map(|(name, values)| ((*name).to_owned(), texts(values)));
        Filter { attributes: attributes.collect(), tenants: texts(tenants) }
    }

    #[test]
    fn a_span_passes_that_has_each_attribute_with_one_of_its_values() {
        assert_eq!(names(&filter(&[], &["acme"])), ["GET acme", "GET acme"]);
        let failed: (&str, &[&str]) = ("http.response.status_code", &["500", "503"]);
        assert_eq!(names(&filter(&[failed], &[])), ["GET globex", "GET acme"]);
        assert_eq!(names(&filter(&[failed], &["acme"])), ["GET acme"]);
        assert_eq!(names(&filter(&[("no.such", &["x"])], &[])), [""; 0]);
        assert!(Sieve::new(&Filter::default()).lets_all_pass());
    }

    #[test]
    fn parcels_are_sifted_by_the_attributes_of_spans_and_of_their_resource() {
        let resource = crate::trace::resource::Resource::new(Some("orders"), &[]);
        let message = super::super::Encoder::new(&resource).encode(batch().iter()).into();
        let parcel = Parcel { signal: Signal::Traces, items: 3, has_error: false, message };
        let passed = |filter: &Filter| Sieve::new(filter).sift_parcel(&parcel).map(|p| p.items);
        assert_eq!(passed(&filter(&[], &["acme"])), Some(2));
        assert_eq!(passed(&filter(&[("service.name", &["orders"])], &[])), Some(3));
        assert_eq!(passed(&filter(&[("service.name", &["users"])], &[])), None);
        let has_error = Parcel { has_error: true, ..parcel.clone() };
        let others = Sieve::new(&filter(&[], &["acme"])).sift_parcel(&has_error);
        assert_eq!(others.map(|p| p.has_error), Some(false), "what failed does not pass");
        let logs = Parcel { signal: Signal::Logs, ..parcel.clone() };
        assert_eq!(Sieve::new(&filter(&[], &["x"])).sift_parcel(&logs), Some(logs));
    }
}
