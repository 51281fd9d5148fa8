//! One trace in time: a line for each span, below the span that caused it.
//!
//! All is drawn on the aligned time line, so that a call lies within its caller whatever the
//! clocks of their hosts say.

use super::screen::{Colour, Screen, harmless, left, right, width};
use crate::analysis::path::Times;
use crate::analysis::tree::Tree;
use crate::analysis::{Facts, words};

/// The fewest columns of a duration; a long one takes more.
const LEAST_TIME: usize = 8;

/// The columns between two others.
const GAP: &str = "  ";

/// The share of what is left for the tree and the time line that the time line gets, in percent.
const BAR_SHARE: usize = 42;

/// The columns of one level of the tree.
const LEVEL: usize = 2;

/// A part that the whole trace waited for.
const CRITICAL: char = '█';
/// Any other part of a span.
const OTHER: char = '░';

/// What of a cell of the time line a span takes up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Empty,
    Other,
    Critical,
}

/// The time line that the spans are drawn on.
struct Line<'a> {
    tree: &'a Tree,
    /// For each span, its stretches of the critical path, from and to.
    critical: Vec<Vec<(i128, i128)>>,
    /// The aligned start of the first span.
    start: i128,
    /// From there to the end of the last span, in nanoseconds; at least 1.
    length: i128,
    columns: usize,
}

/// How many columns each part of a line has.
#[derive(Clone, Copy)]
struct Columns {
    label: usize,
    time: usize,
    bar: usize,
}

impl Columns {
    /// For durations that are at most as long as these.
    fn of(screen: Screen, durations: &[[String; 2]]) -> Self {
        let widest = durations.iter().flatten().map(|text| width(text)).max().unwrap_or_default();
        let time = widest.max(LEAST_TIME);
        // Beside the label and the bar there are the error mark and two times.
        let others = 1 + 2 * time + 4 * GAP.len();
        let rest = screen.columns().saturating_sub(others);
        let bar = rest * BAR_SHARE / 100;
        Self { label: rest - bar, time, bar }
    }
}

/// The lines of the waterfall, with a heading.
pub(super) fn draw(facts: &[&Facts], tree: &Tree, times: &Times, screen: Screen) -> String {
    let durations: Vec<[String; 2]> = (0..tree.nodes.len())
        .map(|span| {
            let own = times.self_time.get(span).copied().unwrap_or_default();
            [tree.duration(span), own].map(words::duration)
        })
        .collect();
    let columns = Columns::of(screen, &durations);
    let line = Line::new(tree, times, columns.bar);
    let mut branches = Branches { open: Vec::new(), most: columns.label / LEVEL / 2 };
    let mut text = heading(&line, columns, screen);
    for span in tree.order.iter().copied() {
        let (Some(this), Some(durations)) = (facts.get(span), durations.get(span)) else {
            continue;
        };
        let label = left(&(branches.next(tree, span) + &name(this, tree, span)), columns.label);
        let [duration, own] = durations.each_ref().map(|text| right(text, columns.time));
        let [label, mark] = [label.as_str(), if this.is_error { "✗" } else { " " }].map(|part| {
            if this.is_error { screen.paint(Colour::Red, part) } else { part.to_owned() }
        });
        text += &[label, mark, duration, own, paint(&line.cells(span), screen)].join(GAP);
        text.push('\n');
    }
    text
}

/// From the start of the first span to the end of the last, in nanoseconds.
pub(super) fn length(tree: &Tree) -> u64 {
    let (start, end) = bounds(tree);
    u64::try_from(end - start).unwrap_or(u64::MAX)
}

/// The aligned start of the first span, and the end of the last.
fn bounds(tree: &Tree) -> (i128, i128) {
    let start = tree.nodes.iter().map(|node| node.start).min().unwrap_or_default();
    let end = tree.nodes.iter().map(|node| node.end).max().unwrap_or_default();
    (start, end)
}

/// The service and the name of a span, marked where its parent is not here.
fn name(this: &Facts, tree: &Tree, span: usize) -> String {
    let is_orphan = tree.nodes.get(span).is_some_and(|node| node.is_orphan);
    let mark = if is_orphan { "⋯ " } else { "" };
    harmless(&format!("{mark}{} {}", this.service, this.name))
}

