//! What stands out among the calls that one span makes: their order, their number, and attempts.

use std::collections::HashMap;

use super::{Look, MANY_CALLS, Note, NoteKind, heaviest, how_often};
use crate::analysis::{Facts, Kind, at, words};

/// Of the shorter of two calls, one in so many may pass before the other has quite ended: the last
/// bytes of an answer are often read while the next request is on its way.
const OVERLAP: i128 = 10;

/// The most names that a note lists.
const MOST_NAMES: usize = 4;

/// A call, or all attempts at it.
#[derive(Clone, Copy)]
struct Call {
    /// The span; of several attempts the last.
    span: usize,
    start: i128,
    end: i128,
}

/// Calls that overlap.
#[derive(Default)]
struct Wave {
    calls: Vec<usize>,
    start: i128,
    end: i128,
}

/// The notes on the calls of every span of a trace.
pub(super) fn notes(look: &Look<'_>) -> Vec<Note> {
    let mut found = Found::default();
    for parent in look.tree.order.iter().copied() {
        let calls = calls_of(look, parent);
        if calls.len() > 1 {
            found.judge(look, parent, &calls);
        }
    }
    let Found { retried, serial, repeated, parallel } = found;
    [retried, serial, repeated, parallel].into_iter().flat_map(heaviest).collect()
}

/// Notes with what they weigh, which is time or a number of calls.
#[derive(Default)]
struct Found {
    retried: Vec<(u64, Note)>,
    serial: Vec<(u64, Note)>,
    repeated: Vec<(u64, Note)>,
    parallel: Vec<(u64, Note)>,
}

impl Found {
    fn judge(&mut self, look: &Look<'_>, parent: usize, calls: &[Call]) {
        let mut whole_calls = Vec::with_capacity(calls.len());
        for group in alike(look, calls) {
            let attempts = attempts(look, &group);
            for attempt in attempts.iter().filter(|a| a.len() > 1) {
                self.retried.extend(retried(look, parent, attempt));
            }
            if attempts.len() >= MANY_CALLS {
                self.repeated.push(repeated(look, parent, &group));
            }
            whole_calls.extend(attempts.iter().filter_map(|a| together(a)));
        }
        whole_calls.sort_by_key(|call| call.start);
        let waves = waves(&whole_calls);
        self.serial.extend(serial(look, parent, &waves));
        let widest = waves.iter().filter(|w| w.calls.len() > 1).max_by_key(|w| w.duration());
        self.parallel.extend(widest.and_then(|wave| parallel(look, parent, wave)));
    }
}

impl Wave {
    fn duration(&self) -> u64 {
        u64::try_from(self.end - self.start).unwrap_or_default()
    }

    fn is_waited_for(&self, look: &Look<'_>) -> bool {
        self.calls.iter().any(|call| at(&look.waited, *call) > 0)
    }
}

/// The calls that a span makes and waits for, by start: what goes out, and what another service
/// says came in from here where there is no outgoing span.
fn calls_of(look: &Look<'_>, parent: usize) -> Vec<Call> {
    let caller = look.facts.get(parent).zip(look.tree.nodes.get(parent));
    let Some((caller, whole)) = caller else { return Vec::new() };
    let calls = whole.children.iter().copied().filter_map(|span| {
        let (node, facts) = (look.tree.nodes.get(span)?, look.facts.get(span)?);
        let is_incoming = facts.kind == Kind::Server
            && facts.service != caller.service
            && !caller.kind.goes_out();
        let is_call = facts.kind == Kind::Client || is_incoming;
        let call = Call { span, start: node.start.max(whole.start), end: node.end.min(whole.end) };
        (is_call && !node.is_duplicate && call.start <= call.end).then_some(call)
    });
    calls.collect()
}

/// The calls grouped by whom they call and what for, in the order of the first of each.
fn alike(look: &Look<'_>, calls: &[Call]) -> Vec<Vec<Call>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<Call>> = Vec::new();
    for call in calls {
        let Some(facts) = look.facts.get(call.span) else { continue };
        let place =
            *places.entry((callee(look, facts, call.span), &*facts.name)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(*call),
            None => groups.push(vec![*call]),
        }
    }
    groups
}

/// Whom a call is for: by the peer if there is one, as that is known of a failed call too.
fn callee<'a>(look: &'a Look<'_>, call: &'a Facts, span: usize) -> Option<&'a str> {
    let service = |span: usize| look.facts.get(span).map(|f| &*f.service);
    call.peer
        .as_deref()
        .or_else(|| service(at(&look.calls.callee, span)?))
        .or_else(|| call.kind.comes_in().then_some(&*call.service))
}

/// Calls that are alike, taken together where one follows a failed one and so is an attempt more.
/// Of many, among which few fail, the next is just the next.
fn attempts(look: &Look<'_>, group: &[Call]) -> Vec<Vec<Call>> {
    let is_error = |call: &Call| look.facts.get(call.span).is_some_and(|f| f.is_error);
    let failed = group.iter().filter(|call| is_error(call)).count();
    let is_loop = group.len() >= MANY_CALLS && failed * 2 < group.len();
    let mut attempts: Vec<Vec<Call>> = Vec::new();
    for call in group {
        let before = attempts.last_mut().filter(|before| {
            before.last().is_some_and(|b| is_error(b) && !overlap(b.start, b.end, call))
        });
        match before {
            Some(before) if !is_loop => before.push(*call),
            _ => attempts.push(vec![*call]),
        }
    }
    attempts
}

