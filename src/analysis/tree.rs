//! The spans of one trace put together, whatever order they came in and whatever is wrong with
//! them.
//!
//! Parents that are not here, spans that are their own ancestors, ids that several spans share,
//! and clocks that do not agree are all facts of life, and each gives a tree. Where Zipkin's
//! tracers give both sides of a call one id, the incoming side is the child of the outgoing one.
//! Nothing here recurses, so that a deep trace costs no stack.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Facts, Kind, at, set};
use crate::trace::SpanId;

/// How far a span may reach out of the call it answers before its clock is blamed, in nanoseconds.
/// Some tracers tell the time in whole milliseconds, and clocks kept by NTP in one network do not
/// agree much better than that.
pub const CLOCK_NOISE: u64 = 1_000_000;

/// The spans of a trace, each known by its place in the facts that the tree was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// One for each span, in the order of the facts.
    pub nodes: Vec<Node>,
    /// The spans without a parent here, by aligned start.
    pub roots: Vec<usize>,
    /// The root that the trace is judged by: of those that name no parent, else of all, the first
    /// to start; of several, the longest. `None` only without spans.
    pub root: Option<usize>,
    /// Every span once, as a waterfall shows them: each before its children, and those by start.
    pub order: Vec<usize>,
    /// How many different parents are named that are not here.
    pub missing_parents: usize,
    /// Whose clocks do not agree, from the root down; each two services once.
    pub skews: Vec<Skew>,
}

/// The place of a span in its trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The span that caused it; `None` at a root.
    pub parent: Option<usize>,
    /// The spans it caused, by aligned start, then by id.
    pub children: Vec<usize>,
    /// How many spans are above it.
    pub depth: usize,
    /// It names a parent that is not here.
    pub is_orphan: bool,
    /// It tells only of a stretch of its parent's time, and takes up none of its own.
    pub is_part: bool,
    /// It is told a second time, word for word, as when an export was repeated.
    pub is_duplicate: bool,
    /// The nanoseconds to add to its times so that its clock agrees with the root's.
    pub shift: i64,
    /// The start with the shift added, in nanoseconds since the Unix epoch.
    pub start: i128,
    /// The end with the shift added, in nanoseconds since the Unix epoch; never before the start.
    pub end: i128,
}

/// Two services whose clocks do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skew {
    /// The service that called.
    pub from: Arc<str>,
    /// The service that was called.
    pub to: Arc<str>,
    /// How far the clock of `to` is ahead of that of `from`, in nanoseconds; negative where it is
    /// behind.
    pub offset: i64,
    /// The span of `to` that shows it.
    pub span: usize,
}

impl Tree {
    /// Puts the spans of one trace together.
    #[must_use]
    pub fn of(facts: &[&Facts]) -> Self {
        let ranked = ranked(facts);
        let mut tree = Self { nodes: vec![Node::default(); facts.len()], ..Self::default() };
        tree.mark_duplicates(facts, &ranked);
        tree.connect(facts, &ranked);
        tree.align(facts);
        tree.sort(facts);
        tree
    }

    /// How long a span took, in nanoseconds.
    #[must_use]
    pub fn duration(&self, span: usize) -> u64 {
        self.nodes.get(span).map_or(0, Node::duration)
    }

    /// The spans that a span caused, by aligned start.
    #[must_use]
    pub fn children(&self, span: usize) -> &[usize] {
        self.nodes.get(span).map(|n| n.children.as_slice()).unwrap_or_default()
    }

    /// The span that caused a span, where it is here.
    #[must_use]
    pub fn parent(&self, span: usize) -> Option<usize> {
        self.nodes.get(span)?.parent
    }

    fn mark_duplicates(&mut self, facts: &[&Facts], ranked: &[usize]) {
        let mut last = None;
        for span in ranked.iter().copied() {
            let this = facts.get(span);
            if let Some(node) = self.nodes.get_mut(span) {
                node.is_duplicate = this.is_some() && this == last;
            }
            last = this;
        }
    }

