//! The part of Jaeger's API v3 that command lines and dashboards use, so that what reads Jaeger
//! reads this as well.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use serde::Serialize;

use super::{Refusal, bad, not_kept, trace};
use crate::trace::TraceId;
use crate::view::search::{Filter, parameters};
use crate::view::store::Store;

/// The answer to both questions for traces: OTLP in a wrapper, as gRPC's gateway has it.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    result: TracesData,
}

/// The services.
#[derive(Debug, Serialize)]
pub(super) struct Services {
    services: BTreeSet<String>,
}

/// What a service does.
#[derive(Debug, Serialize)]
pub(super) struct Operations {
    operations: BTreeSet<Operation>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Operation {
    name: String,
    span_kind: &'static str,
}

/// Every service that has spans.
pub(super) fn services(store: &mut Store) -> Services {
    let summaries = store.summaries();
    let names = summaries.flat_map(|(summary, _)| summary.services.clone());
    Services { services: names.map(|(name, _)| name.to_string()).collect() }
}

/// The names and kinds of the spans of a service.
pub(super) fn operations(store: &Store, query: &str) -> Operations {
    let service = parameters(query).find(|(name, _)| name == "service");
    let service = service.map(|(_, service)| service).unwrap_or_default();
    let facts = store.traces().flat_map(|trace| trace.spans()).map(|stored| &stored.facts);
    let of_it = facts.filter(|facts| *facts.service == *service);
    let operations =
        of_it.map(|facts| Operation { name: facts.name.to_string(), span_kind: facts.kind.name() });
    Operations { operations: operations.collect() }
}

/// The traces that a query asks for, newest first.
pub(super) fn find(store: &mut Store, query: &str) -> Result<Found, Refusal> {
    let filter = Filter::from_jaeger_query(query).map_err(bad)?;
    let found = filter.matches(store);
    let spans = found.iter().take(filter.limit()).flat_map(|(_, trace)| trace::messages(trace));
    Ok(Found { result: TracesData { resource_spans: spans.collect() } })
}

/// The trace with this id.
pub(super) fn get(store: &Store, id: TraceId) -> Result<Found, Refusal> {
    let trace = store.trace(id).ok_or_else(|| not_kept(id))?;
    Ok(Found { result: TracesData { resource_spans: trace::messages(trace) } })
}
