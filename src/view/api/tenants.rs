//! What each tenant has of the traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::{Refusal, bad, share};
use crate::analysis::graph::nearest_rank;
use crate::analysis::report::micros;
use crate::view::search::Filter;
use crate::view::store::Store;

/// Every tenant.
#[derive(Debug, Serialize)]
pub(super) struct List {
    tenants: Vec<Tenant>,
}

#[derive(Debug, Serialize)]
struct Tenant {
    tenant: Option<Arc<str>>,
    traces: u64,
    requests: u64,
    errors: u64,
    error_share: f64,
    p50_us: f64,
    p99_us: f64,
    services: BTreeSet<Arc<str>>,
    last_us: u64,
}

/// What is gathered of a tenant: one request a trace, the one that began it.
#[derive(Debug, Default)]
struct Sums {
    errors: u64,
    durations: Vec<u64>,
    services: BTreeSet<Arc<str>>,
    last: u64,
}

/// The tenants of the traces that a query asks for, the busiest first.
pub(super) fn list(store: &mut Store, query: &str) -> Result<List, Refusal> {
    let filter = Filter::from_query(query).map_err(bad)?;
    let mut by_tenant: BTreeMap<Option<Arc<str>>, Sums> = BTreeMap::new();
    // Of a connection nobody knows whose requests it carries.
    let all = filter.matches(store);
    for (summary, _) in all.into_iter().filter(|(summary, _)| !summary.is_connection) {
        let sums = by_tenant.entry(summary.tenant.clone()).or_default();
        sums.errors += u64::from(summary.errors > 0);
        sums.durations.push(summary.duration);
        sums.services.extend(summary.services.iter().map(|(name, _)| Arc::clone(name)));
        sums.last = sums.last.max(summary.start + summary.duration);
    }
    let mut tenants: Vec<Tenant> = by_tenant.into_iter().map(tenant).collect();
    tenants.sort_by_key(|tenant| std::cmp::Reverse(tenant.requests));
    Ok(List { tenants })
}

fn tenant((tenant, mut sums): (Option<Arc<str>>, Sums)) -> Tenant {
    sums.durations.sort_unstable();
    let requests = sums.durations.len() as u64;
    Tenant {
        tenant,
        traces: requests,
        requests,
        errors: sums.errors,
        error_share: share(sums.errors, requests),
        p50_us: micros(nearest_rank(&sums.durations, 50)),
        p99_us: micros(nearest_rank(&sums.durations, 99)),
        services: sums.services,
        last_us: sums.last / 1_000,
    }
}
