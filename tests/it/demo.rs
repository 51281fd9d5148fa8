//! The command `demo`, as it is run without a terminal.

use std::net::TcpListener;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::program::{Left, Program};

/// How long the end may take once it was asked for; it takes some ten milliseconds.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Takes the usual ports, for as long as any test runs, unless somebody else has them already.
fn take_usual_ports() {
    static TAKEN: OnceLock<Vec<TcpListener>> = OnceLock::new();
    let take = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
    TAKEN.get_or_init(|| [16006, 16030, 4317, 4318].into_iter().filter_map(take).collect());
}

/// What the shop counts after so many rounds of the plan, as it is printed.
fn calls(rounds: u32) -> [String; 4] {
    // In a round, users are asked for in 7 requests and 8 orders; 13 requests go to `order`: the 8
    // orders, which make a reservation each and one of them a second, 2 carts of 4 items, 2 reports
    // of 6, and a stream of events.
    [
        ("gateway -> user", 7 + 8),
        ("gateway -> order", 8 + 2 + 2 + 1),
        ("order -> payment", 8),
        ("order -> inventory", 8 + 1 + 2 * 4 + 2 * 6),
    ]
    .map(|(who, count)| format!("call {who} {}", count * rounds))
}

/// The number in the line that begins with `name`.
fn number(lines: &[&str], name: &str) -> u32 {
    let value = lines.iter().find_map(|line| line.strip_prefix(name)?.split(' ').nth(1));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {lines:#?}"))
}

/// Signals the program, and waits for its end.
fn ended(program: Program, signal: &str) -> Left {
    let asked = Instant::now();
    program.signal(signal);
    let left = program.end();
    assert!(asked.elapsed() < AT_ONCE, "it took {:?} to end", asked.elapsed());
    left
}

#[test]
fn the_shop_counts_what_the_plan_says_and_every_span_of_it_arrives() {
    take_usual_ports();
    let program = Program::start(&["demo", "--requests", "60", "--duration", "60s"], &[]);
    let greeting = program.output("Ctrl-C ends it");
    let page = greeting.iter().find_map(|line| line.trim().strip_prefix("page     "));
    let page = page.expect("the page is named").to_owned();
    assert!(page.starts_with("http://127.0.0.1:") && !page.ends_with(":16030"), "{page}");
    for command in ["trace list", "graph"] {
        let line = format!("  spandrel {command} --from {page}");
        assert!(greeting.contains(&line), "{line} is not in {greeting:#?}");
    }
    program.output("60 requests are answered");
    let table = program.output("order -> inventory");
    assert_eq!(table, calls(3));
    let left = ended(program, "-TERM");
    assert_eq!((left.code, left.err.as_slice()), (Some(0), &[][..]), "{left:?}");
    let lines: Vec<&str> = left.out.lines().collect();
    // The entrance of each request, and both ends of each call.
    let spans = 60 + 2 * 3 * (15 + 13 + 8 + 29);
    let numbers = ["requests", "errors", "traces", "spans"].map(|name| number(&lines, name));
    assert_eq!(numbers, [60, 9, 60, spans]);
    assert!(lines.iter().any(|line| line.starts_with("slowest hop ")), "{lines:#?}");
    assert!(!left.out.contains("call "), "the calls are told once");
}

#[test]
fn its_time_over_it_ends_by_itself_with_a_report() {
    take_usual_ports();
    let program = Program::start(&["demo", "--duration", "1s", "--no-page"], &[]);
    let greeting = program.output("Ctrl-C ends it");
    assert!(!greeting.iter().any(|line| line.contains("--from")), "{greeting:#?}");
    let left = program.end();
    assert_eq!((left.code, left.err.as_slice()), (Some(0), &[][..]), "{left:?}");
    let lines: Vec<&str> = left.out.lines().collect();
    let sent = number(&lines, "requests");
    assert_eq!(number(&lines, "traces"), sent);
    let call = |line: &&str| line.starts_with("call ");
    let counted = lines.iter().filter(|l| call(l)).filter_map(|l| l.rsplit(' ').next());
    let counted: u32 = counted.map(|count| count.parse::<u32>().expect("a number")).sum();
    assert_eq!(number(&lines, "spans"), sent + 2 * counted, "{lines:#?}");
    assert_eq!(lines.iter().filter(|l| call(l)).count(), 4);
}

#[test]
fn ctrl_c_ends_it_at_once_while_requests_run() {
    take_usual_ports();
    let program = Program::start(&["demo"], &[]);
    program.output("requests ");
    let left = ended(program, "-INT");
    assert_eq!((left.code, left.err.as_slice()), (Some(0), &[][..]), "{left:?}");
    assert!(left.out.contains("\nslowest hop "), "{left:?}");
}

#[test]
fn a_reader_that_is_gone_ends_it_quietly() {
    take_usual_ports();
    let left = Program::start_unread(&["demo", "--duration", "60s"]).end();
    assert_eq!((left.code, left.err.as_slice()), (Some(0), &[][..]), "{left:?}");
}

#[test]
fn what_is_no_time_is_told() {
    let left = Program::start(&["demo", "--duration", "20"], &[]).end();
    assert_eq!((left.code, left.out.as_str()), (Some(2), ""));
    let start = "spandrel: --duration: expected a duration from 1s to 24h";
    assert!(left.err.join("\n").starts_with(start), "{left:?}");
}
