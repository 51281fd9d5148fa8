//! Traces for tests, written as they look.
//!
//! ```text
//! gateway server 0..512 GET /
//!   gateway client 1..511 POST peer=order:80
//!     order server 2..510 POST /orders error
//! ```
//!
//! Each line is the service, the kind, and from when to when in milliseconds; a line that is
//! indented further is a child (the first line counts as not indented). `peer=`, `route=`,
//! `tenant=`, `id=` and `parent=` set what they say, `first=` after how many milliseconds the
//! first byte came, `error` and `part` and `connection` make it one, and the other words are the
//! name. The ids are the numbers of the lines, from one, unless they are given; `parent=0` says that
//! there is none.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Facts, Kind, Span};
use crate::trace::{SpanId, TraceId};

/// When the traces begin, in nanoseconds since the Unix epoch.
pub(crate) const EPOCH: u64 = 1_700_000_000_000_000_000;

/// Spans of one trace.
#[derive(Clone, Debug)]
pub(crate) struct Trace(pub(crate) Vec<Facts>);

impl Trace {
    /// What every look at a trace takes.
    pub(crate) fn facts(&self) -> Vec<&Facts> {
        self.0.iter().collect()
    }

    /// The same spans, with nothing but their facts.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let bare = |facts: &Facts| Span {
            facts: facts.clone(),
            is_ok: false,
            status_message: String::new(),
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            resource: Vec::new(),
            scope: String::new(),
        };
        self.0.iter().map(bare).collect()
    }

    /// The same spans, the last first.
    pub(crate) fn reversed(&self) -> Self {
        Self(self.0.iter().rev().cloned().collect())
    }

    /// Adds a span, whose line says neither id nor parent.
    pub(crate) fn add(&mut self, line: &str, id: u64, parent: Option<u64>) {
        let span = span(line, id, parent.and_then(span_id));
        self.0.push(span);
    }
}

/// The spans that `text` draws.
pub(crate) fn trace(text: &str) -> Trace {
    let mut above: Vec<(usize, SpanId)> = Vec::new();
    let mut spans = Vec::new();
    for (number, line) in (1..).zip(text.lines().filter(|l| !l.trim().is_empty())) {
        // The first line says how far the text as a whole is indented, but may stand by itself.
        let indentation = if number == 1 { 0 } else { line.len() - line.trim_start().len() };
        above.retain(|(further, _)| *further < indentation);
        let span = span(line, number, above.last().map(|(_, id)| *id));
        above.push((indentation, span.span_id));
        spans.push(span);
    }
    Trace(spans)
}

fn span(line: &str, id: u64, parent: Option<SpanId>) -> Facts {
    let mut words = line.split_whitespace();
    let mut next = || words.next().expect("a line has a service, a kind and times");
    let (service, kind, times) = (next(), kind(next()), next());
    let (start, end) = times.split_once("..").expect("times are from..to");
    let mut facts = Facts {
        trace_id: TraceId::from_bytes([7; 16]).expect("the id is not zero"),
        span_id: span_id(id).expect("an id is not zero"),
        parent,
        kind,
        is_error: false,
        start: time(start),
        end: time(end),
        service: service.into(),
        name: "".into(),
        route: None,
        tenant: None,
        first_byte: None,
        is_part: false,
        is_connection: false,
        peer: None,
    };
    let mut name = Vec::new();
    for word in words {
        let number = |text: &str| span_id(text.parse().expect("an id is a number"));
        match word.split_once('=') {
            Some(("peer", peer)) => facts.peer = Some(peer.into()),
            Some(("route", route)) => facts.route = Some(route.into()),
            Some(("first", first)) => facts.first_byte = Some(time(first) - EPOCH),
            Some(("tenant", tenant)) => facts.tenant = Some(tenant.into()),
            Some(("id", id)) => facts.span_id = number(id).expect("an id is not zero"),
            Some(("parent", id)) => facts.parent = number(id),
            _ if word == "error" => facts.is_error = true,
            _ if word == "part" => facts.is_part = true,
            _ if word == "connection" => facts.is_connection = true,
            _ => name.push(word),
        }
    }
    facts.name = name.join(" ").into();
    facts
}

fn span_id(id: u64) -> Option<SpanId> {
    SpanId::from_bytes(id.to_be_bytes())
}

fn kind(name: &str) -> Kind {
    let all = [
        Kind::Unspecified,
        Kind::Internal,
        Kind::Server,
        Kind::Client,
        Kind::Producer,
        Kind::Consumer,
    ];
    all.into_iter().find(|k| k.name() == name).unwrap_or_else(|| panic!("{name} is no kind"))
}

/// The milliseconds of `text` after [`EPOCH`], or before it.
fn time(text: &str) -> u64 {
    let ms: f64 = text.parse().expect("a time is a number of milliseconds");
    #[expect(clippy::cast_possible_truncation, reason = "the times of tests are small")]
    EPOCH.saturating_add_signed((ms * 1e6).round() as i64)
}

/// Spans of all sorts, most of them related somehow: ids that clash, parents that are missing,
/// cycles, and times that no clock shows.
pub(crate) fn any_trace() -> impl Strategy<Value = Trace> {
    proptest::collection::vec(any_span(), 0..40).prop_map(Trace)
}

fn any_span() -> impl Strategy<Value = Facts> {
    let kinds = proptest::sample::select(vec![
        Kind::Unspecified,
        Kind::Internal,
        Kind::Server,
        Kind::Client,
        Kind::Producer,
        Kind::Consumer,
    ]);
    let text = proptest::sample::select(vec!["a", "b", "c", "\"]<|\n\\"]);
    let time = || prop_oneof![8 => 0..200_000_000_u64, 1 => Just(0), 1 => Just(u64::MAX), 1 => any::<u64>()];
    let parent = prop_oneof![1 => Just(0), 6 => 1..20_u64];
    (
        1..20_u64,
        parent,
        kinds,
        text.clone(),
        text.clone(),
        proptest::option::of(text),
        any::<bool>(),
        time(),
        time(),
    )
        .prop_map(|(id, parent, kind, service, name, peer, is_error, start, end)| Facts {
            trace_id: TraceId::from_bytes([7; 16]).expect("the id is not zero"),
            span_id: span_id(id).expect("an id is not zero"),
            parent: span_id(parent),
            kind,
            is_error,
            start,
            end: end.max(start),
            service: service.into(),
            name: name.into(),
            route: None,
            tenant: None,
            first_byte: None,
            is_part: false,
            is_connection: false,
            peer: peer.map(Arc::from),
        })
}