fn heading(line: &Line<'_>, columns: Columns, screen: Screen) -> String {
    let length = words::duration(length(line.tree));
    let parts = [
        left("SPAN", columns.label),
        " ".to_owned(),
        right("DURATION", columns.time),
        right("SELF", columns.time),
        format!("0{}", right(&length, columns.bar.saturating_sub(1))),
    ];
    screen.paint(Colour::Bold, &parts.join(GAP)) + "\n"
}

/// The lines that connect a span to its parent, from one span of the order to the next.
struct Branches {
    /// For each span above and the last one itself, whether it has siblings further down.
    open: Vec<bool>,
    /// The most levels that are drawn; of a deeper tree the last ones are.
    most: usize,
}

impl Branches {
    fn next(&mut self, tree: &Tree, span: usize) -> String {
        let depth = tree.nodes.get(span).map_or(0, |node| node.depth);
        let siblings = tree.parent(span).map_or(&[][..], |parent| tree.children(parent));
        let is_last = siblings.last().is_none_or(|last| *last == span);
        self.open.truncate(depth);
        let above = self.open.get(1..).unwrap_or_default();
        let skipped = (above.len() + 1).saturating_sub(self.most);
        let mut branch = if skipped > 0 { "… ".to_owned() } else { String::new() };
        for is_open in above.iter().skip(skipped) {
            branch += if *is_open { "│ " } else { "  " };
        }
        if depth > 0 {
            branch += if is_last { "└ " } else { "├ " };
        }
        self.open.push(!is_last);
        branch
    }
}

impl<'a> Line<'a> {
    fn new(tree: &'a Tree, times: &Times, columns: usize) -> Self {
        let (start, end) = bounds(tree);
        let root = tree.root.and_then(|root| tree.nodes.get(root)).map_or(start, |n| n.start);
        let mut critical = vec![Vec::new(); tree.nodes.len()];
        for segment in &times.critical {
            if let Some(of_span) = critical.get_mut(segment.span) {
                of_span.push((root + i128::from(segment.from), root + i128::from(segment.to)));
            }
        }
        Self { tree, critical, start, length: (end - start).max(1), columns }
    }

    /// The cells of a span, up to its end. A span of any length has one at least.
    fn cells(&self, span: usize) -> Vec<Cell> {
        let Some(node) = self.tree.nodes.get(span) else { return Vec::new() };
        let columns = i128::try_from(self.columns).unwrap_or(i128::MAX);
        let last = columns - 1;
        let first = ((node.start - self.start) * columns / self.length).clamp(0, last);
        let end = ((node.end - self.start) * columns + self.length - 1) / self.length;
        let end = end.clamp(first + 1, columns);
        let cell = |at: i128| if at < first { Cell::Empty } else { self.cell(span, at) };
        (0..end).map(cell).collect()
    }

    /// What of a cell the span takes up: the critical path wherever that comes by, so that every
    /// column shows which spans were waited for.
    fn cell(&self, span: usize, at: i128) -> Cell {
        let columns = i128::try_from(self.columns).unwrap_or(i128::MAX);
        // In units of which a cell has as many as the line has nanoseconds.
        let (from, to) = (at * self.length, (at + 1) * self.length);
        let comes_by = |(start, end): &(i128, i128)| {
            (start - self.start) * columns < to && (end - self.start) * columns > from
        };
        let critical = self.critical.get(span).map(Vec::as_slice).unwrap_or_default();
        if critical.iter().any(comes_by) { Cell::Critical } else { Cell::Other }
    }
}