    /// Finds the parents and the children, and what has none.
    fn connect(&mut self, facts: &[&Facts], ranked: &[usize]) {
        let places = places(facts, ranked);
        let mut missing = HashSet::new();
        let mut parents = vec![None; facts.len()];
        for ((span, this), node) in facts.iter().enumerate().zip(&mut self.nodes) {
            match parent_of(this, facts, &places) {
                Parent::Here(parent) => {
                    set(&mut parents, span, Some(parent));
                    node.is_part = this.is_part;
                }
                Parent::Missing(id) => {
                    missing.insert(id);
                    node.is_orphan = true;
                }
                Parent::Nobody => {}
            }
        }
        self.missing_parents = missing.len();
        cut_cycles(&mut parents, ranked);
        for span in ranked.iter().copied() {
            let parent = at(&parents, span);
            if let Some(node) = self.nodes.get_mut(span) {
                node.parent = parent;
            }
            match parent.and_then(|p| self.nodes.get_mut(p)) {
                Some(parent) => parent.children.push(span),
                None => self.roots.push(span),
            }
        }
        let preference = |span: &usize| {
            let this = facts.get(*span)?;
            Some((this.parent.is_some(), this.start, Reverse(this.end)))
        };
        self.root = self.roots.iter().copied().min_by_key(preference);
    }

    /// Finds the shift of every span, from the roots down.
    fn align(&mut self, facts: &[&Facts]) {
        let mut clocks = Clocks::default();
        let others = self.roots.iter().copied().filter(|r| Some(*r) != self.root);
        let roots: Vec<usize> = self.root.into_iter().chain(others).collect();
        for root in roots {
            let mut waiting = vec![root];
            while let Some(span) = waiting.pop() {
                let Some(this) = facts.get(span) else { continue };
                let parent = self.parent(span).and_then(|p| self.nodes.get(p).zip(facts.get(p)));
                let shift = match parent {
                    Some((node, facts)) => clocks.shift(node, facts, span, this),
                    None => clocks.root(this),
                };
                if let Some(node) = self.nodes.get_mut(span) {
                    node.shift = shift;
                    node.start = i128::from(this.start) + i128::from(shift);
                    node.end = node.start + i128::from(this.duration());
                    waiting.extend(node.children.iter().rev());
                }
            }
        }
        self.skews = clocks.skews;
    }

    /// Sorts by the aligned times, and numbers the depths.
    fn sort(&mut self, facts: &[&Facts]) {
        let keys: Vec<_> =
            self.nodes.iter().zip(facts).map(|(n, f)| Some((n.start, f.span_id))).collect();
        // The sort is stable: what is alike in both stays in the order of `ranked`.
        self.roots.sort_by_key(|span| at(&keys, *span));
        for node in &mut self.nodes {
            node.children.sort_by_key(|span| at(&keys, *span));
        }
        let mut waiting: Vec<(usize, usize)> = self.roots.iter().rev().map(|r| (*r, 0)).collect();
        while let Some((span, depth)) = waiting.pop() {
            self.order.push(span);
            if let Some(node) = self.nodes.get_mut(span) {
                node.depth = depth;
                waiting.extend(node.children.iter().rev().map(|child| (*child, depth + 1)));
            }
        }
    }
}

impl Node {
    /// How long the span took, in nanoseconds.
    #[must_use]
    pub fn duration(&self) -> u64 {
        u64::try_from(self.end - self.start).unwrap_or_default()
    }
}

/// The spans in an order that does not depend on how they arrived.
fn ranked(facts: &[&Facts]) -> Vec<usize> {
    let key = |span: &usize| {
        let f = facts.get(*span)?;
        Some((f.start, f.span_id, f.kind, f.end, &f.service, &f.name, f.parent, f.is_error))
    };
    let mut ranked: Vec<usize> = (0..facts.len()).collect();
    ranked.sort_by(|a, b| key(a).cmp(&key(b)));
    ranked
}

/// Where the spans of one id are: the first of each side, and the first of any.
#[derive(Clone, Copy)]
struct Place {
    outgoing: Option<usize>,
    incoming: Option<usize>,
    first: usize,
}

fn places(facts: &[&Facts], ranked: &[usize]) -> HashMap<SpanId, Place> {
    let mut places: HashMap<SpanId, Place> = HashMap::with_capacity(facts.len());
    for span in ranked.iter().copied() {
        let Some(this) = facts.get(span) else { continue };
        let none = Place { outgoing: None, incoming: None, first: span };
        let place = places.entry(this.span_id).or_insert(none);
        if this.kind.goes_out() {
            place.outgoing.get_or_insert(span);
        } else if this.kind.comes_in() {
            place.incoming.get_or_insert(span);
        }
    }
    places
}

