//! A trace whole, for machines: its spans in the order of a waterfall, where its time went, and
//! that in words. The page of `view` is made of it, and scripts can be.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::path::Times;
use super::summary::Summary;
use super::tree::Tree;
use super::verdict::{self, Verdict};
use super::{Attribute, Facts, Span, Value, curl};
use crate::trace::TraceId;

/// The most spans that a note names.
const MOST_NAMED: usize = 200;

/// A trace.
#[derive(Debug, Serialize)]
pub struct Report {
    id: String,
    start_us: u64,
    duration_us: f64,
    tenants: BTreeSet<Arc<str>>,
    services: BTreeSet<Arc<str>>,
    spans_total: usize,
    errors: usize,
    missing_parents: usize,
    spans_not_kept: u64,
    verdict: Option<Words>,
    skew: Vec<Skew>,
    spans: Vec<Told>,
}

#[derive(Debug, Serialize)]
struct Words {
    headline: String,
    is_bottleneck: bool,
    span: String,
    service: Arc<str>,
    time_us: f64,
    share: f64,
    notes: Vec<Note>,
}

#[derive(Debug, Serialize)]
struct Note {
    kind: &'static str,
    text: String,
    spans: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Skew {
    from: Arc<str>,
    to: Arc<str>,
    offset_us: f64,
    span: String,
}

#[derive(Debug, Serialize)]
struct Told {
    id: String,
    parent: Option<String>,
    depth: usize,
    service: Arc<str>,
    name: Arc<str>,
    kind: &'static str,
    route: Option<Arc<str>>,
    tenant: Option<Arc<str>>,
    start_us: f64,
    aligned_us: f64,
    duration_us: f64,
    self_us: f64,
    critical_us: f64,
    critical: Vec<(f64, f64)>,
    status: &'static str,
    status_message: String,
    is_orphan: bool,
    attributes: Vec<(String, serde_json::Value)>,
    events: Vec<Event>,
    links: Vec<Link>,
    resource: Vec<(String, serde_json::Value)>,
    scope: String,
    curl: Option<String>,
}

#[derive(Debug, Serialize)]
struct Event {
    name: String,
    at_us: f64,
    attributes: Vec<(String, serde_json::Value)>,
}

#[derive(Debug, Serialize)]
struct Link {
    trace: String,
    span: String,
    attributes: Vec<(String, serde_json::Value)>,
}

/// A trace in a list.
#[derive(Debug, Serialize)]
pub struct Line {
    id: String,
    start_us: u64,
    duration_us: f64,
    service: Arc<str>,
    name: Arc<str>,
    route: Option<Arc<str>>,
    kind: &'static str,
    tenant: Option<Arc<str>>,
    spans: usize,
    errors: usize,
    status: &'static str,
    services: Vec<Service>,
    is_complete: bool,
}

#[derive(Debug, Serialize)]
struct Service {
    name: Arc<str>,
    spans: usize,
}

/// What a report is made from.
struct Reading<'s> {
    facts: Vec<&'s Facts>,
    tree: Tree,
    times: Times,
    /// When the first span began, in nanoseconds since the Unix epoch.
    start: u64,
}

impl Report {
    /// The report of a trace: of its spans, to which `not_kept` more belong.
    #[must_use]
    pub fn of(id: TraceId, spans: Vec<Span>, not_kept: u64) -> Self {
        let facts: Vec<Facts> = spans.iter().map(|span| span.facts.clone()).collect();
        let reading = Reading::of(&facts);
        let facts = &reading.facts;
        let end = facts.iter().map(|f| f.end).max().unwrap_or_default();
        let verdict = Verdict::of(&reading.tree, &reading.times, facts);
        Self {
            id: id.to_string(),
            start_us: reading.start / 1_000,
            duration_us: micros(end.saturating_sub(reading.start)),
            tenants: facts.iter().filter_map(|f| f.tenant.clone()).collect(),
            services: facts.iter().map(|f| Arc::clone(&f.service)).collect(),
            spans_total: facts.len(),
            errors: facts.iter().filter(|f| f.is_error).count(),
            missing_parents: reading.tree.missing_parents,
            spans_not_kept: not_kept,
            verdict: verdict.map(|verdict| reading.words(verdict)),
            skew: reading.skew(),
            spans: reading.told(spans),
        }
    }
}

