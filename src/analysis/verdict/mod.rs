//! What a trace means, in words: which hop to look at first, and what else stands out.
//!
//! The bottleneck is the span with the most time of its own on the critical path. The headline
//! says whether that is work, waiting for somebody who is not traced, or the way between two
//! services; the notes say what about the calls makes them slow, where errors began, and what
//! part of the trace is not to be trusted.

mod faults;
mod siblings;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::calls::Calls;
use super::path::Times;
use super::tree::Tree;
use super::{Facts, Kind, at, set, words};

/// The most notes of one kind.
pub const MOST_NOTES: usize = 3;

/// How many calls of one kind by one span make a loop that asks for things one by one.
pub const MANY_CALLS: usize = 5;

/// The part of the whole, as one of so many, that a note about time must be about.
const WORTH_A_NOTE: u64 = 10;

/// The part of the whole, as one of so many, that a span must take to be called the bottleneck.
const WORTH_BLAME: u64 = 5;

/// How long an answer must be on its way to be called a stream, in nanoseconds.
const WORTH_A_STREAM: u64 = 500_000_000;

/// How many layers of one call are looked through for whom it reached.
const MOST_LAYERS: usize = 4;

/// What a trace means.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The bottleneck in one sentence, without a full stop.
    pub headline: String,
    /// The span with the most time of its own on the critical path.
    pub span: usize,
    /// The service of that span.
    pub service: Arc<str>,
    /// Its time of its own on the critical path, in nanoseconds.
    pub time: u64,
    /// That time as a part of the root's duration: more than 0, at most 1.
    pub share: f64,
    /// Whether that is enough of it for the span to be called the bottleneck.
    pub is_bottleneck: bool,
    /// Whether the most part of the time was the answer on its way, as of a stream of events, or
    /// all of it a connection that was open: then no hop held anybody up.
    pub is_stream: bool,
    /// What else stands out, what matters more first; at most [`MOST_NOTES`] of a kind.
    pub notes: Vec<Note>,
}

/// Something that stands out in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// One sentence without a full stop.
    pub text: String,
    /// The spans it is about.
    pub spans: Vec<usize>,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoteKind {
    /// Where errors began.
    Errors,
    /// A call that was made again because it had failed.
    Retry,
    /// Calls that go out one after another.
    Serial,
    /// Many calls of one kind.
    Repeated,
    /// Calls that go out at the same time, and which of them decides.
    Parallel,
    /// Time spent in what is not traced.
    Untraced,
    /// Clocks that do not agree.
    Skew,
    /// Spans that are not here.
    Missing,
}

impl NoteKind {
    /// The name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Retry => "retry",
            Self::Serial => "serial",
            Self::Repeated => "repeated",
            Self::Parallel => "parallel",
            Self::Untraced => "untraced",
            Self::Skew => "skew",
            Self::Missing => "missing",
        }
    }
}

impl Verdict {
    /// What a trace means; `None` where it has no span that took any time.
    #[must_use]
    pub fn of(tree: &Tree, times: &Times, facts: &[&Facts]) -> Option<Self> {
        let time = times.critical_time.iter().copied().max().filter(|time| *time > 0)?;
        let is_longest = |span: &usize| at(&times.critical_time, *span) == time;
        let span = tree.order.iter().copied().find(is_longest)?;
        let look = Look::new(tree, times, facts)?;
        let stream = look.stream().or_else(|| look.connection());
        let is_stream = stream.is_some();
        let mut notes = siblings::notes(&look);
        notes.extend(faults::notes(&look, span));
        notes.sort_by_key(|note| note.kind);
        Some(Self {
            headline: stream.unwrap_or_else(|| look.headline(span, time)),
            is_bottleneck: !is_stream && time >= look.whole / WORTH_BLAME,
            is_stream,
            span,
            service: Arc::clone(&facts.get(span)?.service),
            time,
            share: time as f64 / look.whole.max(time) as f64,
            notes,
        })
    }
}

/// A trace as the verdict looks at it.
struct Look<'a> {
    tree: &'a Tree,
    times: &'a Times,
    facts: &'a [&'a Facts],
    calls: Calls,
    /// The service that calls to a peer reached; `None` where it was not always the same.
    known: HashMap<&'a str, Option<&'a str>>,
    /// The time on the critical path of each span and all that is below it.
    waited: Vec<u64>,
    root: usize,
    /// The duration of the root.
    whole: u64,
}