/// What became of the parent that a span names.
enum Parent {
    Here(usize),
    Missing(SpanId),
    Nobody,
}

fn parent_of(this: &Facts, facts: &[&Facts], places: &HashMap<SpanId, Place>) -> Parent {
    let own = places.get(&this.span_id);
    if let Some(caller) = own.and_then(|p| p.outgoing).filter(|_| this.kind.comes_in()) {
        return Parent::Here(caller);
    }
    let Some(id) = this.parent.filter(|id| *id != this.span_id) else { return Parent::Nobody };
    let Some(place) = places.get(&id) else { return Parent::Missing(id) };
    let is_of_this_service = |at: usize| facts.get(at).is_some_and(|f| f.service == this.service);
    Parent::Here(match (place.outgoing, place.incoming) {
        // What a service did is below its own side of the call.
        (Some(out), Some(into)) if is_of_this_service(out) && !is_of_this_service(into) => out,
        (Some(_), Some(into)) => into,
        _ => place.first,
    })
}

/// Makes a root of the first span of every cycle.
fn cut_cycles(parents: &mut [Option<usize>], ranked: &[usize]) {
    let mut ranks = vec![0; ranked.len()];
    for (rank, span) in ranked.iter().enumerate() {
        set(&mut ranks, *span, rank);
    }
    // The walk that came by, so that each span is passed once.
    let mut passed: Vec<Option<usize>> = vec![None; parents.len()];
    for (walk, start) in ranked.iter().copied().enumerate() {
        let mut here = Some(start);
        while let Some(span) = here {
            match at(&passed, span) {
                None => set(&mut passed, span, Some(walk)),
                Some(by) if by == walk => {
                    let first = first_of_cycle(span, parents, &ranks);
                    set(parents, first, None);
                    break;
                }
                Some(_) => break,
            }
            here = at(parents, span);
        }
    }
}

fn first_of_cycle(start: usize, parents: &[Option<usize>], ranks: &[usize]) -> usize {
    let mut first = start;
    let mut here = at(parents, start);
    while let Some(span) = here.filter(|span| *span != start) {
        if at(ranks, span) < at(ranks, first) {
            first = span;
        }
        here = at(parents, span);
    }
    first
}

/// What is known of the clocks so far.
#[derive(Default)]
struct Clocks<'a> {
    /// The shift of a service, as the first span that told it.
    known: HashMap<&'a str, i64>,
    /// The pairs of services that a skew is already told of.
    told: HashSet<(&'a str, &'a str)>,
    skews: Vec<Skew>,
}

impl<'a> Clocks<'a> {
    fn root(&mut self, this: &'a Facts) -> i64 {
        *self.known.entry(&this.service).or_insert(0)
    }

    /// The shift of the span `this` below `parent`.
    fn shift(&mut self, parent: &Node, caller: &'a Facts, span: usize, this: &'a Facts) -> i64 {
        if this.service == caller.service {
            return parent.shift;
        }
        let usual = self.known.get(&*this.service).copied().unwrap_or(parent.shift);
        if !is_answer(caller, this) {
            return usual;
        }
        let candidates = [usual, parent.shift, 0];
        let fitting = candidates.into_iter().find(|s| !is_outside(parent, caller, this, *s));
        let shift = match fitting {
            Some(shift) => shift,
            None if this.duration() > parent.duration() => usual,
            None => centred(parent, this),
        };
        self.known.entry(&this.service).or_insert(shift);
        self.note(parent.shift.saturating_sub(shift), caller, span, this);
        shift
    }

    fn note(&mut self, offset: i64, caller: &'a Facts, span: usize, this: &'a Facts) {
        let (from, to) = (&*caller.service, &*this.service);
        if offset != 0 && !self.told.contains(&(to, from)) && self.told.insert((from, to)) {
            let (from, to) = (Arc::clone(&caller.service), Arc::clone(&this.service));
            self.skews.push(Skew { from, to, offset, span });
        }
    }
}

/// Whether `this` answers a call that its caller waits for, so that it must lie within.
fn is_answer(caller: &Facts, this: &Facts) -> bool {
    caller.kind == Kind::Client && this.kind.comes_in()
}

