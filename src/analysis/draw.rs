//! The graph of the services as text that other programs draw: Mermaid and Graphviz.
//!
//! Names come from anywhere, so that they are never identifiers, and in labels every character
//! that could mean something is written as its code.

use std::fmt::Write as _;

use super::graph::{Edge, Graph, Service};
use super::words;

impl Graph {
    /// The graph as a Mermaid flowchart, from left to right; what is not traced is round.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut text = "flowchart LR\n".to_owned();
        for (number, service) in self.services.iter().enumerate() {
            let label = joined(&lines_of(service), "<br/>", mermaid_text);
            let (open, close) = if service.is_traced { ("[", "]") } else { ("([", "])") };
            add(&mut text, format_args!("    s{number}{open}\"{label}\"{close}"));
        }
        for (from, to, edge) in self.numbered() {
            let label = joined(&lines_of_call(edge), "<br/>", mermaid_text);
            add(&mut text, format_args!("    s{from} -->|\"{label}\"| s{to}"));
        }
        text
    }

    /// The graph in Graphviz's language, from left to right; what is not traced is dashed.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut text = "digraph services {\n    rankdir=LR;\n    node [shape=box];\n".to_owned();
        for (number, service) in self.services.iter().enumerate() {
            let label = joined(&lines_of(service), "\\n", dot_text);
            let style = if service.is_traced { "" } else { ", style=dashed" };
            add(&mut text, format_args!("    s{number} [label=\"{label}\"{style}];"));
        }
        for (from, to, edge) in self.numbered() {
            let label = joined(&lines_of_call(edge), "\\n", dot_text);
            add(&mut text, format_args!("    s{from} -> s{to} [label=\"{label}\"];"));
        }
        text.push_str("}\n");
        text
    }

    /// The edges with the numbers of their ends.
    fn numbered(&self) -> impl Iterator<Item = (usize, usize, &Edge)> {
        let number = |name: &str| self.services.binary_search_by(|s| (*s.name).cmp(name)).ok();
        self.edges.iter().filter_map(move |e| Some((number(&e.from)?, number(&e.to)?, e)))
    }
}

fn add(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes any text");
}

fn joined(lines: &[String], between: &str, escape: fn(&str) -> String) -> String {
    lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join(between)
}

fn lines_of(service: &Service) -> Vec<String> {
    let mut lines = vec![words::name(&service.name)];
    if service.requests > 0 {
        lines.push(words::count(service.requests, thing(service.p99, "request")));
        lines.extend(measured(service.requests, service.errors, service.p50, service.p99));
    }
    lines
}

fn lines_of_call(edge: &Edge) -> Vec<String> {
    let mut lines = vec![words::count(edge.calls, thing(edge.p99, "call"))];
    lines.extend(measured(edge.calls, edge.errors, edge.p50, edge.p99));
    lines
}

/// What is counted: where nothing has a duration, there are connections only.
const fn thing(p99: u64, request: &'static str) -> &'static str {
    if p99 > 0 { request } else { "connection" }
}

fn measured(all: u64, errors: u64, p50: u64, p99: u64) -> impl Iterator<Item = String> {
    let failed = (errors > 0).then(|| format!("{} errors", words::share(errors, all)));
    let times = || format!("p50 {}, p99 {}", words::duration(p50), words::duration(p99));
    failed.into_iter().chain((p99 > 0).then(times))
}

/// Text for a quoted label of Mermaid, where `#` and a number stand for a character.
fn mermaid_text(text: &str) -> String {
    text.chars().fold(String::new(), |mut safe, c| {
        if c.is_alphanumeric() || " -_.,:/%".contains(c) {
            safe.push(c);
        } else {
            write!(safe, "#{};", u32::from(c)).expect("a String takes any text");
        }
        safe
    })
}

/// Text for a quoted label of Graphviz, which knows escapes and HTML's entities in it.
fn dot_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")
}

#[cfg(test)]
mod tests {
    use super::super::graph::Builder;
    use super::super::testing::{any_trace, trace};
    use super::*;
    use proptest::prelude::*;

    fn graph(text: &str) -> Graph {
        let mut graph = Builder::default();
        graph.add(&trace(text).facts());
        graph.finish()
    }

    #[test]
    fn connections_are_drawn_without_times() {
        let graph = graph("shop client 0..7200000 connection peer=db:5432 TCP");
        let expected = "flowchart LR\n    s0([\"db:5432\"])\n    s1[\"shop\"]\n    \
                        s1 -->|\"1 connection\"| s0\n";
        assert_eq!(graph.mermaid(), expected);
    }

    const SHOP: &str = "gateway server 0..100
           gateway client 5..25 peer=user:80 error
             user server 6..24 error
           gateway client 30..31 peer=cache";

    #[test]
    fn a_graph_is_drawn_for_mermaid() {
        let expected = r#"flowchart LR
    s0(["cache"])
    s1["gateway<br/>1 request<br/>p50 100 ms, p99 100 ms"]
    s2["user<br/>1 request<br/>100 % errors<br/>p50 18 ms, p99 18 ms"]
    s1 -->|"1 call<br/>p50 1 ms, p99 1 ms"| s0
    s1 -->|"1 call<br/>100 % errors<br/>p50 20 ms, p99 20 ms"| s2
"#;
        assert_eq!(graph(SHOP).mermaid(), expected);
    }

    #[test]
    fn a_graph_is_drawn_for_graphviz() {
        let expected = r#"digraph services {
    rankdir=LR;
    node [shape=box];
    s0 [label="cache", style=dashed];
    s1 [label="gateway\n1 request\np50 100 ms, p99 100 ms"];
    s2 [label="user\n1 request\n100 % errors\np50 18 ms, p99 18 ms"];
    s1 -> s0 [label="1 call\np50 1 ms, p99 1 ms"];
    s1 -> s2 [label="1 call\n100 % errors\np50 20 ms, p99 20 ms"];
}
"#;
        assert_eq!(graph(SHOP).dot(), expected);
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        let hostile = graph(r#"x"];click&#34;</b>\"`%%{init} client 0..1 peer="])-->|\"#);
        let label = "x#34;#93;#59;click#38;#35;34#59;#60;/b#62;#92;#34;#96;%%#123;init#125;";
        assert!(hostile.mermaid().contains(&format!("s1[\"{label}\"]")), "{}", hostile.mermaid());
        let label = r#"x\"];click&amp;#34;</b>\\\"`%%{init}"#;
        assert!(hostile.dot().contains(&format!("s1 [label=\"{label}\"]")), "{}", hostile.dot());
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_quotes(service in ".*", spans in any_trace()) {
            let mut spans = spans;
            spans.0.iter_mut().take(3).for_each(|s| s.service = service.as_str().into());
            let mut graph = Builder::default();
            graph.add(&spans.facts());
            let graph = graph.finish();
            let lines = 1 + graph.services.len() + graph.edges.len();
            prop_assert_eq!(graph.mermaid().lines().count(), lines);
            for line in graph.mermaid().lines().skip(1) {
                prop_assert_eq!(line.matches('"').count(), 2, "{}", line);
            }
            prop_assert_eq!(graph.dot().lines().count(), lines + 3);
            for line in graph.dot().lines().filter(|l| l.contains("label")) {
                let plain = line.replace("\\\\", "").replace("\\\"", "");
                prop_assert_eq!(plain.matches('"').count(), 2, "{}", line);
            }
        }
    }
}
