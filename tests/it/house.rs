//! The rules of the house that no lint knows.

use crate::support::sources::{Source, root, sources};

/// The most lines of a file that are not its tests.
const MOST_LINES: usize = 500;
/// The most lines of a function, its first and last included.
const MOST_FUNCTION_LINES: usize = 80;

/// The lines before the tests at the end of a file.
fn production(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_tests = |at: usize| {
        let next = lines.get(at + 1).copied().unwrap_or_default();
        lines.get(at) == Some(&"#[cfg(test)]") && next.starts_with("mod tests")
    };
    let end = (0..lines.len()).find(|at| is_tests(*at)).unwrap_or(lines.len());
    lines.into_iter().take(end).collect()
}

/// The functions of a formatted file: the number of the first line of each, and how many lines it
/// has. Those of one line, and declarations without a body, are left out.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let starts = lines.iter().enumerate().filter(|(_, line)| begins_function(line));
    let whole = starts.filter_map(|(at, line)| {
        let indentation = " ".repeat(line.len() - line.trim_start().len());
        let closes = |l: &&str| {
            let rest = l.strip_prefix(&indentation).unwrap_or_default();
            rest == "}" || rest.starts_with(')') && rest.ends_with(';')
        };
        let last = lines.iter().skip(at).position(closes)?;
        let has_body = lines.get(at + last)?.ends_with('}');
        has_body.then_some((at + 1, last + 1))
    });
    whole.collect()
}

fn begins_function(line: &str) -> bool {
    let before = line.find("fn ").and_then(|at| line.get(..at));
    let is_qualifier = |word: &str| {
        matches!(word, "pub" | "const" | "async" | "unsafe") || word.starts_with("pub(")
    };
    before.is_some_and(|before| before.split_whitespace().all(is_qualifier))
        && !line.ends_with([';', '}'])
}

/// Whether a whole file is there for tests alone.
fn is_for_tests(source: &Source) -> bool {
    source.path.ends_with("tests.rs") || source.path.ends_with("testing.rs")
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    for source in sources().iter().filter(|s| !is_for_tests(s)) {
        let count = production(&source.text).len();
        assert!(count <= MOST_LINES, "{} has {count} lines without its tests", source.path);
    }
}

#[test]
fn no_function_is_longer_than_a_page() {
    let mut seen = 0;
    for source in sources() {
        for (at, length) in functions(&production(&source.text)) {
            let where_it_is = format!("{}:{at}", source.path);
            assert!(length <= MOST_FUNCTION_LINES, "{where_it_is} has {length} lines");
            seen += 1;
        }
    }
    assert!(seen > 300, "only {seen} functions were found");
}

#[test]
fn a_long_function_is_found() {
    let body = "    x();\n".repeat(MOST_FUNCTION_LINES - 1);
    let text = format!(
        "pub(crate) async fn long<'a>(\n    a: &'a str,\n) {{\n{body}}}\n\nfn short() {{\n}}\n"
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(functions(&lines), [(1, MOST_FUNCTION_LINES + 3), (85, 2)]);
    let declared = "trait A {\n    fn a(\n        b: B,\n    ) -> C;\n    fn d() {\n    }\n}\n";
    assert_eq!(functions(&declared.lines().collect::<Vec<_>>()), [(5, 2)]);
    let nested = "impl A {\n    const fn b(&self) {\n        c();\n    }\n    fn d(&self) {}\n}\n";
    assert_eq!(functions(&nested.lines().collect::<Vec<_>>()), [(2, 3)]);
}

#[test]
fn tests_do_not_count_as_production() {
    let text = "fn a() {}\n\n#[cfg(test)]\nuse x;\n\n#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(production(text).len(), 5);
    assert_eq!(production("#[cfg(test)]\nmod testing;\nfn a() {}\n").len(), 3);
}

#[test]
fn every_metric_is_documented() {
    let path = root().join("docs/metrics.md");
    let text = std::fs::read_to_string(&path).expect("docs/metrics.md describes the metrics");
    for metric in spandrel::metrics::ALL {
        assert!(text.contains(&format!("`{}", metric.name)), "{} is not in {path:?}", metric.name);
    }
}
