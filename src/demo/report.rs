//! What the terminal says: where to look, how it goes, and what came of it.
//!
//! On a terminal one line is written over and over; elsewhere a plain line now and then, so that a
//! log stays short.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::backend;
use super::load::Tally;
use super::shop::calls::Table;

/// How often the line on a terminal is written anew.
const LIVE_EVERY: Duration = Duration::from_millis(500);
/// How often a line is written where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Back to the start of the line, and away with what stands there.
const ERASE: &str = "\r\x1b[K";

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The page, if it is served.
    pub page: Option<SocketAddr>,
    /// Where OTLP over gRPC is received.
    pub grpc: SocketAddr,
    /// Where OTLP over HTTP is received.
    pub http: SocketAddr,
    /// The inbound side of the sidecar beside the gateway.
    pub shop: SocketAddr,
    /// The admin listener of that sidecar.
    pub admin: SocketAddr,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Requests that were sent.
    pub requests: u64,
    /// Those that were answered with 4xx or 5xx, or not at all.
    pub errors: u64,
    /// The time within which half of the last requests were answered.
    pub median: Option<Duration>,
    /// Traces that have arrived.
    pub traces: u64,
    /// Spans that have arrived.
    pub spans: u64,
}

/// What came of it all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How far it came.
    pub progress: Progress,
    /// The hop that took longest, in words.
    pub slowest_hop: Option<String>,
    /// The shop's own count, unless it was told already.
    pub calls: Option<Table>,
}

/// Where all of this is written.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    is_terminal: bool,
}

impl<W: Write> Screen<W> {
    /// A screen, or what stands for one.
    pub const fn new(out: W, is_terminal: bool) -> Self {
        Self { out, is_terminal }
    }

    /// How often [`status`](Self::status) is to be called.
    pub const fn every(&self) -> Duration {
        if self.is_terminal { LIVE_EVERY } else { PLAIN_EVERY }
    }

    /// Says where everything is, and what to look at first.
    pub fn greet(&mut self, places: &Places) -> io::Result<()> {
        self.write(&greeting(places))
    }

    /// Says how it goes.
    pub fn status(&mut self, progress: &Progress) -> io::Result<()> {
        let line = status(progress);
        if !self.is_terminal {
            return self.write(&format!("{line}\n"));
        }
        write!(self.out, "{ERASE}{line}")?;
        self.out.flush()
    }

    /// Says that the requests that were asked for are answered, and what calls they made.
    pub fn load_is_over(&mut self, progress: &Progress, calls: &Table) -> io::Result<()> {
        let requests = progress.requests;
        let calls = table(calls);
        self.write(&format!("{requests} requests are answered; the shop counted\n{calls}"))
    }

    /// Says what came of it all.
    pub fn report(&mut self, summary: &Summary) -> io::Result<()> {
        self.write(&report(summary))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let erase = if self.is_terminal { ERASE } else { "" };
        self.out.write_all(format!("{erase}{text}").as_bytes())?;
        self.out.flush()
    }
}

impl Progress {
    /// How far it has come, by what the customers saw and by what has arrived.
    pub fn new(tally: &Tally, traces: u64, spans: u64) -> Self {
        let Tally { sent: requests, errors, .. } = *tally;
        Self { requests, errors, median: tally.median(), traces, spans }
    }
}

fn greeting(places: &Places) -> String {
    let Places { page, grpc, http, shop, admin } = places;
    let (page, from) = match page {
        None => ("none".to_owned(), None),
        Some(page) if *page == backend::PAGE => (format!("http://{page}"), Some(String::new())),
        Some(page) => (format!("http://{page}"), Some(format!(" --from http://{page}"))),
    };
    let commands = from.map_or_else(String::new, |from| {
        format!("\nFrom another terminal\n  spandrel trace list{from}\n  spandrel graph{from}\n")
    });
    format!(
        "A shop of five services without tracing code, and a sidecar beside each:\n\
         \n\
         \x20 gateway -> user\n\
         \x20 gateway -> order -> payment (gRPC)\n\
         \x20            order -> inventory\n\
         \n\
         \x20 page     {page}\n\
         \x20 shop     curl -H 'x-tenant-id: acme' http://{shop}/cart\n\
         \x20 sidecar  http://{admin}/metrics (of the one beside the gateway)\n\
         \x20 OTLP     {grpc} (gRPC), {http} (HTTP)\n\
         \n\
         Look first at\n\
         \x20 POST /orders that took longer than 300 ms: the verdict names payment\n\
         \x20 GET /report beside GET /cart: calls one after another, and at the same time\n\
         \x20 POST /orders with an error: it began in payment, order and gateway passed it on\n\
         \x20 POST /orders with two reservations: inventory was busy, and order asked again\n\
         {commands}\n\
         Ctrl-C ends it.\n"
    )
}

