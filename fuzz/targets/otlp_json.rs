//! OTLP in JSON: bounded, and nothing is taken of a broken message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
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

fn taken<I: Item>(bytes: &[u8]) -> Vec<Option<I>> {
    let mut taken = Taken(Vec::new());
    let read = each(Encoding::Json, bytes, &mut taken);
    assert!(read.is_ok() || taken.0.is_empty(), "items of a broken message");
    taken.0
}

fuzz_target!(|bytes: &[u8]| {
    taken::<LogRecord>(bytes);
    for span in taken::<Span>(bytes).into_iter().flatten() {
        let origin = otlp::origin(&[], &mut Unshared);
        if let Some(facts) = otlp::facts(&span, &origin, &mut Unshared) {
            assert!(facts.start <= facts.end);
            drop(otlp::span(facts, span, &[], ""));
        }
    }
});
