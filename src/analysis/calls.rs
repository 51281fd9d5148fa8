//! Who called whom in one trace, by the parentage of its spans.
//!
//! A call is normally two spans, the caller's and the callee's, but either may be missing, and
//! either may be told twice: by the sidecar and by the service's own tracing. Such layers of one
//! side are one call here, and the inmost outgoing span is the one that left.

use super::tree::Tree;
use super::{Facts, Kind, at, set};

/// The calls of a trace, for each span by its place in the facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Whether the span is a request that came in: not once more the one that is already told
    /// above it in its service, and not a duplicate.
    pub is_request: Vec<bool>,
    /// For a request, the span it was called by: the outgoing span, or the span of another service
    /// where the caller told of none. `None` at a root, and below work of its own service.
    pub caller: Vec<Option<usize>>,
    /// For a call that went out, the first request that it arrived as.
    pub callee: Vec<Option<usize>>,
    /// Whether the span is a call that went out, and whose other side is not here.
    pub is_unanswered: Vec<bool>,
}

impl Calls {
    /// Finds the calls of a trace.
    #[must_use]
    pub fn of(tree: &Tree, facts: &[&Facts]) -> Self {
        let mut calls = Self {
            is_request: vec![false; facts.len()],
            caller: vec![None; facts.len()],
            callee: vec![None; facts.len()],
            is_unanswered: vec![false; facts.len()],
        };
        calls.find_requests(tree, facts);
        calls.find_unanswered(tree, facts);
        calls
    }

    /// Goes down the tree with what is known of the nearest side of a call above.
    fn find_requests(&mut self, tree: &Tree, facts: &[&Facts]) {
        let mut above = vec![Above::Nothing; facts.len()];
        for span in tree.order.iter().copied() {
            let Some((this, node)) = facts.get(span).zip(tree.nodes.get(span)) else { continue };
            let near = node.parent.map_or(Above::Nothing, |parent| {
                let caller = facts
                    .get(parent)
                    .filter(|caller| caller.kind.goes_out() || caller.service != this.service);
                match (caller, facts.get(parent).map(|f| f.kind)) {
                    (Some(_), _) => Above::Caller(parent),
                    (None, Some(Kind::Server)) => Above::Request,
                    (None, Some(Kind::Consumer)) => Above::Nothing,
                    _ => at(&above, parent),
                }
            });
            set(&mut above, span, near);
            let is_told = this.kind == Kind::Server && near == Above::Request;
            if !this.kind.comes_in() || is_told || node.is_duplicate {
                continue;
            }
            set(&mut self.is_request, span, true);
            if let Above::Caller(caller) = near {
                set(&mut self.caller, span, Some(caller));
                if let Some(callee) = self.callee.get_mut(caller) {
                    callee.get_or_insert(span);
                }
            }
        }
        for (callee, caller) in self.callee.iter_mut().zip(facts) {
            *callee = callee.filter(|_| caller.kind.goes_out());
        }
    }

    /// Goes up the tree with whether there is a side of a call below.
    fn find_unanswered(&mut self, tree: &Tree, facts: &[&Facts]) {
        let mut is_call_below = vec![false; facts.len()];
        for span in tree.order.iter().rev().copied() {
            let Some((this, node)) = facts.get(span).zip(tree.nodes.get(span)) else { continue };
            let is_inmost = this.kind.goes_out() && !at(&is_call_below, span);
            set(&mut self.is_unanswered, span, is_inmost && !node.is_duplicate);
            let is_side = this.kind.goes_out() || this.kind.comes_in();
            if let Some(parent) = node.parent.filter(|_| is_side || at(&is_call_below, span)) {
                set(&mut is_call_below, parent, true);
            }
        }
    }
}

/// The nearest side of a call above a span, through work of its own service.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Above {
    #[default]
    Nothing,
    /// A request to the same service.
    Request,
    /// What called it.
    Caller(usize),
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_trace, trace};
    use super::*;
    use proptest::prelude::*;

    fn calls(text: &str) -> Calls {
        let spans = trace(text);
        Calls::of(&Tree::of(&spans.facts()), &spans.facts())
    }

    fn requests(calls: &Calls) -> Vec<usize> {
        (0..calls.is_request.len()).filter(|s| calls.is_request[*s]).collect()
    }

    fn unanswered(calls: &Calls) -> Vec<usize> {
        (0..calls.is_unanswered.len()).filter(|s| calls.is_unanswered[*s]).collect()
    }

    #[test]
    fn a_call_is_an_outgoing_span_and_the_request_below() {
        let calls = calls(
            "a server 0..100
               a client 10..90
                 b server 20..80
               a client 91..95",
        );
        assert_eq!(requests(&calls), [0, 2]);
        assert_eq!(calls.caller, [None, None, Some(1), None]);
        assert_eq!(calls.callee, [None, Some(2), None, None]);
        assert_eq!(unanswered(&calls), [3]);
    }

    #[test]
    fn layers_of_one_side_are_one_call() {
        let calls = calls(
            "order server 0..100
               order server 1..99
                 order internal 2..98
                   order client 3..97
                     order client 4..96
                       payment internal 5..95
                         payment server 6..94
                           payment internal 7..93
                             payment server 8..92",
        );
        assert_eq!(requests(&calls), [0, 6]);
        assert_eq!(calls.caller[6], Some(4), "the inmost of the caller's");
        assert!(unanswered(&calls).is_empty());
    }

    #[test]
    fn a_service_that_calls_itself_is_told_from_one_that_nests() {
        let calls = calls(
            "a server 0..100
               a client 10..90
                 a server 20..80",
        );
        assert_eq!(requests(&calls), [0, 2]);
        assert_eq!(calls.caller[2], Some(1));
    }

    #[test]
    fn a_caller_without_an_outgoing_span_is_the_caller_all_the_same() {
        let calls = calls(
            "a server 0..100
               b server 20..80
               b server 20..80 id=2",
        );
        assert_eq!(calls.caller, [None, Some(0), None], "and what is told twice was called once");
        assert_eq!(calls.callee, [None; 3]);
    }

    proptest! {
        #[test]
        fn only_requests_are_called_and_only_what_goes_out_calls(spans in any_trace()) {
            let facts = spans.facts();
            let calls = Calls::of(&Tree::of(&facts), &facts);
            for (span, this) in facts.iter().enumerate() {
                prop_assert!(!calls.is_request[span] || this.kind.comes_in());
                prop_assert!(calls.caller[span].is_none() || calls.is_request[span]);
                if let Some(callee) = calls.callee[span] {
                    prop_assert!(this.kind.goes_out() && !calls.is_unanswered[span]);
                    prop_assert_eq!(calls.caller[callee], Some(span));
                }
            }
        }
    }
}