impl From<&Summary> for Line {
    fn from(summary: &Summary) -> Self {
        let services = summary.services.iter();
        Self {
            id: summary.id.to_string(),
            start_us: summary.start / 1_000,
            duration_us: micros(summary.duration),
            service: Arc::clone(&summary.service),
            name: Arc::clone(&summary.name),
            route: summary.route.clone(),
            kind: summary.kind.name(),
            tenant: summary.tenant.clone(),
            spans: summary.spans,
            errors: summary.errors,
            status: if summary.errors > 0 { "error" } else { "ok" },
            services: services
                .map(|(name, n)| Service { name: Arc::clone(name), spans: *n })
                .collect(),
            is_complete: summary.is_complete,
        }
    }
}

impl<'s> Reading<'s> {
    fn of(facts: &'s [Facts]) -> Self {
        let facts: Vec<&Facts> = facts.iter().collect();
        let tree = Tree::of(&facts);
        let times = Times::of(&tree);
        let start = facts.iter().map(|f| f.start).min().unwrap_or_default();
        Self { facts, tree, times, start }
    }

    fn id(&self, span: usize) -> String {
        self.facts.get(span).map(|f| f.span_id.to_string()).unwrap_or_default()
    }

    fn words(&self, verdict: Verdict) -> Words {
        let note = |note: verdict::Note| Note {
            kind: note.kind.name(),
            text: note.text,
            spans: note.spans.into_iter().take(MOST_NAMED).map(|span| self.id(span)).collect(),
        };
        Words {
            headline: verdict.headline,
            is_bottleneck: verdict.is_bottleneck,
            span: self.id(verdict.span),
            service: verdict.service,
            time_us: micros(verdict.time),
            share: verdict.share,
            notes: verdict.notes.into_iter().map(note).collect(),
        }
    }

    fn skew(&self) -> Vec<Skew> {
        let skews = self.tree.skews.iter().map(|skew| Skew {
            from: Arc::clone(&skew.from),
            to: Arc::clone(&skew.to),
            offset_us: signed_micros(skew.offset.into()),
            span: self.id(skew.span),
        });
        skews.collect()
    }

    /// The spans, in the order of a waterfall.
    fn told(&self, spans: Vec<Span>) -> Vec<Told> {
        let mut critical = self.critical();
        let mut spans: Vec<Option<Span>> = spans.into_iter().map(Some).collect();
        let in_order = self.tree.order.iter();
        in_order
            .filter_map(|&at| {
                let critical = critical.get_mut(at).map(std::mem::take).unwrap_or_default();
                self.span(at, spans.get_mut(at)?.take()?, critical)
            })
            .collect()
    }

    /// For each span its stretches of the critical path, on the aligned time line.
    fn critical(&self) -> Vec<Vec<(f64, f64)>> {
        let root = self.tree.root.and_then(|root| self.tree.nodes.get(root));
        let offset = root.map_or(0, |root| root.start - i128::from(self.start));
        let mut critical = vec![Vec::new(); self.facts.len()];
        for segment in &self.times.critical {
            if let Some(parts) = critical.get_mut(segment.span) {
                let on_line = |at: i64| signed_micros(i128::from(at) + offset);
                parts.push((on_line(segment.from), on_line(segment.to)));
            }
        }
        critical
    }

    fn span(&self, at: usize, span: Span, critical: Vec<(f64, f64)>) -> Option<Told> {
        let node = self.tree.nodes.get(at)?;
        let curl = curl::command(&span);
        let Span { facts, is_ok, status_message, attributes, events, links, resource, scope } =
            span;
        let since_start = |time| signed_micros(i128::from(time) - i128::from(self.start));
        let event = |event: super::Event| Event {
            at_us: since_start(event.time),
            name: event.name,
            attributes: json_attributes(event.attributes),
        };
        Some(Told {
            id: facts.span_id.to_string(),
            parent: facts.parent.map(|parent| parent.to_string()),
            depth: node.depth,
            kind: facts.kind.name(),
            start_us: since_start(facts.start),
            aligned_us: signed_micros(node.start - i128::from(self.start)),
            duration_us: micros(facts.duration()),
            self_us: self.times.self_time.get(at).copied().map(micros)?,
            critical_us: self.times.critical_time.get(at).copied().map(micros)?,
            critical,
            status: match (facts.is_error, is_ok) {
                (true, _) => "error",
                (false, true) => "ok",
                (false, false) => "unset",
            },
            status_message,
            is_orphan: node.is_orphan,
            attributes: json_attributes(attributes),
            events: events.into_iter().map(event).collect(),
            links: links.into_iter().map(link).collect(),
            resource: json_attributes(resource),
            scope,
            curl,
            service: facts.service,
            name: facts.name,
            route: facts.route,
            tenant: facts.tenant,
        })
    }
}

