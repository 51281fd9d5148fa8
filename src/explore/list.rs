//! The newest traces, one in a line.

use serde_json::json;

use super::client::{Client, LOOKBACK, Search, Trace};
use super::screen::{self, Colour, Screen, harmless, left, right, width};
use super::{ExploreError, Filter, MAX_LIMIT, limited, time};
use crate::analysis::report::Line;
use crate::analysis::summary::Summary;
use crate::analysis::{Facts, words};
use crate::net::clock::Clock;

/// The columns of everything but the root of a trace: an age, a duration, the two counts and the
/// id. A long duration takes more.
const COLUMNS: [usize; 5] = [5, 8, 5, 6, 32];

/// The columns between two others.
const GAP: usize = 2;

/// The fewest columns that the root of a trace is named in.
const LEAST_ROOT: usize = 14;

/// Asks for the traces that the filter lets through, and lists them.
///
/// # Errors
/// When the limit is out of bounds, or there is no answer.
pub(super) async fn run(
    client: &Client,
    filter: &Filter,
    is_json: bool,
    screen: Screen,
) -> Result<String, ExploreError> {
    let traces = client.newest(&search(filter)?).await?;
    let found = summaries(&traces, filter);
    Ok(if is_json {
        screen::json(&json!({ "traces": found.iter().map(Line::from).collect::<Vec<_>>() }))
    } else if found.is_empty() {
        nothing(client.url())
    } else {
        table(&found, Clock::anchored().now(), screen)
    })
}

/// What to ask a server for. It can tell no errors, and takes a duration and a service to be
/// those of one span, where a trace has both; these are left to us, who look at more traces then.
fn search(filter: &Filter) -> Result<Search<'_>, ExploreError> {
    let limit = limited(filter.limit)?;
    let min = filter.min.filter(|_| filter.service.is_none());
    let is_ours = filter.errors || filter.min != min;
    let limit = if is_ours { MAX_LIMIT } else { limit };
    Ok(Search { service: filter.service.as_deref(), min, limit })
}

/// The traces that the filter lets through.
fn summaries(traces: &[Trace], filter: &Filter) -> Vec<Summary> {
    let min = filter.min.map(time::nanoseconds).unwrap_or_default();
    let all =
        traces.iter().filter_map(|t| Summary::of(&t.spans.iter().collect::<Vec<&Facts>>(), 0));
    let fitting = all.filter(|s| s.duration >= min && (s.errors > 0 || !filter.errors));
    fitting.take(filter.limit).collect()
}

fn nothing(url: &str) -> String {
    let days = LOOKBACK.as_secs() / (24 * 60 * 60);
    format!("No such traces of the last {days} days at {url}.\n")
}

fn table(traces: &[Summary], now: u64, screen: Screen) -> String {
    let head = ["AGE", "DURATION", "SPANS", "ERRORS", "TRACE"].map(str::to_owned);
    let cells: Vec<_> = traces.iter().map(|trace| cells(trace, now)).collect();
    let names: Vec<String> = traces.iter().map(root).collect();
    let widest = |at: usize| cells.iter().filter_map(|row| Some(width(row.get(at)?))).max();
    let [age, duration, spans, errors, id] = COLUMNS;
    let columns = [age, duration.max(widest(1).unwrap_or_default()), spans, errors, id];
    let others: usize = columns.iter().map(|columns| columns + GAP).sum();
    let longest = names.iter().map(|name| width(name)).max().unwrap_or_default();
    let most = screen.columns().saturating_sub(others).max(LEAST_ROOT);
    let root = longest.clamp(LEAST_ROOT, most);
    let mut text = screen.paint(Colour::Bold, &line(&head, &columns, &left("ROOT", root))) + "\n";
    for ((trace, cells), name) in traces.iter().zip(&cells).zip(&names) {
        let line = line(cells, &columns, &left(name, root));
        text += &if trace.errors > 0 { screen.paint(Colour::Red, &line) } else { line };
        text.push('\n');
    }
    text
}

/// What the table says of a trace beside its root.
fn cells(trace: &Summary, now: u64) -> [String; 5] {
    [
        time::age(now, trace.start),
        words::duration(trace.duration),
        trace.spans.to_string(),
        if trace.errors == 0 { String::new() } else { trace.errors.to_string() },
        trace.id.to_string(),
    ]
}

/// One line of the table; the root comes after the duration.
fn line(cells: &[String; 5], columns: &[usize; 5], root: &str) -> String {
    let [age, duration, spans, errors, id] = cells;
    let [age_columns, duration_columns, spans_columns, errors_columns, _id] = columns;
    let cells = [
        right(age, *age_columns),
        right(duration, *duration_columns),
        root.to_owned(),
        right(spans, *spans_columns),
        right(errors, *errors_columns),
        id.clone(),
    ];
    cells.join(&" ".repeat(GAP))
}

