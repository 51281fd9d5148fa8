//! Where the time of a trace went: what each span did itself, and what the whole waited for.
//!
//! Both are told on the aligned time line, and a child counts only where it lies within its
//! parent, as nobody waits for what goes on after the answer. The critical path is walked
//! backwards from the end of the root: at each point the span that was running last is what had
//! to finish, down to where it started; there the walk goes on with what had ended before.

use std::cmp::Reverse;

use super::tree::Tree;
use super::{at, set};

/// Where the time went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// For each span, the nanoseconds during which none of its children ran.
    pub self_time: Vec<u64>,
    /// The critical path of [`Tree::root`], in the order of time, without gaps or overlaps. It is
    /// as long as the root, unless that took more than the 292 years that an `i64` holds.
    pub critical: Vec<Segment>,
    /// For each span, the nanoseconds that it is on the critical path.
    pub critical_time: Vec<u64>,
}

/// A stretch of the critical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The span that the whole waited for.
    pub span: usize,
    /// The start, in nanoseconds after the aligned start of the root.
    pub from: i64,
    /// The end, in nanoseconds after the aligned start of the root; always after the start.
    pub to: i64,
}

/// A stretch of the aligned time line.
#[derive(Clone, Copy)]
struct Window {
    start: i128,
    end: i128,
}

impl Times {
    /// Finds where the time of a trace went.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let critical = critical(tree);
        let mut critical_time = vec![0; tree.nodes.len()];
        for segment in &critical {
            let time = at(&critical_time, segment.span) + segment.duration();
            set(&mut critical_time, segment.span, time);
        }
        let self_time = (0..tree.nodes.len()).map(|span| self_time(tree, span)).collect();
        Self { self_time, critical, critical_time }
    }
}

impl Segment {
    /// How long the stretch is, in nanoseconds.
    #[must_use]
    pub const fn duration(&self) -> u64 {
        self.from.abs_diff(self.to)
    }
}

impl Window {
    /// The part of a span that lies in the window; `None` where it is empty, or is told already.
    fn part(self, tree: &Tree, span: usize) -> Option<Self> {
        let node = tree.nodes.get(span).filter(|node| !node.is_part)?;
        let part = Self { start: node.start.max(self.start), end: node.end.min(self.end) };
        (part.start < part.end).then_some(part)
    }
}

fn self_time(tree: &Tree, span: usize) -> u64 {
    let Some(node) = tree.nodes.get(span).filter(|node| !node.is_part) else { return 0 };
    let whole = Window { start: node.start, end: node.end };
    let mut covered = 0;
    let mut reached = whole.start;
    // The children come by start.
    for part in node.children.iter().filter_map(|child| whole.part(tree, *child)) {
        covered += (part.end - part.start.max(reached)).max(0);
        reached = reached.max(part.end);
    }
    u64::try_from(whole.end - whole.start - covered).unwrap_or_default()
}

fn critical(tree: &Tree) -> Vec<Segment> {
    let Some((root, node)) = tree.root.and_then(|r| Some((r, tree.nodes.get(r)?))) else {
        return Vec::new();
    };
    let most = node.start + i128::from(i64::MAX);
    let mut waiting = vec![(root, Window { start: node.start, end: node.end.min(most) })];
    let mut segments = Vec::new();
    while let Some((span, window)) = waiting.pop() {
        let mut cursor = window.end;
        for (child, part) in last_first(tree, span, window) {
            // What was still running here is not what the next had to wait for.
            if part.end <= cursor {
                push(&mut segments, span, node.start, Window { start: part.end, end: cursor });
                cursor = part.start;
                waiting.push((child, part));
            }
        }
        push(&mut segments, span, node.start, Window { start: window.start, end: cursor });
    }
    segments.sort_unstable_by_key(|segment| segment.from);
    segments
}

/// The children of a span within its window, the last to end first, and of those that end
/// together the longest.
fn last_first(tree: &Tree, span: usize, window: Window) -> Vec<(usize, Window)> {
    let children = tree.children(span).iter();
    let mut parts: Vec<_> = children.filter_map(|c| Some((*c, window.part(tree, *c)?))).collect();
    parts.sort_by_key(|(_, part)| (Reverse(part.end), part.start));
    parts
}

