//! The inbound requests that the application is working on, by trace.
//!
//! An outbound call that carries the context of one of them is joined to it, and so to its
//! tenant. An entry lives exactly as long as its request: the guard that `enter` gives ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::trace::TraceId;
use crate::trace::tenant::TenantId;

/// The requests in flight of all workers.
///
/// Each worker writes to a table of its own, whose lock nobody else wants, unless an outbound
/// call comes on another worker than its inbound request.
#[derive(Clone, Debug)]
pub struct InFlight {
    tables: Arc<[Mutex<Table>]>,
    /// The table of the worker that holds this handle.
    own: usize,
}

type Table = HashMap<TraceId, Entry>;

/// What is known of the requests of one trace.
#[derive(Clone, Debug)]
struct Entry {
    requests: usize,
    tenant: Option<TenantId>,
    /// Whether requests of several tenants share the trace, so that none can be told.
    is_mixed: bool,
}

/// Ends a request's entry when it is dropped.
#[derive(Debug)]
pub struct Entered {
    table: InFlight,
    trace_id: TraceId,
}

/// What an outbound call is joined to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The tenant of the inbound request, where that is certain.
    pub tenant: Option<TenantId>,
}

impl InFlight {
    /// One handle for each of so many workers.
    #[must_use]
    pub fn handles(workers: usize) -> Vec<Self> {
        let tables: Arc<[_]> = (0..workers).map(|_| Mutex::default()).collect();
        (0..workers).map(|own| Self { tables: Arc::clone(&tables), own }).collect()
    }

    /// Notes that the application is working on a request.
    #[must_use]
    pub fn enter(&self, trace_id: TraceId, tenant: Option<&TenantId>) -> Entered {
        self.with_own(|table| {
            let fresh = || Entry { requests: 0, tenant: tenant.cloned(), is_mixed: false };
            let entry = table.entry(trace_id).or_insert_with(fresh);
            entry.requests += 1;
            entry.is_mixed |= entry.tenant.as_ref() != tenant;
        });
        Entered { table: self.clone(), trace_id }
    }

    /// The inbound request of this trace, if the application is working on one.
    #[must_use]
    pub fn find(&self, trace_id: TraceId) -> Option<Joined> {
        let (before, after) = self.tables.split_at(self.own);
        let mut found: Option<Entry> = None;
        for table in after.iter().chain(before) {
            let table = table.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(entry) = table.get(&trace_id) else { continue };
            match &mut found {
                None => found = Some(entry.clone()),
                Some(first) => first.is_mixed |= first.tenant != entry.tenant || entry.is_mixed,
            }
        }
        found.map(|entry| Joined { tenant: entry.tenant.filter(|_| !entry.is_mixed) })
    }

    fn with_own(&self, change: impl FnOnce(&mut Table)) {
        if let Some(table) = self.tables.get(self.own) {
            change(&mut table.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.table.with_own(|table| {
            if let Some(entry) = table.get_mut(&self.trace_id) {
                entry.requests -= 1;
                if entry.requests == 0 {
                    table.remove(&self.trace_id);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::IdGenerator;

    fn tenant(name: &str) -> Option<TenantId> {
        TenantId::parse(name.as_bytes(), 64)
    }

    #[test]
    fn a_request_is_found_by_every_worker_until_it_ends() {
        let trace_id = IdGenerator::from_seed([1; 32]).trace_id();
        let [one, two]: [InFlight; 2] = InFlight::handles(2).try_into().unwrap();
        let entered = one.enter(trace_id, tenant("acme").as_ref());
        for worker in [&one, &two] {
            assert_eq!(worker.find(trace_id), Some(Joined { tenant: tenant("acme") }));
        }
        drop(entered);
        assert_eq!(one.find(trace_id), None);
    }

    #[test]
    fn a_trace_of_several_tenants_tells_none() {
        let trace_id = IdGenerator::from_seed([1; 32]).trace_id();
        let [one, two]: [InFlight; 2] = InFlight::handles(2).try_into().unwrap();
        let first = one.enter(trace_id, tenant("acme").as_ref());
        let _second = one.enter(trace_id, tenant("other").as_ref());
        assert_eq!(one.find(trace_id), Some(Joined { tenant: None }));
        drop(first);
        let [same, elsewhere] =
            [one.enter(trace_id, tenant("other").as_ref()), two.enter(trace_id, None)];
        assert_eq!(two.find(trace_id), Some(Joined { tenant: None }));
        drop((same, elsewhere));
    }
}
