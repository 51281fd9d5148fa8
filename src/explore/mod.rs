//! Traces on the terminal: those that `spandrel view` keeps, or Jaeger.
//!
//! `client` asks for them, `answer` reads what comes, `analysis` says what it means, and the other
//! modules draw: `list` a table, `show` one trace in time, `graph` who calls whom. Nothing here
//! keeps anything, and nothing that a stranger named reaches the terminal unfiltered (`screen`).

mod answer;
mod client;
#[cfg(fuzzing)]
pub mod fuzzing;
mod graph;
mod list;
mod screen;
mod show;
#[cfg(test)]
mod testing;
mod time;
mod waterfall;

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

pub use screen::Screen;

use crate::trace::TraceId;
use client::Client;

/// The most traces that one question is about: as many as `spandrel view` gives at once.
pub const MAX_LIMIT: usize = 2_000;

/// A question about traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The URL of `spandrel view`, or of Jaeger's query port.
    pub from: String,
    /// Whether the answer is JSON, for machines.
    pub json: bool,
    /// What is asked.
    pub question: Question,
}

/// What can be asked about traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which services have traces?
    Services,
    /// Which are the newest traces?
    List(Filter),
    /// What happened in the trace with this id?
    Show(String),
    /// Who calls whom in the newest traces?
    Graph {
        /// The language of the answer.
        drawing: Drawing,
        /// The most traces, from 1 to [`MAX_LIMIT`].
        limit: usize,
    },
}

/// The languages that a graph can be drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// For Markdown pages.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// Which traces are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those with a span of this service.
    pub service: Option<String>,
    /// Only those that took at least so long.
    pub min: Option<Duration>,
    /// Only those with an error.
    pub errors: bool,
    /// The most traces, from 1 to [`MAX_LIMIT`].
    pub limit: usize,
}

/// Why a question has no answer.
#[derive(Debug)]
pub enum ExploreError {
    /// The URL is not that of a server.
    Url {
        /// The URL as it was given.
        url: String,
    },
    /// The id is not one of a trace.
    Id {
        /// The id as it was given.
        id: String,
    },
    /// Nothing, or more traces than are given at once, are asked for.
    Limit,
    /// There is no such trace.
    NotKept {
        /// The id of the trace.
        id: TraceId,
        /// Where it was looked for.
        url: String,
    },
    /// No connection, no answer in time, or the connection broke.
    Unanswered {
        /// Who was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The answer is longer than it may be.
    TooLong {
        /// Who was asked.
        url: String,
        /// The longest answer, in bytes.
        most: usize,
    },
    /// What answers has another API.
    Foreign {
        /// Who was asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The server does not give what was asked for.
    Refused {
        /// Who was asked.
        url: String,
        /// The status of the answer.
        status: u16,
        /// What the server says; may be empty.
        message: String,
    },
    /// The client cannot be set up, or the output cannot be written.
    Failed(String),
}

impl ExploreError {
    /// Whether the question itself is wrong.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::Id { .. } | Self::Limit)
    }

    /// The sentence, in which a server's words may do harm on a terminal.
    fn write(&self, f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Url { url } => write!(
                f,
                "`{url}` is not where traces are: give a URL such as http://127.0.0.1:16030"
            ),
            Self::Id { id } => {
                write!(f, "`{id}` is no id of a trace: give its 32 hexadecimal digits")
            }
            Self::Limit => write!(f, "--limit: expected a whole number from 1 to {MAX_LIMIT}"),
            Self::NotKept { id, url } => write!(
                f,
                "trace {id} is not kept at {url}: see which are with `spandrel trace list`"
            ),
            Self::Unanswered { url, reason } => write!(
                f,
                "nothing answers at {url}: start `spandrel view`, or name Jaeger with --from \
                 ({reason})"
            ),
            Self::TooLong { url, most } => write!(
                f,
                "the answer of {url} is longer than {} MiB: ask for less with --limit",
                most >> 20
            ),
            Self::Foreign { url, reason } => write!(
                f,
                "{url} is neither `spandrel view` nor Jaeger: name one with --from ({reason})"
            ),
            Self::Refused { url, status, message } if message.is_empty() => {
                write!(f, "{url} refuses to answer, see why there (status {status})")
            }
            Self::Refused { url, status, message } => {
                write!(f, "{url} refuses to answer, ask otherwise (status {status}: {message})")
            }
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for ExploreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sentence = String::new();
        self.write(&mut sentence)?;
        f.write_str(&screen::harmless(&sentence))
    }
}

impl std::error::Error for ExploreError {}

/// Asks, and prints the answer.
///
/// # Errors
/// When there is no answer, or it cannot be printed.
pub async fn run(
    request: &Request,
    screen: Screen,
    out: &mut impl Write,
) -> Result<(), ExploreError> {
    let client = Client::new(&request.from)?;
    let text = match &request.question {
        Question::Services => services(&client.services().await?, request.json),
        Question::List(filter) => list::run(&client, filter, request.json, screen).await?,
        Question::Show(id) => show::run(&client, id, request.json, screen).await?,
        Question::Graph { drawing, limit } => {
            graph::run(&client, *drawing, *limit, request.json).await?
        }
    };
    print(&text, out)
}

/// The number of traces that are asked for.
fn limited(limit: usize) -> Result<usize, ExploreError> {
    if (1..=MAX_LIMIT).contains(&limit) { Ok(limit) } else { Err(ExploreError::Limit) }
}

fn services(services: &[String], json: bool) -> String {
    if json {
        return screen::json(&serde_json::json!({ "services": services }));
    }
    services.iter().map(|service| screen::harmless(service) + "\n").collect()
}

fn print(text: &str, out: &mut impl Write) -> Result<(), ExploreError> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads only the beginning, as `head` does, has what they want.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => {
            written.map_err(|error| ExploreError::Failed(format!("the output is lost: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_one_in_a_line_or_json() {
        let names = ["a".to_owned(), "b\x1b[2J".to_owned()];
        assert_eq!(services(&names, false), "a\nb\u{fffd}[2J\n");
        let json: serde_json::Value = serde_json::from_str(&services(&names, true)).unwrap();
        assert_eq!(json, serde_json::json!({ "services": names }));
        assert_eq!(services(&[], false), "");
    }

    #[test]
    fn an_error_is_one_line_that_does_no_harm() {
        let message = "no\n\x1b[2Jsuch".to_owned();
        let error = ExploreError::Refused { url: "http://a".to_owned(), status: 500, message };
        assert_eq!(
            error.to_string(),
            "http://a refuses to answer, ask otherwise (status 500: no\u{fffd}\u{fffd}[2Jsuch)"
        );
    }

    #[test]
    fn who_stops_reading_has_what_they_want() {
        struct Closed(io::ErrorKind);
        impl Write for Closed {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(print("a", &mut Closed(io::ErrorKind::BrokenPipe)).is_ok());
        let error = print("a", &mut Closed(io::ErrorKind::StorageFull)).expect_err("it is lost");
        assert!(!error.is_usage());
    }
}
