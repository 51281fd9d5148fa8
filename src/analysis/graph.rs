//! Which service called which, how often, and how it went, over any number of traces.
//!
//! Calls are counted by the parentage of spans, so that a service's own nesting of an incoming
//! and an outgoing span is no call of itself. What a call costs is told by its caller where it
//! can be, as that includes the network. The numbers are exact: every duration is kept until the
//! end, so that the memory is bounded by what is added. A connection that carries something else
//! than HTTP counts as a call, and how long it was open as nothing: beside requests of
//! milliseconds, the hours of a pool's connection would be all that one sees.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::calls::Calls;
use super::tree::Tree;
use super::{Facts, Kind, at};

/// The services and the calls between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The services, by name.
    pub services: Vec<Service>,
    /// The calls, by the names of both ends.
    pub edges: Vec<Edge>,
}

/// A service, or what only its callers tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name; of what is not traced, the peer that the callers name.
    pub name: Arc<str>,
    /// Whether there is a span of it.
    pub is_traced: bool,
    /// The requests and connections that came in, as it tells itself; none where it is not traced.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// The median of their durations, in nanoseconds; 0 without any.
    pub p50: u64,
    /// What 99 of 100 of them did not exceed, in nanoseconds; 0 without any.
    pub p99: u64,
}

/// The calls of one service to another, or to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The service that called.
    pub from: Arc<str>,
    /// The service that was called.
    pub to: Arc<str>,
    /// How often; each attempt counts, and each connection.
    pub calls: u64,
    /// The calls that failed.
    pub errors: u64,
    /// The median of their durations, in nanoseconds; 0 where all are connections.
    pub p50: u64,
    /// What 99 of 100 of them did not exceed, in nanoseconds; 0 where all are connections.
    pub p99: u64,
}

/// A graph while traces are added to it.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    services: BTreeMap<Arc<str>, Samples>,
    edges: BTreeMap<(Arc<str>, Arc<str>), Samples>,
    /// Calls whose other side is not here, by the caller and the peer.
    unanswered: HashMap<(Arc<str>, Arc<str>), Samples>,
    /// The service that calls to a peer reached; `None` where it was not always the same.
    reached: HashMap<Arc<str>, Option<Arc<str>>>,
}

/// What was measured of some requests.
#[derive(Clone, Debug, Default)]
struct Samples {
    errors: u64,
    /// Those whose duration does not count.
    connections: u64,
    durations: Vec<u64>,
}

impl Builder {
    /// Adds the spans of one trace.
    pub fn add(&mut self, facts: &[&Facts]) {
        self.add_tree(&Tree::of(facts), facts);
    }

    /// Adds the spans of one trace, whose tree is known.
    pub fn add_tree(&mut self, tree: &Tree, facts: &[&Facts]) {
        let calls = Calls::of(tree, facts);
        for (span, this) in facts.iter().enumerate() {
            if !self.services.contains_key(&this.service) {
                self.services.insert(Arc::clone(&this.service), Samples::default());
            }
            if at(&calls.is_request, span) {
                self.add_request(this, at(&calls.caller, span).and_then(|c| facts.get(c).copied()));
            }
            // Without a peer there is nothing that could be drawn.
            if let Some(peer) = this.peer.as_ref().filter(|_| at(&calls.is_unanswered, span)) {
                let ends = (Arc::clone(&this.service), Arc::clone(peer));
                self.unanswered.entry(ends).or_default().add(this);
            }
        }
    }

    fn add_request(&mut self, this: &Facts, caller: Option<&Facts>) {
        self.services.entry(Arc::clone(&this.service)).or_default().add(this);
        let Some(caller) = caller else { return };
        let measured = if caller.kind == Kind::Client { caller } else { this };
        let ends = (Arc::clone(&caller.service), Arc::clone(&this.service));
        self.edges.entry(ends).or_default().add(measured);
        if let Some(peer) = caller.peer.as_ref().filter(|_| caller.kind.goes_out()) {
            let service = || Some(Arc::clone(&this.service));
            let reached = self.reached.entry(Arc::clone(peer)).or_insert_with(service);
            if reached.as_ref().is_some_and(|r| *r != this.service) {
                *reached = None;
            }
        }
    }

    /// The caller and the callee of each call of one trace, as the graph of everything that was
    /// added so far names them.
    #[must_use]
    pub fn ends(&self, facts: &[&Facts]) -> Vec<(Arc<str>, Arc<str>)> {
        let calls = Calls::of(&Tree::of(facts), facts);
        let ends = facts.iter().enumerate().filter_map(|(span, this)| {
            if let Some(caller) = at(&calls.caller, span).and_then(|c| facts.get(c)) {
                return Some((Arc::clone(&caller.service), Arc::clone(&this.service)));
            }
            let peer = this.peer.as_ref().filter(|_| at(&calls.is_unanswered, span))?;
            Some((Arc::clone(&this.service), self.callee(peer)))
        });
        ends.collect()
    }