/// Whether a span with that shift reaches out of the call it answers further than clocks explain.
fn is_outside(parent: &Node, caller: &Facts, this: &Facts, shift: i64) -> bool {
    let start = i128::from(this.start) + i128::from(shift);
    let end = start + i128::from(this.duration());
    let is_apart = end < parent.start || start > parent.end;
    let early = parent.start - start >= i128::from(CLOCK_NOISE);
    let late = end - parent.end >= i128::from(CLOCK_NOISE);
    // A caller that gave up does not see the end of the work it asked for.
    let gave_up = caller.is_error && !this.is_error && !is_apart;
    is_apart || early || late && !gave_up
}

/// The shift with which a span lies in the middle of the call it answers, as long there as back.
fn centred(parent: &Node, this: &Facts) -> i64 {
    let spare = i128::from(parent.duration()) - i128::from(this.duration());
    let shift = parent.start + spare / 2 - i128::from(this.start);
    let most = i128::from(i64::MAX);
    i64::try_from(shift.clamp(-most, most)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Trace, any_trace, trace};
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn tree(trace: &Trace) -> Tree {
        Tree::of(&trace.facts())
    }

    /// The services in waterfall order, each indented by its depth.
    fn drawn(trace: &Trace) -> Vec<String> {
        let (tree, facts) = (tree(trace), trace.facts());
        let line = |s: &usize| {
            let depth = tree.nodes[*s].depth;
            format!("{}{} {}", " ".repeat(depth), facts[*s].service, facts[*s].kind.name())
        };
        tree.order.iter().map(line).collect()
    }

    fn offsets(tree: &Tree) -> Vec<(&str, &str, i64)> {
        tree.skews.iter().map(|s| (&*s.from, &*s.to, s.offset)).collect()
    }

    #[test]
    fn spans_find_their_places_in_whatever_order_they_come() {
        let chain = trace(
            "gateway server 0..512
               gateway client 1..511
                 order server 2..510
                   order client 4..6
                   order client 3..5",
        );
        let expected = [
            "gateway server",
            " gateway client",
            "  order server",
            "   order client",
            "   order client",
        ];
        assert_eq!(drawn(&chain), expected);
        assert_eq!(drawn(&chain.reversed()), expected);
        let tree = tree(&chain);
        assert_eq!(tree.order, [0, 1, 2, 4, 3], "siblings go by start");
        assert_eq!((tree.root, tree.missing_parents), (Some(0), 0));
    }

    #[test]
    fn nothing_at_all_is_an_empty_tree() {
        assert_eq!(Tree::of(&[]), Tree::default());
    }

    #[test]
    fn a_parent_that_is_not_here_is_counted_once() {
        let orphans = trace(
            "order server 5..10 parent=77
             order server 6..10 parent=77
             user server 7..10 parent=78
             gateway server 8..9 parent=0",
        );
        let tree = tree(&orphans);
        assert_eq!(tree.missing_parents, 2);
        let marked: Vec<bool> = tree.nodes.iter().map(|n| n.is_orphan).collect();
        assert_eq!(marked, [true, true, true, false]);
        assert_eq!(tree.roots, [0, 1, 2, 3]);
        assert_eq!(tree.root, Some(3), "a span that names no parent is the root");
    }

    #[test]
    fn a_cycle_is_cut_at_its_first_span() {
        let cycle = trace(
            "a internal 3..4 id=1 parent=3
             b internal 1..9 id=2 parent=1
             c internal 2..9 id=3 parent=2
             d internal 0..9 id=4 parent=1",
        );
        for cycle in [cycle.reversed(), cycle] {
            assert_eq!(
                drawn(&cycle),
                ["b internal", " c internal", "  a internal", "   d internal"]
            );
        }
    }

    #[test]
    fn a_span_that_is_its_own_parent_is_a_root() {
        let tree = tree(&trace("a server 0..1 id=1 parent=1"));
        assert_eq!((tree.roots, tree.missing_parents), (vec![0], 0));
    }

    #[test]
    fn one_id_for_both_sides_of_a_call_is_taken_apart() {
        let shared = trace(
            "a server 0..100 id=1
             a client 10..90 id=2 parent=1
             b server 20..80 id=2 parent=1
             b internal 30..40 id=3 parent=2
             a internal 11..12 id=4 parent=2",
        );
        let expected = ["a server", " a client", "  a internal", "  b server", "   b internal"];
        assert_eq!(drawn(&shared), expected);
        assert_eq!(drawn(&shared.reversed()), expected);
    }

    #[test]
    fn a_span_told_twice_is_marked_and_an_attempt_made_twice_is_not() {
        let twice = trace(
            "a server 0..100
               b server 1..2 id=2
               b server 1..2 id=2
               b server 3..4 id=2",
        );
        let marked = tree(&twice).nodes.iter().filter(|n| n.is_duplicate).count();
        assert_eq!(marked, 1);
    }

    #[test]
    fn clocks_that_are_behind_or_ahead_are_aligned() {
        for offset in [-3_200, 3_200, -7, 7] {
            let skewed = trace(&format!(
                "gateway server 0..100
                   gateway client 10..30
                     user server {}..{}
                       user internal {}..{}",
                12 + offset,
                28 + offset,
                14 + offset,
                15 + offset
            ));
            let tree = tree(&skewed);
            assert_eq!(offsets(&tree), [("gateway", "user", offset * MS)]);
            let shifts: Vec<i64> = tree.nodes.iter().map(|n| n.shift).collect();
            assert_eq!(shifts, [0, 0, -offset * MS, -offset * MS]);
        }
    }

    #[test]
    fn what_is_asynchronous_or_longer_or_noise_is_no_skew() {
        for innocent in [
            "a producer 0..1
               b consumer 50..60",
            "a server 0..10
               a internal 5..50",
            "a client 0..10
               b server 5..50",
            "a server 0..10
               b server 50..51",
            "a client 10..20
               b server 9.5..19",
            "a client 0..100 error
               b server 60..140",
        ] {
            let tree = tree(&trace(innocent));
            assert!(tree.skews.is_empty(), "{innocent}");
            assert!(tree.nodes.iter().all(|n| n.shift == 0), "{innocent}");
        }
    }

    #[test]
    fn calls_shorter_than_the_noise_still_lie_within_each_other() {
        let tree = tree(&trace(
            "a client 0..0.2
               b server 0.5..0.6",
        ));
        assert_eq!(offsets(&tree), [("a", "b", 450_000)]);
    }

    #[test]
    fn a_service_has_one_clock_in_a_trace() {
        // The second call of user would fit as it is, and the call back to gateway without shift.
        let tree = tree(&trace(
            "gateway server 0..200
               gateway client 10..30
                 user server 7..23
                   user client 8..20
                     gateway server 15..19
               gateway client 50..90
                 user server 60..62",
        ));
        assert_eq!(offsets(&tree), [("gateway", "user", -5 * MS)]);
        let shifts: Vec<i64> = tree.nodes.iter().map(|n| n.shift / MS).collect();
        assert_eq!(shifts, [0, 0, 5, 5, 0, 0, 5]);
    }

    #[test]
    fn a_chain_of_ten_thousand_and_a_fan_of_a_hundred_thousand_are_put_together() {
        let mut deep = trace("a server 0..100 id=1");
        for id in 2..=10_000 {
            deep.add("a internal 0..100", id, Some(id - 1));
        }
        assert_eq!(tree(&deep).nodes.iter().map(|n| n.depth).max(), Some(9_999));
        let mut wide = trace("a server 0..100 id=1");
        for id in 2..=100_000 {
            wide.add("a client 0..100", id, Some(1));
        }
        assert_eq!(tree(&wide).children(0).len(), 99_999);
    }

    proptest! {
        #[test]
        fn any_spans_give_a_whole_tree(spans in any_trace()) {
            let tree = tree(&spans);
            let mut order = tree.order.clone();
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..spans.facts().len()), "each span once");
            for (span, node) in tree.nodes.iter().enumerate() {
                prop_assert_eq!(node.parent.is_none(), tree.roots.contains(&span));
                prop_assert_eq!(node.duration(), spans.facts()[span].duration());
                for child in &node.children {
                    prop_assert_eq!(tree.parent(*child), Some(span));
                    prop_assert_eq!(tree.nodes[*child].depth, node.depth + 1);
                }
            }
        }

        #[test]
        fn the_order_of_arrival_does_not_matter(spans in any_trace()) {
            let reversed = spans.reversed();
            let told = |trace: &Trace| {
                let tree = tree(trace);
                let facts = trace.facts();
                let line = |s: &usize| (facts[*s].clone(), tree.nodes[*s].depth, tree.nodes[*s].shift);
                tree.order.iter().map(line).collect::<Vec<_>>()
            };
            prop_assert_eq!(told(&spans), told(&reversed));
        }
    }
}
