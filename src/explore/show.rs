//! One trace: what it was, where its time went, and the hop to look at.

use std::collections::BTreeSet;

use super::client::Client;
use super::screen::{self, Colour, Screen, harmless, wrapped};
use super::{ExploreError, time, waterfall};
use crate::analysis::path::Times;
use crate::analysis::report::Report;
use crate::analysis::tree::Tree;
use crate::analysis::verdict::{Note, Verdict};
use crate::analysis::{Facts, Link, Span, words};
use crate::trace::TraceId;

/// The digits of the ids that some older tracers make; they are the last digits of a whole id.
const SHORT_ID: usize = 16;

/// The most links that are told, those of the first spans.
const MAX_LINKS: usize = 8;

/// A trace and what is known of it.
struct Reading<'a> {
    facts: Vec<&'a Facts>,
    tree: Tree,
    times: Times,
    verdict: Option<Verdict>,
    /// When its first span started, in nanoseconds since the Unix epoch.
    start: u64,
}

/// Asks for the trace with this id, and shows it.
///
/// # Errors
/// When the id is none, or there is no answer or no such trace.
pub(super) async fn run(
    client: &Client,
    id: &str,
    is_json: bool,
    screen: Screen,
) -> Result<String, ExploreError> {
    let id = parsed(id).ok_or_else(|| ExploreError::Id { id: id.to_owned() })?;
    let spans = client.trace(id).await?;
    if is_json {
        return Ok(screen::json(&Report::of(id, spans, 0)));
    }
    Ok(drawn(id, &spans, screen))
}

/// The trace with this id, of these spans, as people read it.
pub(super) fn drawn(id: TraceId, spans: &[Span], screen: Screen) -> String {
    Reading::of(spans).drawn(id, screen) + &links(spans, screen)
}

/// The id that these hexadecimal digits are.
fn parsed(text: &str) -> Option<TraceId> {
    match text.len() {
        SHORT_ID => TraceId::from_hex(&format!("{text:0>32}")),
        _ => TraceId::from_hex(text),
    }
}

impl<'a> Reading<'a> {
    fn of(spans: &'a [Span]) -> Self {
        let facts: Vec<&Facts> = spans.iter().map(|span| &span.facts).collect();
        let tree = Tree::of(&facts);
        let times = Times::of(&tree);
        let verdict = Verdict::of(&tree, &times, &facts);
        let start = facts.iter().map(|f| f.start).min().unwrap_or_default();
        Self { facts, tree, times, verdict, start }
    }

    fn services(&self) -> BTreeSet<&str> {
        self.facts.iter().map(|f| &*f.service).collect()
    }

    fn tenants(&self) -> BTreeSet<&str> {
        self.facts.iter().filter_map(|f| f.tenant.as_deref()).collect()
    }

    fn errors(&self) -> usize {
        self.facts.iter().filter(|f| f.is_error).count()
    }

    fn drawn(&self, id: TraceId, screen: Screen) -> String {
        let waterfall = waterfall::draw(&self.facts, &self.tree, &self.times, screen);
        let legend = "█ the trace waited for this  ░ it did not  ✗ error  ⋯ its parent is not here";
        let title = screen.paint(Colour::Bold, &format!("Trace {id}"));
        let (headline, notes) = self.verdict.as_ref().map(|v| said(v, screen)).unwrap_or_default();
        format!(
            "{title}\n{}\n\n{waterfall}\n{headline}{notes}{}\n",
            self.description(screen),
            screen.paint(Colour::Faint, legend)
        )
    }

    /// When and how long it was, and how much there is of it.
    fn description(&self, screen: Screen) -> String {
        let count = |number: usize, thing| words::count(u64::try_from(number).unwrap_or(0), thing);
        let mut parts = vec![
            time::rfc3339(self.start),
            words::duration(waterfall::length(&self.tree)),
            count(self.facts.len(), "span"),
            count(self.services().len(), "service"),
        ];
        if self.errors() > 0 {
            parts.push(screen.paint(Colour::Red, &count(self.errors(), "error")));
        }
        parts.extend(self.tenants().into_iter().map(|t| format!("tenant {}", harmless(t))));
        parts.join("  ")
    }
}

/// Which other traces the spans have to do with; nothing where there are none.
fn links(spans: &[Span], screen: Screen) -> String {
    let all = spans.iter().flat_map(|span| span.links.iter().map(move |link| (span, link)));
    let line = |(span, link): (&Span, &Link)| {
        let whose = harmless(&format!("{} {}", span.facts.service, span.facts.name));
        let text = format!("{whose} is linked to trace {}, span {}", link.trace_id, link.span_id);
        wrapped(&text, 0, screen.columns()).join("\n") + "\n"
    };
    let mut text: String = all.clone().take(MAX_LINKS).map(line).collect();
    let untold = all.count().saturating_sub(MAX_LINKS);
    if untold > 0 {
        text += &format!("and {untold} more; --json tells all of them\n");
    }
    text
}

