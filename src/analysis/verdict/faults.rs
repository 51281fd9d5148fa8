//! What is wrong with a trace, or with its record: errors, gaps, and clocks.

use std::collections::BTreeMap;

use super::{Look, MOST_NOTES, Note, NoteKind, heaviest};
use crate::analysis::{at, set, words};

/// The notes on what is wrong, but for what the headline says of `bottleneck`.
pub(super) fn notes(look: &Look<'_>, bottleneck: usize) -> Vec<Note> {
    let mut notes: Vec<Note> = errors(look).into_iter().collect();
    notes.extend(untraced(look, bottleneck));
    notes.extend(skews(look));
    notes.extend(missing(look));
    notes
}

/// Where the deepest error began, and how far it went.
fn errors(look: &Look<'_>) -> Option<Note> {
    let is_error = |span: usize| look.facts.get(span).is_some_and(|f| f.is_error);
    let mut is_passed_on = vec![false; look.facts.len()];
    let mut first: Option<(usize, usize)> = None;
    let mut beginnings: u64 = 0;
    for span in look.tree.order.iter().rev().copied() {
        if let Some(parent) =
            look.tree.parent(span).filter(|_| is_error(span) || at(&is_passed_on, span))
        {
            set(&mut is_passed_on, parent, true);
        }
        let node = look.tree.nodes.get(span).filter(|n| !n.is_duplicate);
        let Some(node) = node.filter(|_| is_error(span) && !at(&is_passed_on, span)) else {
            continue;
        };
        beginnings += 1;
        // Of those equally deep the last found is the first of the waterfall.
        if first.is_none_or(|(depth, _)| depth <= node.depth) {
            first = Some((node.depth, span));
        }
    }
    let (_, span) = first?;
    let mut text = format!("the error began in {}", place(look, span));
    if beginnings > 1 {
        text.push_str(&format!("; {} besides", words::count(beginnings - 1, "more error")));
    }
    if !is_error(look.root) {
        text.push_str("; the request as a whole did not fail");
    }
    let up = std::iter::successors(Some(span), |s| look.tree.parent(*s).filter(|p| is_error(*p)));
    Some(Note { kind: NoteKind::Errors, text, spans: up.collect() })
}

fn place(look: &Look<'_>, span: usize) -> String {
    let (service, name) = (look.service(span), look.name(span));
    let is_call = look.facts.get(span).is_some_and(|f| f.kind.goes_out());
    match look.reached(span).filter(|_| is_call) {
        Some(callee) if at(&look.calls.is_unanswered, span) => {
            format!("{service}, in its call to {callee}, {}: `{name}`", look.absence(span))
        }
        Some(callee) => format!("{service}, in its call to {callee}: `{name}`"),
        None => format!("{service}: `{name}`"),
    }
}

/// Time that passed in what is not traced, by who waited for whom.
fn untraced(look: &Look<'_>, bottleneck: usize) -> impl Iterator<Item = Note> {
    let mut waits: BTreeMap<(&str, &str), (u64, Vec<usize>)> = BTreeMap::new();
    for (span, facts) in look.facts.iter().enumerate() {
        let Some(peer) = facts.peer.as_deref().filter(|_| at(&look.calls.is_unanswered, span))
        else {
            continue;
        };
        let (time, spans) = waits.entry((&facts.service, peer)).or_default();
        *time = time.saturating_add(at(&look.times.critical_time, span));
        spans.push(span);
    }
    let said = at(&look.times.critical_time, bottleneck);
    let is_said = |time: u64, spans: &[usize]| time == said && spans.contains(&bottleneck);
    let worth_it = waits
        .into_iter()
        .filter(|(_, (time, spans))| look.is_worth_a_note(*time) && !is_said(*time, spans));
    let notes = worth_it.map(|((service, peer), (time, spans))| {
        let text = format!(
            "{} waits {} of {} ({}) for {}, {}",
            words::name(service),
            words::duration(time),
            words::duration(look.whole),
            words::share(time, look.whole),
            words::name(look.service_at(peer).unwrap_or(peer)),
            spans.first().map(|span| look.absence(*span)).unwrap_or_default(),
        );
        (time, Note { kind: NoteKind::Untraced, text, spans })
    });
    heaviest(notes.collect())
}

fn skews(look: &Look<'_>) -> impl Iterator<Item = Note> {
    look.tree.skews.iter().take(MOST_NOTES).map(|skew| {
        let (to, from) = (words::name(&skew.to), words::name(&skew.from));
        let by = words::duration(skew.offset.unsigned_abs());
        let side = if skew.offset < 0 { "behind" } else { "ahead of" };
        let text = format!(
            "the clock of {to} is {by} {side} the clock of {from}; its spans are moved to where \
             they belong"
        );
        Note { kind: NoteKind::Skew, text, spans: vec![skew.span] }
    })
}

fn missing(look: &Look<'_>) -> Option<Note> {
    let nodes = look.tree.nodes.iter().enumerate();
    let spans: Vec<usize> = nodes.filter(|(_, n)| n.is_orphan).map(|(span, _)| span).collect();
    let is_part = |span: &usize| look.facts.get(*span).is_some_and(|f| f.is_part);
    let text = match look.tree.missing_parents {
        _ if spans.iter().all(is_part) => {
            "it goes on: what tells of the whole comes when it ends".to_owned()
        }
        1 => "1 span that others name as their parent is not here: it was not recorded, or has \
              not arrived yet"
            .to_owned(),
        number => format!(
            "{number} spans that others name as their parents are not here: they were not \
             recorded, or have not arrived yet"
        ),
    };
    (!spans.is_empty()).then_some(Note { kind: NoteKind::Missing, text, spans })
}