impl<'a> Look<'a> {
    fn new(tree: &'a Tree, times: &'a Times, facts: &'a [&'a Facts]) -> Option<Self> {
        let root = tree.root?;
        let mut waited = times.critical_time.clone();
        for span in tree.order.iter().rev().copied() {
            if let Some(parent) = tree.parent(span) {
                let sum = at(&waited, parent).saturating_add(at(&waited, span));
                set(&mut waited, parent, sum);
            }
        }
        let calls = Calls::of(tree, facts);
        let known = known(&calls, facts);
        Some(Self { tree, times, facts, calls, known, waited, root, whole: tree.duration(root) })
    }

    /// The headline of a trace whose answer was on its way for most of the time.
    fn stream(&self) -> Option<String> {
        let first_byte = self.facts.get(self.root)?.first_byte?;
        let streamed = self.whole.saturating_sub(first_byte);
        (streamed > self.whole / 2 && streamed >= WORTH_A_STREAM).then(|| {
            format!(
                "{} began to answer after {} and went on for {}: what takes the time is the \
                 stream, not a hop",
                self.service(self.root),
                words::duration(first_byte),
                words::duration(streamed)
            )
        })
    }

    /// The headline of a trace that tells of a connection, of which nobody knows what it was for.
    fn connection(&self) -> Option<String> {
        let facts = self.facts.get(self.root).filter(|facts| facts.is_connection)?;
        let (service, whole) = (self.service(self.root), words::duration(self.whole));
        let to = self.reached(self.root).filter(|_| facts.kind.goes_out());
        let to = to.map(|peer| format!(" to {peer}")).unwrap_or_default();
        Some(if facts.is_error {
            format!("a connection of {service}{to} failed after {whole}")
        } else {
            format!(
                "{service} had a connection{to} open for {whole}, in which nothing tells requests \
                 apart: it may have been waiting for work"
            )
        })
    }

    fn headline(&self, span: usize, time: u64) -> String {
        let (service, name) = (self.service(span), self.name(span));
        let (time_said, whole) = (words::duration(time), words::duration(self.whole));
        let share = words::share(time, self.whole);
        if at(&self.calls.is_unanswered, span) {
            let peer = self.reached(span).unwrap_or_else(|| format!("the answer to `{name}`"));
            let absence = self.absence(span);
            return format!(
                "{service} waited {time_said} of {whole} ({share}) for {peer}, {absence}"
            );
        }
        let is_client = self.facts.get(span).is_some_and(|f| f.kind == Kind::Client);
        if let Some(callee) = at(&self.calls.callee, span).filter(|_| is_client) {
            let callee = self.service(callee);
            return format!(
                "{time_said} of {whole} ({share}) passed between {service} and {callee}: in the \
                 network, in connecting, or in a queue"
            );
        }
        if time < self.whole / WORTH_BLAME {
            return format!(
                "no single hop is the bottleneck: the most, {time_said} of {whole} ({share}), \
                 went into `{name}` of {service}"
            );
        }
        format!(
            "{service} is the bottleneck: `{name}` spent {time_said} of the {whole} ({share}) in \
             itself"
        )
    }

    fn service(&self, span: usize) -> String {
        self.facts.get(span).map(|f| words::name(&f.service)).unwrap_or_default()
    }

    /// The name of a span; of one without, its route or its kind.
    fn name(&self, span: usize) -> String {
        let Some(facts) = self.facts.get(span) else { return String::new() };
        match (&*facts.name, &facts.route) {
            ("", Some(route)) => words::name(route),
            ("", None) => facts.kind.name().to_owned(),
            (name, _) => words::name(name),
        }
    }

    /// Whom a call reached: the service, or else the peer it is named by.
    fn reached(&self, call: usize) -> Option<String> {
        let facts = self.facts.get(call)?;
        if facts.kind.comes_in() {
            return Some(self.service(call));
        }
        let inner = |span: &usize| {
            let is_layer =
                |child: &usize| self.facts.get(*child).is_some_and(|f| f.kind.goes_out());
            self.tree.children(*span).iter().copied().find(is_layer)
        };
        let mut layers = std::iter::successors(Some(call), inner).take(MOST_LAYERS);
        let callee = layers.find_map(|layer| at(&self.calls.callee, layer));
        callee.map(|c| self.service(c)).or_else(|| {
            let peer = facts.peer.as_deref()?;
            Some(words::name(self.service_at(peer).unwrap_or(peer)))
        })
    }

    /// The service that answers at a peer, as other calls of the trace show.
    fn service_at(&self, peer: &str) -> Option<&'a str> {
        self.known.get(peer).copied().flatten()
    }

    /// Why nothing is known of the other side of an unanswered call.
    fn absence(&self, call: usize) -> &'static str {
        let peer = self.facts.get(call).and_then(|f| f.peer.as_deref());
        match peer.and_then(|peer| self.service_at(peer)) {
            Some(_) => "which has no span of it here",
            None => "which is not traced",
        }
    }

    /// Whether so much time is worth a note.
    const fn is_worth_a_note(&self, time: u64) -> bool {
        time > 0 && time >= self.whole / WORTH_A_NOTE
    }
}

fn known<'a>(calls: &Calls, facts: &[&'a Facts]) -> HashMap<&'a str, Option<&'a str>> {
    let mut known: HashMap<_, _> = facts.iter().map(|f| (&*f.service, Some(&*f.service))).collect();
    for (call, callee) in facts.iter().zip(&calls.callee) {
        let service = callee.and_then(|c| facts.get(c)).map(|f| &*f.service);
        if let Some(peer) = call.peer.as_deref().filter(|_| service.is_some()) {
            let reached = known.entry(peer).or_insert(service);
            *reached = reached.filter(|r| Some(*r) == service);
        }
    }
    known
}

/// The notes that weigh most, and no more than there may be.
fn heaviest(mut notes: Vec<(u64, Note)>) -> impl Iterator<Item = Note> {
    notes.sort_by_key(|(weight, _)| Reverse(*weight));
    notes.into_iter().take(MOST_NOTES).map(|(_, note)| note)
}

/// How often, as people say it.
fn how_often(number: usize) -> String {
    if number == 2 { "twice".to_owned() } else { format!("{number} times") }
}

#[cfg(test)]
mod tests;
