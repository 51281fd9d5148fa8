//! The list of traces, and what can be asked of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use super::{Refusal, bad};
use crate::analysis::report::Line;
use crate::view::Addresses;
use crate::view::search::Filter;
use crate::view::store::Store;

/// The most values of one kind that are offered to choose from.
const MAX_VALUES: usize = 500;

/// The traces that match, and what is kept in all.
#[derive(Debug, Serialize)]
pub(super) struct List {
    kept: Kept,
    matched: usize,
    traces: Vec<Line>,
    facets: Facets,
    receivers: Receivers,
}

/// Where spans are taken.
#[derive(Debug, Serialize)]
struct Receivers {
    http: SocketAddr,
    grpc: SocketAddr,
}

#[derive(Debug, Serialize)]
struct Kept {
    traces: usize,
    spans: u64,
    bytes: usize,
    limit_bytes: usize,
    evicted_traces: u64,
    received_spans: u64,
    refused_spans: u64,
}

/// What occurs in the kept traces.
#[derive(Debug, Default, Serialize)]
struct Facets {
    services: BTreeSet<Arc<str>>,
    routes: BTreeSet<Arc<str>>,
    tenants: BTreeSet<Arc<str>>,
}

/// The traces that a query asks for, newest first.
pub(super) fn list(store: &mut Store, addresses: Addresses, query: &str) -> Result<List, Refusal> {
    let filter = Filter::from_query(query).map_err(bad)?;
    let found = filter.matches(store);
    let matched = found.len();
    let receivers = Receivers { http: addresses.http, grpc: addresses.grpc };
    let traces =
        found.iter().take(filter.limit()).map(|(summary, _)| Line::from(&**summary)).collect();
    Ok(List { kept: kept(store), matched, traces, facets: facets(store), receivers })
}

fn kept(store: &Store) -> Kept {
    let (counts, (bytes, limit_bytes)) = (store.counts(), store.bytes());
    Kept {
        traces: store.len(),
        spans: counts.spans,
        bytes,
        limit_bytes,
        evicted_traces: counts.evicted_traces,
        received_spans: counts.received,
        refused_spans: counts.refused,
    }
}

fn facets(store: &Store) -> Facets {
    let mut facets = Facets::default();
    let offer = |values: &mut BTreeSet<Arc<str>>, value: &Arc<str>| {
        if !values.contains(value) && values.len() < MAX_VALUES {
            values.insert(Arc::clone(value));
        }
    };
    for fact in store.traces().flat_map(|trace| trace.spans()).map(|stored| &stored.facts) {
        offer(&mut facets.services, &fact.service);
        fact.route.iter().for_each(|route| offer(&mut facets.routes, route));
        fact.tenant.iter().for_each(|tenant| offer(&mut facets.tenants, tenant));
    }
    facets
}
