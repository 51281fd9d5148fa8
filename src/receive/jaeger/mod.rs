//! What Jaeger's clients send to Jaeger's agent: one call of `Agent.emitBatch` in a datagram.

mod batch;
#[cfg(test)]
mod tests;
mod thrift;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::packing::Packing;
use crate::analysis::message::Take;
use crate::export::Parcel;
use crate::intake::Outcome;
use crate::otlp::Signal;
use crate::trace::resource::Resource;
pub(super) use batch::Batch;
pub(super) use thrift::Protocol;
use thrift::{Malformed, Reader};

/// Reads a datagram.
///
/// # Errors
/// When it is not a call that emits spans, or cannot be read to its end. The call for spans in the
/// form of Zipkin, which no client of the last years makes, is not taken.
pub(super) fn batch(protocol: Protocol, datagram: &[u8]) -> Result<Batch, Malformed> {
    let mut reader = Reader::new(protocol, datagram);
    match reader.call()? {
        b"emitBatch" => batch::arguments(&mut reader),
        _ => Err(Malformed("it calls another method than emitBatch")),
    }
}

impl Batch {
    /// The parcel, unless it would be empty, and what became of the spans.
    pub(super) fn pack(self, known: &Resource) -> (Option<Parcel>, Outcome) {
        let mut packing = Packing::new(known);
        let resource = v1::Resource { attributes: self.attributes, ..v1::Resource::default() };
        let take: &mut dyn Take<Span> = &mut packing;
        take.resource(resource, "");
        take.scope(InstrumentationScope::default(), "");
        for span in self.spans {
            take.item(Some(span));
        }
        packing.finish(Signal::Traces)
    }
}