/// The service and the name of the root.
fn root(trace: &Summary) -> String {
    harmless(&format!("{} {}", trace.service, trace.name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{facts, service};
    use super::*;

    const MS: u64 = 1_000_000;

    /// The traces of a shop: one that failed and is recent, and one of another day.
    fn shop() -> Vec<Summary> {
        let failed = vec![
            service(facts(0xa, 1, 1_000 * MS), "gateway", "GET /checkout"),
            service(facts(0xa, 2, 1_200 * MS), "orders", "POST /orders"),
        ];
        let other = vec![service(facts(0xb, 3, 100 * MS), "cron\x1b[1m", "中文")];
        let mut summaries: Vec<Summary> = [failed, other]
            .iter()
            .filter_map(|spans| Summary::of(&spans.iter().collect::<Vec<_>>(), 0))
            .collect();
        summaries[0].errors = 1;
        summaries
    }

    #[test]
    fn traces_are_a_table_as_wide_as_the_terminal() {
        let now = 90 * 60 * 1_000 * MS;
        let ids = [0xa, 0xb].map(|id: u128| format!("{id:032x}"));
        let expected = [
            "  AGE  DURATION  ROOT                   SPANS  ERRORS  TRACE".to_owned(),
            format!("   1h    200 ms  gateway GET /checkout      2       1  {}", ids[0]),
            format!("   1h     10 ns  cron\u{fffd}[1m 中文              1          {}", ids[1]),
        ];
        let drawn = table(&shop(), now, Screen::new(100, false));
        assert_eq!(drawn.lines().collect::<Vec<_>>(), expected);
        let narrow = table(&shop(), now, Screen::new(84, false));
        let lines: Vec<&str> = narrow.lines().collect();
        assert!(lines[1].contains(" gateway GET /chec…  "), "{narrow}");
        assert!(lines.iter().all(|line| width(line) <= 84), "{narrow}");
        let usual = table(&shop(), now, Screen::new(80, false));
        assert!(usual.lines().all(|line| width(line) <= 80), "{usual}");
    }

    #[test]
    fn errors_stand_out_where_there_are_colours() {
        let drawn = table(&shop(), 0, Screen::new(100, true));
        let starts: Vec<bool> = drawn.lines().map(|line| line.starts_with("\x1b[31m")).collect();
        assert_eq!(starts, [false, true, false]);
        assert_eq!(drawn.matches('\x1b').count(), 4, "the head and one line are coloured");
    }

    #[test]
    fn what_the_server_cannot_tell_is_told_here() {
        let trace = |id, spans| Trace { id: facts(id, 1, 1).trace_id, spans };
        let mut failed = facts(1, 1, 1);
        failed.is_error = true;
        let mut slow = facts(2, 1, 1);
        slow.end = slow.start + 9 * MS;
        let traces = [trace(1, vec![failed]), trace(2, vec![slow]), trace(3, vec![facts(3, 1, 1)])];
        let ids = |filter: &Filter| -> Vec<u128> {
            let found = summaries(&traces, filter);
            found.iter().map(|s| u128::from_be_bytes(s.id.to_bytes())).collect()
        };
        let all = Filter { limit: 9, ..Filter::default() };
        assert_eq!(ids(&all), [1, 2, 3]);
        assert_eq!(ids(&Filter { errors: true, ..all.clone() }), [1]);
        let slow = Filter { min: Some(std::time::Duration::from_millis(9)), ..all.clone() };
        assert_eq!(ids(&slow), [2]);
        assert_eq!(ids(&Filter { limit: 1, ..all }), [1]);
    }

    #[test]
    fn a_server_is_asked_for_more_where_we_choose_ourselves() {
        let min = Some(std::time::Duration::from_secs(1));
        let filter = Filter { limit: 20, min, ..Filter::default() };
        assert_eq!(search(&filter).unwrap(), Search { service: None, min, limit: 20 });
        let of_service = Filter { service: Some("a".to_owned()), ..filter };
        let expected = Search { service: Some("a"), min: None, limit: MAX_LIMIT };
        assert_eq!(search(&of_service).unwrap(), expected);
        let failed = Filter { errors: true, ..filter.clone() };
        assert_eq!(search(&failed).unwrap().limit, MAX_LIMIT);
        for limit in [0, MAX_LIMIT + 1] {
            let error = search(&Filter { limit, ..filter.clone() }).expect_err("out of bounds");
            assert!(error.is_usage());
        }
    }
}