    /// The service that answers as a peer, or the peer where that is not known.
    fn callee(&self, peer: &Arc<str>) -> Arc<str> {
        self.reached.get(peer).and_then(Option::as_ref).map_or_else(|| Arc::clone(peer), Arc::clone)
    }

    /// The graph of everything that was added.
    #[must_use]
    pub fn finish(mut self) -> Graph {
        for ((from, peer), samples) in std::mem::take(&mut self.unanswered) {
            let to = self.callee(&peer);
            self.edges.entry((from, to)).or_default().merge(samples);
        }
        let mut services: BTreeMap<Arc<str>, Service> = BTreeMap::new();
        for (name, samples) in self.services {
            services.insert(Arc::clone(&name), samples.service(name, true));
        }
        for (_, name) in self.edges.keys() {
            let untraced = || Samples::default().service(Arc::clone(name), false);
            services.entry(Arc::clone(name)).or_insert_with(untraced);
        }
        Graph {
            services: services.into_values().collect(),
            edges: self.edges.into_iter().map(|(ends, samples)| samples.edge(ends)).collect(),
        }
    }
}

impl Samples {
    fn add(&mut self, measured: &Facts) {
        self.errors += u64::from(measured.is_error);
        if measured.is_connection {
            self.connections += 1;
        } else {
            self.durations.push(measured.duration());
        }
    }

    fn merge(&mut self, other: Self) {
        self.errors += other.errors;
        self.connections += other.connections;
        self.durations.extend(other.durations);
    }

    fn service(mut self, name: Arc<str>, is_traced: bool) -> Service {
        let (requests, errors) = (self.count(), self.errors);
        let [p50, p99] = self.percentiles();
        Service { name, is_traced, requests, errors, p50, p99 }
    }

    fn edge(mut self, (from, to): (Arc<str>, Arc<str>)) -> Edge {
        let (calls, errors) = (self.count(), self.errors);
        let [p50, p99] = self.percentiles();
        Edge { from, to, calls, errors, p50, p99 }
    }

    fn count(&self) -> u64 {
        let timed = self.durations.len().try_into().unwrap_or(u64::MAX);
        self.connections.saturating_add(timed)
    }

    fn percentiles(&mut self) -> [u64; 2] {
        self.durations.sort_unstable();
        [50, 99].map(|percent| nearest_rank(&self.durations, percent))
    }
}