fn link(link: super::Link) -> Link {
    Link {
        trace: link.trace_id.to_string(),
        span: link.span_id.to_string(),
        attributes: json_attributes(link.attributes),
    }
}

fn json_attributes(attributes: Vec<Attribute>) -> Vec<(String, serde_json::Value)> {
    attributes.into_iter().map(|(key, value)| (key, json_value(value))).collect()
}

fn json_value(value: Value) -> serde_json::Value {
    match value {
        Value::Empty => serde_json::Value::Null,
        Value::Text(text) => text.into(),
        Value::Bool(is_so) => is_so.into(),
        // Beyond this a script would round it.
        Value::Int(number) if number.unsigned_abs() > 1 << 53 => number.to_string().into(),
        Value::Int(number) => number.into(),
        Value::Double(number) if number.is_finite() => number.into(),
        // JSON has no such numbers; these are the names that OTLP has for them.
        Value::Double(number) if number.is_nan() => "NaN".into(),
        Value::Double(number) => if number > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        bytes @ Value::Bytes(_) => bytes.to_string().into(),
        Value::List(values) => values.into_iter().map(json_value).collect(),
        Value::Map(entries) => {
            entries.into_iter().map(|(key, value)| (key, json_value(value))).collect()
        }
    }
}

/// Nanoseconds as microseconds with a fraction: numbers that scripts hold exactly.
#[expect(clippy::cast_precision_loss, reason = "a fraction of a microsecond may be lost")]
#[must_use]
pub fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}

/// The same for a time that may lie before another.
#[expect(clippy::cast_precision_loss, reason = "a fraction of a microsecond may be lost")]
fn signed_micros(nanoseconds: i128) -> f64 {
    nanoseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::trace;

    fn report(text: &str) -> Report {
        let spans = trace(text).spans();
        Report::of(spans[0].facts.trace_id, spans, 0)
    }

    #[test]
    fn a_chain_is_told_with_its_bottleneck() {
        let report = report(
            "gateway server 0..511 GET /
               gateway client 50..510 POST peer=order:80
                 order server 50..510 POST /orders
                   order client 450..460 GET peer=stock:80
                     stock server 450..460 GET /stock",
        );
        let selves: Vec<f64> = report.spans.iter().map(|span| span.self_us).collect();
        assert_eq!(selves, [51_000.0, 0.0, 450_000.0, 0.0, 10_000.0]);
        let verdict = report.verdict.unwrap();
        assert_eq!((&*verdict.service, verdict.time_us), ("order", 450_000.0));
        assert_eq!(verdict.span, report.spans[2].id);
        assert_eq!(report.spans[2].critical, [(50_000.0, 450_000.0), (460_000.0, 510_000.0)]);
    }

    #[test]
    fn a_span_that_begins_before_the_root_lies_before_its_line() {
        let report = report("gateway server 100..200 GET\n  order client 40..90 GET");
        let starts: Vec<f64> = report.spans.iter().map(|span| span.start_us).collect();
        assert_eq!(starts, [60_000.0, 0.0]);
    }

    #[test]
    fn what_a_script_would_round_is_told_as_text() {
        assert_eq!(json_value(Value::Int(7)), 7);
        assert_eq!(json_value(Value::Int(i64::MAX)), i64::MAX.to_string());
        assert_eq!(json_value(Value::Bytes(vec![1, 255])), "01ff");
        assert_eq!(json_value(Value::Double(f64::NAN)), "NaN");
        assert_eq!(json_value(Value::Double(f64::NEG_INFINITY)), "-Infinity");
    }
}