/// The cells as characters, in colours where there are any.
fn paint(cells: &[Cell], screen: Screen) -> String {
    let run = |run: &[Cell]| match run.first() {
        Some(Cell::Critical) => {
            screen.paint(Colour::Yellow, &CRITICAL.to_string().repeat(run.len()))
        }
        Some(Cell::Other) => screen.paint(Colour::Faint, &OTHER.to_string().repeat(run.len())),
        Some(Cell::Empty) | None => " ".repeat(run.len()),
    };
    cells.chunk_by(PartialEq::eq).map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{Trace, trace};

    fn drawn(trace: &Trace, screen: Screen) -> String {
        let facts = trace.facts();
        let tree = Tree::of(&facts);
        draw(&facts, &tree, &Times::of(&tree), screen)
    }

    fn lines(trace: &Trace, columns: usize) -> Vec<String> {
        let drawn = drawn(trace, Screen::new(columns, false));
        drawn.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_trace_is_a_tree_with_its_critical_path() {
        let shop = trace(
            "gateway server 0..500 GET /checkout
               gateway client 10..90 GET
                 user server 15..85 GET /users/{id}
               gateway client 100..490 POST
                 orders server 110..480 POST /orders error
                   orders internal 120..200 price",
        );
        let expected = [
            "SPAN                                 DURATION      SELF  0                500 ms",
            "gateway GET /checkout                  500 ms     30 ms  █░░░█░░░░░░░░░░░░░░░░░█",
            "├ gateway GET                           80 ms     10 ms  █░░██",
            "│ └ user GET /users/{id}                70 ms     70 ms  ████",
            "└ gateway POST                         390 ms     20 ms      ██░░░░░░░░░░░░░░░░█",
            "  └ orders POST /orders           ✗    370 ms    290 ms       █░░░██████████████",
            "    └ orders price                      80 ms     80 ms       █████",
        ];
        assert_eq!(lines(&shop, 80), expected);
    }

    #[test]
    fn the_drawing_is_as_wide_as_the_terminal() {
        let mut deep = trace("a server 0..100 id=1");
        for id in 2..=200 {
            deep.add("service internal 0..100 a name of some length", id, Some(id - 1));
        }
        for columns in [60, 100, 237] {
            let lines = lines(&deep, columns);
            assert_eq!(lines.len(), 201);
            assert!(lines.iter().all(|line| width(line) == columns), "{lines:#?}");
            assert!(lines.last().unwrap().contains("└ service"), "the last levels are drawn");
        }
        let long =
            trace("a server 0..3000000\n  中文中文中文中文中文中文中文中文 server 0..725000");
        assert!(lines(&long, 60).iter().all(|line| width(line) <= 60), "{:#?}", lines(&long, 60));
    }

    #[test]
    fn what_has_no_parent_here_stands_by_itself() {
        let cut = trace("a server 0..10 first id=1\nb server 5..5 second id=2 parent=9");
        let lines = lines(&cut, 60);
        assert!(lines[1].starts_with("a first "), "{lines:#?}");
        assert!(lines[2].starts_with("⋯ b second "), "{lines:#?}");
        assert!(lines[2].ends_with('░') && !lines[2].ends_with("░░"), "{lines:#?}");
    }

    #[test]
    fn a_skewed_call_is_drawn_within_its_caller() {
        let skewed = trace("a client 0..100\n  b server 9000..9100");
        let lines = lines(&skewed, 60);
        assert_eq!(lines[0].split_whitespace().last(), Some("ms"), "{lines:#?}");
        assert!(lines[0].contains("100 ms"), "{lines:#?}");
    }

    #[test]
    fn a_trace_of_no_length_is_drawn() {
        assert!(lines(&trace("a server 7..7"), 60)[1].ends_with('░'));
        assert_eq!(lines(&Trace(vec![]), 60).len(), 1);
    }

    #[test]
    fn names_do_no_harm_and_errors_are_red() {
        let mut hostile = trace("a server 0..10 error\n  a internal 0..5");
        hostile.0[1].name = "\x1b[2J\n\u{202e}".into();
        let plain = drawn(&hostile, Screen::new(80, false));
        assert!(plain.chars().all(|c| c == '\n' || !c.is_control()), "{plain:?}");
        assert_eq!(plain.lines().count(), 3);
        let coloured = drawn(&hostile, Screen::new(80, true));
        let red: Vec<bool> = coloured.lines().map(|line| line.contains("\x1b[31m")).collect();
        assert_eq!(red, [false, true, false]);
        assert!(!coloured.contains("\x1b[2J"));
    }
}