/// The headline of a verdict, and its notes.
fn said(verdict: &Verdict, screen: Screen) -> (String, String) {
    let text = |text: &str, indent| {
        let lines = wrapped(&harmless(text), indent, screen.columns());
        lines.into_iter().map(|line| line + "\n").collect::<String>()
    };
    let headline = text(&verdict.headline, 0);
    let headline = screen.paint(Colour::Bold, headline.trim_end()) + "\n";
    let note = |note: &Note| {
        let lines = text(&note.text, 2);
        format!("•{}", lines.get(1..).unwrap_or_default())
    };
    (headline, verdict.notes.iter().map(note).collect::<String>() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::trace;

    /// The spans that the text draws.
    fn spans(text: &str) -> Vec<Span> {
        trace(text).spans()
    }

    fn shop() -> Vec<Span> {
        spans(
            "gateway server 0..512 GET /checkout tenant=acme
               gateway client 1..511 POST peer=orders:80
                 orders server 31..481 POST /orders error",
        )
    }

    fn id() -> TraceId {
        shop()[0].facts.trace_id
    }

    #[test]
    fn ids_have_32_digits_or_are_the_short_ones_of_older_tracers() {
        let whole = "0AF7651916cd43dd8448eb211c80319c";
        assert_eq!(parsed(whole).map(|id| id.to_string()), Some(whole.to_ascii_lowercase()));
        let short = parsed("8448eb211c80319c").map(|id| id.to_string());
        assert_eq!(short.as_deref(), Some("00000000000000008448eb211c80319c"));
        let zero = "0".repeat(32);
        let signed = format!("+{}", "1".repeat(31));
        for bad in ["", "abc123", &zero, &signed, &whole.replace('c', "x"), &format!("{whole}0")] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_trace_is_told_drawn_and_judged() {
        let (spans, screen) = (shop(), Screen::new(100, false));
        let drawn = Reading::of(&spans).drawn(id(), screen);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], format!("Trace {}", id()));
        let expected =
            "2023-11-14T22:13:20.000000Z  512 ms  3 spans  2 services  1 error  tenant acme";
        assert_eq!(lines[1], expected);
        assert!(lines[3].starts_with("SPAN ") && lines[4].starts_with("gateway GET "), "{drawn}");
        let verdict = Reading::of(&spans).verdict.expect("the trace took time");
        assert!(lines.contains(&&*verdict.headline), "{drawn}");
        for note in &verdict.notes {
            let start: String = note.text.chars().take(40).collect();
            assert!(drawn.contains(&format!("\n• {start}")), "{drawn}");
        }
        assert!(lines.last().is_some_and(|l| l.starts_with("█ the trace waited")), "{drawn}");
        assert!(!drawn.contains('\x1b'));
    }

    #[test]
    fn links_are_told_up_to_a_bound() {
        let (mut spans, screen) = (shop(), Screen::new(200, false));
        let id = id();
        assert_eq!(links(&spans, screen), "");
        let span_id = spans[0].facts.span_id;
        let link = || Link { trace_id: id, span_id, attributes: Vec::new() };
        spans[2].links = vec![link()];
        let told = drawn(id, &spans, screen);
        let line = format!("\norders POST /orders is linked to trace {id}, span {span_id}\n");
        assert!(told.ends_with(&line), "{told}");
        spans[2].links = (0..MAX_LINKS + 2).map(|_| link()).collect();
        let told = links(&spans, screen);
        assert_eq!(told.lines().count(), MAX_LINKS + 1, "{told}");
        assert!(told.ends_with("and 2 more; --json tells all of them\n"), "{told}");
    }

    #[test]
    fn a_trace_without_a_verdict_is_drawn_all_the_same() {
        let spans = spans("a server 5..5");
        let drawn = Reading::of(&spans).drawn(id(), Screen::new(100, false));
        assert!(drawn.contains("\na "), "{drawn}");
    }

    #[test]
    fn clocks_that_do_not_agree_are_told_with_both_times() {
        let spans = spans("a client 0..100\n  b server -3000..-2900");
        let drawn = Reading::of(&spans).drawn(id(), Screen::new(100, false));
        assert!(drawn.lines().nth(1).is_some_and(|line| line.contains("  100 ms  ")), "{drawn}");
    }
}