fn status(progress: &Progress) -> String {
    let Progress { requests, errors, median, traces, spans } = progress;
    let median = median.map_or_else(|| "-".to_owned(), |m| format!("{} ms", m.as_millis()));
    format!("requests {requests}  errors {errors}  traces {traces}  spans {spans}  p50 {median}")
}

fn report(summary: &Summary) -> String {
    let Progress { requests, errors, traces, spans, .. } = summary.progress;
    let hop = summary.slowest_hop.as_deref().unwrap_or("none");
    format!(
        "requests {requests}\n\
         errors {errors} (answered with 4xx or 5xx)\n\
         traces {traces}\n\
         spans {spans}\n\
         slowest hop {hop}\n\
         {}",
        summary.calls.as_ref().map(table).unwrap_or_default()
    )
}

fn table(calls: &Table) -> String {
    calls.iter().map(|((from, to), count)| format!("call {from} -> {to} {count}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::shop::Service;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn places(page: Option<u16>) -> Places {
        let page = page.map(at);
        Places { page, grpc: at(4317), http: at(4318), shop: at(16006), admin: at(5) }
    }

    fn progress() -> Progress {
        let median = Some(Duration::from_micros(14_900));
        Progress { requests: 400, errors: 60, median, traces: 399, spans: 3_000 }
    }

    fn calls() -> Table {
        [((Service::Gateway, Service::User), 123), ((Service::Order, Service::Payment), 4)].into()
    }

    fn written(is_terminal: bool, act: impl FnOnce(&mut Screen<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        act(&mut Screen::new(&mut out, is_terminal));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_greeting_names_the_addresses_that_are_real() {
        let text = greeting(&places(Some(16030)));
        for line in ["page     http://127.0.0.1:16030", "  spandrel trace list", "  spandrel graph"]
        {
            assert!(text.lines().any(|l| l.trim() == line.trim()), "{line} is not in\n{text}");
        }
        let text = greeting(&places(Some(40_000)));
        for command in ["trace list", "graph"] {
            let line = format!("  spandrel {command} --from http://127.0.0.1:40000");
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!greeting(&places(None)).contains("--from"));
        assert!(!greeting(&places(None)).contains("spandrel graph"), "there is nothing to ask");
    }

    #[test]
    fn a_terminal_has_one_line_that_is_written_over() {
        let text = written(true, |screen| {
            screen.status(&progress()).unwrap();
            screen.status(&progress()).unwrap();
            screen.load_is_over(&progress(), &calls()).unwrap();
        });
        let line = "requests 400  errors 60  traces 399  spans 3000  p50 14 ms";
        assert!(text.starts_with(&format!("{ERASE}{line}{ERASE}{line}{ERASE}400 ")), "{text:?}");
        assert!(line.len() < 80);
    }

    #[test]
    fn elsewhere_there_are_plain_lines() {
        let text = written(false, |screen| {
            let none = Progress { median: None, ..progress() };
            screen.status(&none).unwrap();
            screen.load_is_over(&progress(), &calls()).unwrap();
        });
        assert_eq!(
            text,
            "requests 400  errors 60  traces 399  spans 3000  p50 -\n\
             400 requests are answered; the shop counted\n\
             call gateway -> user 123\n\
             call order -> payment 4\n"
        );
    }

    #[test]
    fn the_report_is_a_line_for_each_number() {
        let summary = Summary {
            progress: progress(),
            slowest_hop: Some("order -> payment".to_owned()),
            calls: Some(calls()),
        };
        let text = "requests 400\n\
                    errors 60 (answered with 4xx or 5xx)\n\
                    traces 399\n\
                    spans 3000\n\
                    slowest hop order -> payment\n";
        let table = "call gateway -> user 123\ncall order -> payment 4\n";
        assert_eq!(report(&summary), format!("{text}{table}"));
        let told = Summary { calls: None, ..summary };
        assert_eq!(report(&told), text, "the calls are told once");
    }

    #[test]
    fn a_screen_that_is_gone_is_an_error() {
        let mut closed: &mut [u8] = &mut [];
        assert!(Screen::new(&mut closed, false).status(&progress()).is_err());
    }
}