fn push(segments: &mut Vec<Segment>, span: usize, origin: i128, window: Window) {
    let since = |time: i128| i64::try_from(time - origin).unwrap_or(i64::MAX);
    let (from, to) = (since(window.start), since(window.end));
    if from < to {
        segments.push(Segment { span, from, to });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Trace, any_trace, trace};
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn times(trace: &Trace) -> Times {
        Times::of(&Tree::of(&trace.facts()))
    }

    fn in_ms(times: &[u64]) -> Vec<u64> {
        times.iter().map(|t| t / MS).collect()
    }

    /// The spans of the critical path, and where each stretch ends in milliseconds.
    fn path(trace: &Trace) -> Vec<(usize, i64)> {
        times(trace).critical.iter().map(|s| (s.span, s.to / 1_000_000)).collect()
    }

    #[test]
    fn a_chain_through_sidecars_shows_who_took_the_time() {
        let chain = trace(
            "gateway server 0..516
               gateway client 50..515
                 order server 51..514
                   order client 501..513
                     payment server 502..512",
        );
        let times = times(&chain);
        assert_eq!(in_ms(&times.self_time), [51, 2, 451, 2, 10]);
        assert_eq!(times.critical_time, times.self_time, "in a chain everything is waited for");
        let expected = [
            (0, 50),
            (1, 51),
            (2, 501),
            (3, 502),
            (4, 512),
            (3, 513),
            (2, 514),
            (1, 515),
            (0, 516),
        ];
        assert_eq!(path(&chain), expected);
    }

    #[test]
    fn of_parallel_calls_the_last_to_end_is_waited_for() {
        let fan = trace(
            "a server 0..100
               a client 10..40
               a client 10..90
               a client 10..60",
        );
        assert_eq!(path(&fan), [(0, 10), (2, 90), (0, 100)]);
        assert_eq!(in_ms(&times(&fan).self_time), [20, 30, 80, 50]);
    }

    #[test]
    fn serial_calls_are_all_waited_for() {
        let row = trace(
            "a server 0..100
               a client 10..40
               a client 40..60
               a client 70..90",
        );
        assert_eq!(path(&row), [(0, 10), (1, 40), (2, 60), (0, 70), (3, 90), (0, 100)]);
    }

    #[test]
    fn a_call_that_still_ran_is_not_what_the_next_waited_for() {
        let staggered = trace(
            "a server 0..100
               a client 10..60
               a client 50..90
               a client 20..45",
        );
        assert_eq!(path(&staggered), [(0, 20), (3, 45), (0, 50), (2, 90), (0, 100)]);
    }

    #[test]
    fn what_was_told_while_a_request_went_on_takes_no_time_of_its_own() {
        let stream = trace(
            "a server 0..200
               a internal 0..60 part
               b client 50..90
               a internal 60..130 part",
        );
        assert_eq!(in_ms(&times(&stream).self_time), [160, 0, 40, 0]);
        assert_eq!(path(&stream), [(0, 50), (2, 90), (0, 200)]);
        let not_ended = trace("a internal 0..60 part parent=9");
        assert_eq!(in_ms(&times(&not_ended).self_time), [60]);
    }

    #[test]
    fn what_outlives_its_parent_is_cut() {
        let late = trace(
            "a server 0..100
               a internal 90..500
                 a internal 95..400
               a internal 200..300",
        );
        assert_eq!(path(&late), [(0, 90), (1, 95), (2, 100)]);
        assert_eq!(in_ms(&times(&late).self_time), [90, 105, 305, 100]);
    }

    #[test]
    fn skewed_clocks_do_not_bend_the_path() {
        let skewed = trace(
            "gateway server 0..100
               gateway client 10..90
                 user server 5015..5085",
        );
        assert_eq!(path(&skewed), [(0, 10), (1, 15), (2, 85), (1, 90), (0, 100)]);
    }

    #[test]
    fn the_true_root_is_walked_and_an_orphan_is_not() {
        let orphaned = trace(
            "b server 0..1000 parent=99
             a server 10..20 parent=0",
        );
        assert_eq!(path(&orphaned), [(1, 10)]);
    }

    #[test]
    fn a_deep_chain_and_a_wide_fan_have_a_path() {
        let mut deep = trace("a server 0..100 id=1");
        for id in 2..=10_000 {
            deep.add("a internal 0..100", id, Some(id - 1));
        }
        assert_eq!(path(&deep), [(9_999, 100)]);
        let mut wide = trace("a server 0..100 id=1");
        for id in 2..=100_000 {
            wide.add("a client 0..100", id, Some(1));
        }
        assert_eq!(path(&wide), [(1, 100)]);
    }

    proptest! {
        #[test]
        fn any_trace_has_times_that_add_up(spans in any_trace()) {
            let tree = Tree::of(&spans.facts());
            let times = Times::of(&tree);
            let whole = tree.root.map_or(0, |r| tree.duration(r)).min(i64::MAX.unsigned_abs());
            prop_assert_eq!(times.critical.iter().map(Segment::duration).sum::<u64>(), whole);
            prop_assert_eq!(times.critical_time.iter().sum::<u64>(), whole);
            let mut reached = 0;
            for segment in &times.critical {
                prop_assert!(segment.from == reached && segment.from < segment.to);
                reached = segment.to;
            }
            for span in 0..tree.nodes.len() {
                prop_assert!(times.self_time[span] <= tree.duration(span));
                // What is waited for may hide below a child that outlives its parent.
                prop_assert!(times.critical_time[span] <= tree.duration(span));
            }
        }
    }
}
