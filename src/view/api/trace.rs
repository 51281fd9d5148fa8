//! One trace, whole, and as OTLP has it.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, TracesData};

use super::{Refusal, not_kept};
use crate::analysis::otlp as reading;
use crate::analysis::report::Report;
use crate::analysis::slowest::Slowest;
use crate::trace::TraceId;
use crate::view::store::{Store, Stored, Trace};

/// The trace with this id.
pub(crate) fn whole(store: &Store, id: TraceId) -> Result<Report, Refusal> {
    let trace = store.trace(id).ok_or_else(|| not_kept(id))?;
    let span = |stored: &Stored| {
        let source = &stored.source;
        reading::span(stored.facts.clone(), stored.decode(), &source.resource(), &source.scope)
    };
    Ok(Report::of(id, trace.spans().map(span).collect(), trace.not_kept))
}

/// The trace as OTLP has it.
pub(super) fn otlp(store: &Store, id: TraceId) -> Result<TracesData, Refusal> {
    let trace = store.trace(id).ok_or_else(|| not_kept(id))?;
    Ok(TracesData { resource_spans: messages(trace) })
}

/// The spans of a trace as OTLP groups them: by who sent them.
pub(super) fn messages(trace: &Trace) -> Vec<ResourceSpans> {
    let mut by_source: Vec<(&Arc<_>, Vec<_>)> = Vec::new();
    for stored in trace.spans() {
        let known = by_source.iter_mut().find(|(source, _)| Arc::ptr_eq(source, &stored.source));
        match known {
            Some((_, spans)) => spans.push(stored.decode()),
            None => by_source.push((&stored.source, vec![stored.decode()])),
        }
    }
    let groups = by_source.into_iter().map(|(source, spans)| {
        let scope = InstrumentationScope { name: source.scope.to_string(), ..Default::default() };
        let resource = Resource { attributes: source.resource(), ..Resource::default() };
        ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    });
    groups.collect()
}

/// The hop that held up the kept traces for longest, in words.
pub(crate) fn slowest_hop(store: &Store) -> Option<String> {
    let mut slowest = Slowest::default();
    store.traces().for_each(|trace| slowest.add(&trace.facts()));
    slowest.words()
}
