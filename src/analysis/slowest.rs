//! Which hop held up many traces for longest. Streams and connections are left out: they take the
//! time they take.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::graph::nearest_rank;
use super::path::Times;
use super::tree::Tree;
use super::verdict::Verdict;
use super::{Facts, words};

/// What is known so far of who held up traces.
#[derive(Clone, Debug, Default)]
pub struct Slowest {
    traces: usize,
    /// The times for which a hop was what its trace waited for most, by service and span name.
    hops: BTreeMap<(Arc<str>, Arc<str>), Vec<u64>>,
}

impl Slowest {
    /// Adds a trace.
    pub fn add(&mut self, facts: &[&Facts]) {
        self.traces += 1;
        let tree = Tree::of(facts);
        let Some(verdict) = Verdict::of(&tree, &Times::of(&tree), facts) else { return };
        if let Some(span) = facts.get(verdict.span).filter(|_| !verdict.is_stream) {
            let hop = (Arc::clone(&span.service), Arc::clone(&span.name));
            self.hops.entry(hop).or_default().push(verdict.time);
        }
    }

    /// The hop that traces waited for longest in all, in words; `None` while there are none.
    #[must_use]
    pub fn words(mut self) -> Option<String> {
        let total = |times: &Vec<u64>| times.iter().fold(0_u64, |sum, t| sum.saturating_add(*t));
        let (hop, times) = self.hops.iter_mut().max_by_key(|(_, times)| total(times))?;
        times.sort_unstable();
        let (service, name) = (words::name(&hop.0), words::name(&hop.1));
        let traces = words::count(self.traces as u64, "trace");
        let slowest = words::duration(nearest_rank(times, 99));
        Some(format!(
            "{service}, `{name}`: {} of {traces} waited for it most, for up to {slowest}",
            times.len(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::trace;
    use super::*;

    #[test]
    fn the_hop_with_most_time_in_all_is_named() {
        let mut slowest = Slowest::default();
        for _ in 0..3 {
            slowest.add(&trace("gateway server 0..5 GET").facts());
        }
        slowest.add(&trace("gateway server 0..460 GET\n  payment server 10..450 charge").facts());
        let words = slowest.words().unwrap();
        assert!(words.starts_with("payment, `charge`: 1 of 4 traces"), "{words}");
        assert!(words.ends_with("440 ms"), "{words}");
    }

    #[test]
    fn a_connection_that_was_open_for_an_hour_held_nobody_up() {
        let mut slowest = Slowest::default();
        slowest.add(&trace("shop client 0..3600000 connection peer=db:5432 TCP").facts());
        slowest.add(&trace("shop server 0..3600000 connection TCP").facts());
        slowest.add(&trace("gateway server 0..5 GET").facts());
        let words = slowest.words().unwrap();
        assert!(words.starts_with("gateway, `GET`: 1 of 3 traces"), "{words}");
    }

    #[test]
    fn without_traces_none_is_named() {
        assert_eq!(Slowest::default().words(), None);
    }
}