/// The least of the sorted values that `percent` of them do not exceed; 0 without any.
#[must_use]
pub fn nearest_rank(sorted: &[u64], percent: usize) -> u64 {
    let rank = sorted.len().saturating_mul(percent.min(100)).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Trace, any_trace, trace};
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn graph(traces: &[&str]) -> Graph {
        let mut graph = Builder::default();
        for text in traces {
            graph.add(&trace(text).facts());
        }
        graph.finish()
    }

    /// From, to, calls and errors of each edge.
    fn edges(graph: &Graph) -> Vec<(&str, &str, u64, u64)> {
        graph.edges.iter().map(|e| (&*e.from, &*e.to, e.calls, e.errors)).collect()
    }

    /// Name, whether it is traced, requests and errors of each service.
    fn services(graph: &Graph) -> Vec<(&str, bool, u64, u64)> {
        graph.services.iter().map(|s| (&*s.name, s.is_traced, s.requests, s.errors)).collect()
    }

    const SHOP: &str = "gateway server 0..100
           gateway client 5..25 peer=user:80
             user server 6..24
           gateway client 30..90 peer=order:80 error
             order server 31..89 error
               order client 35..55 peer=payment:80
                 payment server 36..54
               order client 60..70 peer=inventory:80 error
               order client 75..85 peer=inventory:80
                 inventory server 76..84";

    #[test]
    fn the_calls_between_five_services_are_counted_one_by_one() {
        let graph = graph(&[SHOP, SHOP]);
        let expected = [
            ("gateway", "order", 2, 2),
            ("gateway", "user", 2, 0),
            ("order", "inventory", 4, 2),
            ("order", "payment", 2, 0),
        ];
        assert_eq!(edges(&graph), expected);
        let expected = [
            ("gateway", true, 2, 0),
            ("inventory", true, 2, 0),
            ("order", true, 2, 2),
            ("payment", true, 2, 0),
            ("user", true, 2, 0),
        ];
        assert_eq!(services(&graph), expected);
        let payment = &graph.edges[3];
        assert_eq!((payment.p50, payment.p99), (20 * MS, 20 * MS), "as the caller measured");
        let payment = &graph.services[3];
        assert_eq!((payment.p50, payment.p99), (18 * MS, 18 * MS), "as the callee measured");
    }

    #[test]
    fn nesting_is_no_call_of_itself_and_a_true_one_is() {
        let nested = graph(&["a server 0..9
               a client 1..8 peer=b
                 b server 2..7"]);
        assert_eq!(edges(&nested), [("a", "b", 1, 0)]);
        let itself = graph(&["a server 0..9
               a client 1..8 peer=a
                 a server 2..7"]);
        assert_eq!(edges(&itself), [("a", "a", 1, 0)]);
    }

    #[test]
    fn layers_of_tracing_in_one_service_count_once() {
        let graph = graph(&["a server 0..100
               a server 1..99
                 a client 2..98 peer=b
                   a client 3..97 peer=b:80
                     b server 4..96
                       b server 5..95"]);
        assert_eq!(edges(&graph), [("a", "b", 1, 0)]);
        assert_eq!(services(&graph), [("a", true, 1, 0), ("b", true, 1, 0)]);
        assert_eq!(graph.edges[0].p50, 94 * MS, "what left the service last");
    }

    #[test]
    fn what_is_told_twice_is_counted_once() {
        let graph = graph(&["a server 0..9
               a client 1..8 id=5 peer=b
                 b server 2..7 id=6
               a client 1..8 id=5 peer=b
                 b server 2..7 id=6"]);
        assert_eq!(edges(&graph), [("a", "b", 1, 0)]);
        assert_eq!(services(&graph), [("a", true, 1, 0), ("b", true, 1, 0)]);
    }

    #[test]
    fn a_peer_that_never_answers_is_a_service_that_is_not_traced() {
        let graph = graph(&["a server 0..9
               a client 1..8 peer=db:5432 error
               a producer 2..3 peer=mails
               a client 2..3"]);
        assert_eq!(edges(&graph), [("a", "db:5432", 1, 1), ("a", "mails", 1, 0)]);
        let expected = [("a", true, 1, 0), ("db:5432", false, 0, 0), ("mails", false, 0, 0)];
        assert_eq!(services(&graph), expected);
    }

    #[test]
    fn a_peer_is_the_service_it_was_elsewhere_unless_it_was_two() {
        let lost = "a client 0..5 peer=b:80 error";
        let found = "a client 0..5 peer=b:80
             b server 1..4";
        let other = "a client 0..5 peer=b:80
             c server 1..4";
        assert_eq!(edges(&graph(&[lost, found])), [("a", "b", 2, 1)]);
        let expected = [("a", "b", 1, 0), ("a", "b:80", 1, 1), ("a", "c", 1, 0)];
        assert_eq!(edges(&graph(&[found, lost, other, found]))[1..], expected[1..]);
        assert_eq!(edges(&graph(&[found, lost, other])), expected);
    }

    #[test]
    fn both_sides_with_one_id_and_messages_are_calls() {
        let graph = graph(&[
            "a client 0..50 id=2
             b server 10..40 id=2 parent=0",
            "a producer 0..1 peer=mails
               c consumer 100..130",
            "a server 0..50
               d server 10..40",
        ]);
        let expected = [("a", "b", 1, 0), ("a", "c", 1, 0), ("a", "d", 1, 0)];
        assert_eq!(edges(&graph), expected);
        let durations: Vec<u64> = graph.edges.iter().map(|e| e.p50 / MS).collect();
        assert_eq!(durations, [50, 30, 30]);
    }

    #[test]
    fn a_connection_is_a_call_whose_hours_are_not_how_long_calls_take() {
        let graph = graph(&[
            "shop server 0..9
               shop client 1..8 peer=db:5432",
            "shop client 0..3600000 connection peer=db:5432 TCP",
            "shop client 0..900 connection peer=smtp:25 error TCP",
            "shop server 0..3600000 connection TCP",
        ]);
        assert_eq!(edges(&graph), [("shop", "db:5432", 2, 0), ("shop", "smtp:25", 1, 1)]);
        let times: Vec<_> = graph.edges.iter().map(|e| (e.p50 / MS, e.p99 / MS)).collect();
        assert_eq!(times, [(7, 7), (0, 0)]);
        let shop = &graph.services[1];
        assert_eq!((shop.requests, shop.p99 / MS), (2, 9));
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!([50, 99, 100, 0].map(|p| nearest_rank(&values, p)), [100, 198, 200, 1]);
        assert_eq!(nearest_rank(&[7], 99), 7);
        assert_eq!(nearest_rank(&[], 50), 0);
    }

    #[test]
    fn nothing_added_is_an_empty_graph() {
        assert_eq!(Builder::default().finish(), Graph::default());
    }

    proptest! {
        #[test]
        fn any_traces_give_a_sorted_graph_whose_ends_exist(
            traces in proptest::collection::vec(any_trace(), 0..4),
        ) {
            let build = |traces: &mut dyn Iterator<Item = &Trace>| {
                let mut graph = Builder::default();
                traces.for_each(|t| graph.add(&t.facts()));
                graph.finish()
            };
            let graph = build(&mut traces.iter());
            prop_assert_eq!(&graph, &build(&mut traces.iter().rev()));
            prop_assert!(graph.services.is_sorted_by(|a, b| a.name < b.name));
            prop_assert!(graph.edges.is_sorted_by(|a, b| (&a.from, &a.to) < (&b.from, &b.to)));
            for edge in &graph.edges {
                for end in [&edge.from, &edge.to] {
                    prop_assert!(graph.services.iter().any(|s| s.name == *end));
                }
                prop_assert!(edge.calls > 0 && edge.errors <= edge.calls && edge.p50 <= edge.p99);
            }
        }
    }
}
