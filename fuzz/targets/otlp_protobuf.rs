//! OTLP in protobuf: the items are those that a whole decoding finds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use spandrel::analysis::message::{Item, Take, each};
use spandrel::analysis::otlp::{self, Unshared};
use spandrel::otlp::Encoding;

struct Taken<I>(Vec<Option<I>>);

impl<I> Take<I> for Taken<I> {
    fn resource(&mut self, resource: Resource, _schema_url: &str) {
        drop(otlp::origin(&resource.attributes, &mut Unshared));
    }

    fn scope(&mut self, _scope: InstrumentationScope, _schema_url: &str) {}

    fn item(&mut self, item: Option<I>) {
        self.0.push(item);
    }
}

fn taken<I: Item>(bytes: &[u8]) -> Option<Vec<Option<I>>> {
    let mut taken = Taken(Vec::new());
    let read = each(Encoding::Protobuf, bytes, &mut taken);
    assert!(read.is_ok() || taken.0.is_empty(), "items of a broken message");
    read.is_ok().then_some(taken.0)
}

fuzz_target!(|bytes: &[u8]| {
    taken::<Metric>(bytes);
    let Some(spans) = taken::<Span>(bytes) else { return };
    for span in spans.iter().flatten() {
        let origin = otlp::origin(&[], &mut Unshared);
        if let Some(facts) = otlp::facts(span, &origin, &mut Unshared) {
            assert!(facts.start <= facts.end);
            drop(otlp::span(facts, span.clone(), &[], ""));
        }
    }
    let Ok(whole) = ExportTraceServiceRequest::decode(bytes) else { return };
    let groups = whole.resource_spans.into_iter().flat_map(|group| group.scope_spans);
    let expected: Vec<Vec<u8>> =
        groups.flat_map(|scoped| scoped.spans).map(|span| span.encode_to_vec()).collect();
    let found: Vec<Vec<u8>> = spans.iter().flatten().map(Span::encode_to_vec).collect();
    assert_eq!(found, expected, "another reader finds other spans");
});
