//! What a list says of a trace.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{Facts, Kind};
use crate::trace::{SpanId, TraceId};

/// A trace in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub id: TraceId,
    /// When its first span began, in nanoseconds since the Unix epoch.
    pub start: u64,
    /// From the first beginning to the last end, in nanoseconds.
    pub duration: u64,
    /// The service of its root, or of its first span where the root is not here.
    pub service: Arc<str>,
    /// The name of that span.
    pub name: Arc<str>,
    /// The route of that span.
    pub route: Option<Arc<str>>,
    /// The kind of that span.
    pub kind: Kind,
    /// Whether that span tells of a connection, and not of a request.
    pub is_connection: bool,
    /// The tenant of that span, else the first tenant that any span has.
    pub tenant: Option<Arc<str>>,
    /// How many spans are here.
    pub spans: usize,
    /// How many of them are errors.
    pub errors: usize,
    /// Its services and how many spans each has, by name.
    pub services: Vec<(Arc<str>, usize)>,
    /// Whether its root and every parent that a span names are here.
    pub is_complete: bool,
}

impl Summary {
    /// The summary of these spans, to which `not_kept` more belong; `None` without any.
    #[must_use]
    pub fn of(facts: &[&Facts], not_kept: u64) -> Option<Self> {
        let ids: HashSet<SpanId> = facts.iter().map(|f| f.span_id).collect();
        let first = facts.iter().min_by_key(|f| (f.parent.is_some(), f.start, f.span_id))?;
        let start = facts.iter().map(|f| f.start).min().unwrap_or_default();
        let end = facts.iter().map(|f| f.end).max().unwrap_or_default();
        let mut services: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for fact in facts {
            *services.entry(&fact.service).or_default() += 1;
        }
        let tenant = facts.iter().filter(|f| f.tenant.is_some()).min_by_key(|f| f.start);
        let parents_are_here =
            facts.iter().all(|f| f.parent.is_none_or(|parent| ids.contains(&parent)));
        Some(Self {
            id: first.trace_id,
            start,
            duration: end.saturating_sub(start),
            service: Arc::clone(&first.service),
            name: Arc::clone(&first.name),
            route: first.route.clone(),
            kind: first.kind,
            is_connection: first.is_connection,
            tenant: first.tenant.clone().or_else(|| tenant.and_then(|f| f.tenant.clone())),
            spans: facts.len(),
            errors: facts.iter().filter(|f| f.is_error).count(),
            services: services.into_iter().map(|(name, spans)| (Arc::clone(name), spans)).collect(),
            is_complete: not_kept == 0 && parents_are_here && first.parent.is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::trace;
    use super::*;

    #[test]
    fn a_trace_is_told_by_its_root_in_whatever_order_it_came() {
        let shop = trace(
            "gateway server 0..100 GET /checkout route=/checkout
               gateway client 10..90
                 orders server 15..130 POST /orders tenant=acme error",
        );
        let summary = Summary::of(&shop.facts(), 0).unwrap();
        assert_eq!(summary, Summary::of(&shop.reversed().facts(), 0).unwrap());
        assert_eq!((&*summary.service, &*summary.name), ("gateway", "GET /checkout"));
        assert_eq!(summary.route.as_deref(), Some("/checkout"));
        assert_eq!(summary.tenant.as_deref(), Some("acme"), "a span below the root names it");
        assert_eq!((summary.spans, summary.errors, summary.duration), (3, 1, 130_000_000));
        let services: Vec<_> = summary.services.iter().map(|(s, n)| (&**s, *n)).collect();
        assert_eq!(services, [("gateway", 2), ("orders", 1)]);
        assert!(summary.is_complete);
        assert!(!Summary::of(&shop.facts(), 1).unwrap().is_complete);
    }

    #[test]
    fn a_trace_without_its_root_is_told_by_its_first_span() {
        let cut =
            trace("b server 20..30 second id=2 parent=9\na server 10..40 first id=3 parent=9");
        let summary = Summary::of(&cut.facts(), 0).unwrap();
        assert_eq!((&*summary.service, &*summary.name), ("a", "first"));
        assert!(!summary.is_complete);
    }
}