fn together(attempts: &[Call]) -> Option<Call> {
    Some(Call { start: attempts.first()?.start, ..*attempts.last()? })
}

fn overlap(start: i128, end: i128, next: &Call) -> bool {
    let shorter = (end - start).min(next.end - next.start);
    end - next.start > shorter / OVERLAP
}

fn waves(calls: &[Call]) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    for call in calls {
        match waves.last_mut() {
            Some(wave) if overlap(wave.start, wave.end, call) => {
                wave.calls.push(call.span);
                wave.end = wave.end.max(call.end);
            }
            _ => waves.push(Wave { calls: vec![call.span], start: call.start, end: call.end }),
        }
    }
    waves
}

fn retried(look: &Look<'_>, parent: usize, attempts: &[Call]) -> Option<(u64, Note)> {
    let (first, last) = (attempts.first()?, attempts.last()?);
    let has_failed = look.facts.get(last.span)?.is_error;
    let lost = if has_failed { last.end } else { last.start } - first.start;
    let lost = u64::try_from(lost).unwrap_or_default();
    let (service, name) = (look.service(parent), look.name(last.span));
    let callees = callees(look, attempts.iter().map(|a| a.span));
    let times = how_often(attempts.len());
    let took = words::duration(lost);
    let text = if has_failed {
        format!("{service} called {callees} {times} and failed each time: `{name}`, {took} in all")
    } else {
        format!("{service} called {callees} {times} until it succeeded: `{name}`, {took} later")
    };
    Some((lost, note(NoteKind::Retry, text, attempts.iter().map(|a| a.span))))
}

fn repeated(look: &Look<'_>, parent: usize, group: &[Call]) -> (u64, Note) {
    let calls = group.iter().map(|call| call.span);
    let total = calls.clone().fold(0, |sum: u64, c| sum.saturating_add(look.tree.duration(c)));
    let name = group.first().map(|call| look.name(call.span)).unwrap_or_default();
    let text = format!(
        "{} calls {} {} for one request: `{name}`, {} in all; asking for everything at once would \
         spare {}",
        look.service(parent),
        callees(look, calls.clone()),
        how_often(group.len()),
        words::duration(total),
        words::count(number(group.len() - 1), "call"),
    );
    (number(group.len()), note(NoteKind::Repeated, text, calls))
}

fn serial(look: &Look<'_>, parent: usize, waves: &[Wave]) -> Option<(u64, Note)> {
    let durations = || waves.iter().map(Wave::duration);
    let total = durations().fold(0, u64::saturating_add);
    let longest = durations().max()?;
    let spared = total - longest;
    let is_waited_for = waves.iter().filter(|w| w.is_waited_for(look)).count() > 1;
    if !is_waited_for || !look.is_worth_a_note(spared) {
        return None;
    }
    let calls = || waves.iter().flat_map(|w| w.calls.iter().copied());
    let (service, count) = (look.service(parent), calls().count());
    let callees = callees(look, calls());
    let is_one = is_one(look, calls());
    let made = if count > waves.len() {
        format!("makes {count} calls, to {callees}, in {} rounds", waves.len())
    } else if is_one {
        format!("calls {callees} {} one after another", how_often(count))
    } else {
        format!("calls {callees} one after another")
    };
    let condition = if is_one { "" } else { ", if none needs the answer of another" };
    let text = format!(
        "{service} {made}, {} of its {}; at the same time they would take {}{condition}",
        words::duration(total),
        words::duration(look.tree.duration(parent)),
        words::duration(longest),
    );
    Some((spared, note(NoteKind::Serial, text, calls())))
}

fn parallel(look: &Look<'_>, parent: usize, wave: &Wave) -> Option<(u64, Note)> {
    let calls = || wave.calls.iter().copied();
    if !wave.is_waited_for(look) || !look.is_worth_a_note(wave.duration()) {
        return None;
    }
    let decisive = calls().max_by_key(|call| at(&look.waited, *call))?;
    let took = words::duration(look.tree.duration(decisive));
    let (service, callees) = (look.service(parent), callees(look, calls()));
    let text = if is_one(look, calls()) {
        let times = how_often(wave.calls.len());
        format!("{service} calls {callees} {times} at the same time: the slowest decides, {took}")
    } else {
        let decider = look.reached(decisive).unwrap_or_else(|| look.name(decisive));
        format!("{service} calls {callees} at the same time: {decider} decides, {took}")
    };
    Some((wave.duration(), note(NoteKind::Parallel, text, calls())))
}

/// Whether the calls are all for the same.
fn is_one(look: &Look<'_>, mut calls: impl Iterator<Item = usize>) -> bool {
    let first = calls.next().and_then(|call| look.reached(call));
    calls.all(|call| look.reached(call) == first)
}

/// Whom the calls are for, each once: `user, order and payment`.
fn callees(look: &Look<'_>, calls: impl Iterator<Item = usize>) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut are_more = false;
    for name in calls.map(|call| look.reached(call).unwrap_or_else(|| "somebody".to_owned())) {
        let is_new = !names.contains(&name);
        if is_new && names.len() == MOST_NAMES {
            are_more = true;
            break;
        }
        if is_new {
            names.push(name);
        }
    }
    if are_more {
        return format!("{} and others", names.join(", "));
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn note(kind: NoteKind, text: String, spans: impl Iterator<Item = usize>) -> Note {
    Note { kind, text, spans: spans.collect() }
}

fn number(count: usize) -> u64 {
    count.try_into().unwrap_or(u64::MAX)
}
