//! Asks `spandrel view`, or Jaeger, for traces: the API that both have, `/api/v3/*`.
//!
//! Jaeger named the parameters anew in its version 2.19 and takes both names since; the old ones,
//! which every version takes, are sent. Some of its stores find nothing unless a service is named,
//! so where nothing is found without one, all services are gone through.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, Version, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{ExploreError, answer, time};
use crate::analysis::{Facts, Span};
use crate::export::{self, Bounds, SendError, Transport};
use crate::net::clock::Clock;
use crate::net::own::OwnSockets;
use crate::trace::TraceId;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long one whole answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How far back traces are searched for. Stores with an index for each day go through every one.
pub(super) const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How far ahead of ours the clocks of services may be for their traces to be found.
const AHEAD: Duration = Duration::from_secs(60 * 60);

/// The most services that are gone through one by one.
const MAX_SERVICES: usize = 1_000;

/// The longest text of a server that an error repeats, in characters.
const MAX_QUOTED: usize = 300;

/// Where traces are read from.
#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    /// The URL that the paths of the API follow.
    base: String,
}

/// Which traces to search for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Search<'a> {
    /// Those with a span of this service.
    pub(super) service: Option<&'a str>,
    /// Those with a span that took at least so long, of that service where one is named.
    pub(super) min: Option<Duration>,
    /// The most traces.
    pub(super) limit: usize,
}

/// The spans of a trace, in the order they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) id: TraceId,
    pub(super) spans: Vec<Facts>,
}

impl Trace {
    /// When its first span started, in nanoseconds since the Unix epoch.
    pub(super) fn start(&self) -> u64 {
        self.spans.iter().map(|span| span.start).min().unwrap_or_default()
    }
}

impl Client {
    /// A client for the server at this URL.
    ///
    /// # Errors
    /// When it is no URL of a server, or its certificates cannot be read.
    pub(super) fn new(from: &str) -> Result<Self, ExploreError> {
        let base = from.trim_end_matches('/').to_owned();
        let invalid = || ExploreError::Url { url: from.to_owned() };
        let uri = export::uri(&base).map_err(|_| invalid())?;
        if uri.query().is_some() || base.contains(['@', '#']) {
            return Err(invalid());
        }
        let settings = export::Client { timeout: TIMEOUT, ..export::Client::default() };
        let bounds = Bounds { answer: MAX_ANSWER, connect: Some(CONNECT) };
        let own = OwnSockets::default();
        let transport = Transport::bounded(&settings, Version::HTTP_11, &uri, bounds, &own)
            .map_err(|error| ExploreError::Failed(error.to_string()))?;
        Ok(Self { transport, base })
    }

    /// The URL of the server.
    pub(super) fn url(&self) -> &str {
        &self.base
    }

    /// The services that have traces, sorted.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn services(&self) -> Result<Vec<String>, ExploreError> {
        let Some(body) = self.get("services").await? else { return Ok(Vec::new()) };
        answer::services(&body).map_err(|why| self.unreadable(&why))
    }

    /// The spans of a trace.
    ///
    /// # Errors
    /// When there is no answer, or no such trace.
    pub(super) async fn trace(&self, id: TraceId) -> Result<Vec<Span>, ExploreError> {
        let body = self.get(&format!("traces/{id}")).await?.unwrap_or_default();
        let mut spans = self.spans(&body)?;
        spans.retain(|span| span.facts.trace_id == id);
        if spans.is_empty() {
            return Err(ExploreError::NotKept { id, url: self.base.clone() });
        }
        Ok(spans)
    }

    /// The newest traces that match, newest first.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn newest(&self, search: &Search<'_>) -> Result<Vec<Trace>, ExploreError> {
        let found = match self.found(search).await {
            // Some stores want a service.
            Err(ExploreError::Refused { .. }) if search.service.is_none() => Vec::new(),
            found => found?,
        };
        if found.is_empty() && search.service.is_none() {
            return self.newest_of_each(search).await;
        }
        Ok(newest(Vec::new(), found, search.limit))
    }

    /// The same, asked of one service after the other.
    async fn newest_of_each(&self, search: &Search<'_>) -> Result<Vec<Trace>, ExploreError> {
        let mut traces = Vec::new();
        for service in self.services().await?.iter().take(MAX_SERVICES) {
            let search = Search { service: Some(service), ..search.clone() };
            traces = newest(traces, self.found(&search).await?, search.limit);
        }
        Ok(traces)
    }

    /// The spans of the traces that the server finds.
    async fn found(&self, search: &Search<'_>) -> Result<Vec<Facts>, ExploreError> {
        let body = self.get(&search.path(Clock::anchored().now())).await?;
        let spans = body.map(|body| self.spans(&body)).transpose()?.unwrap_or_default();
        Ok(spans.into_iter().map(|span| span.facts).collect())
    }

    fn spans(&self, body: &[u8]) -> Result<Vec<Span>, ExploreError> {
        answer::spans(body).map_err(|why| self.unreadable(&why))
    }

    /// What the server answers for a path below `/api/v3/`; `None` where it has nothing like it.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, ExploreError> {
        let uri = format!("{}/api/v3/{path}", self.base);
        let uri: Uri = uri.parse().map_err(|_| ExploreError::Url { url: self.base.clone() })?;
        let request = Request::get(uri)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("spandrel/", env!("CARGO_PKG_VERSION")))
            .body(Bytes::new())
            .expect("the parts are valid");
        let answer = self.transport.send(request).await.map_err(|error| self.unanswered(error))?;
        if answer.head.status == StatusCode::OK {
            return Ok(Some(answer.body));
        }
        match (answer.head.status, answer::problem(&answer.body)) {
            (StatusCode::NOT_FOUND, Some(_)) => Ok(None),
            (StatusCode::NOT_FOUND, None) => Err(self.foreign("it answers 404")),
            (status, problem) => Err(ExploreError::Refused {
                url: self.base.clone(),
                status: status.as_u16(),
                message: quoted(&problem.unwrap_or_default()),
            }),
        }
    }

    fn unanswered(&self, error: SendError) -> ExploreError {
        let url = self.base.clone();
        match error {
            SendError::TooLong(most) => ExploreError::TooLong { url, most },
            SendError::Failed(reason) => ExploreError::Unanswered { url, reason },
        }
    }

    fn unreadable(&self, why: &str) -> ExploreError {
        self.foreign(&quoted(why))
    }

    fn foreign(&self, reason: &str) -> ExploreError {
        ExploreError::Foreign { url: self.base.clone(), reason: reason.to_owned() }
    }
}

impl Search<'_> {
    /// The path and query for what happened until `now`, in nanoseconds since the Unix epoch.
    fn path(&self, now: u64) -> String {
        let from = now.saturating_sub(time::nanoseconds(LOOKBACK));
        let to = now.saturating_add(time::nanoseconds(AHEAD));
        let min = self.min.map(|min| format!("{}ms", min.as_millis()));
        let parameters = [
            ("service_name", self.service.map(str::to_owned)),
            ("start_time_min", Some(time::rfc3339(from))),
            ("start_time_max", Some(time::rfc3339(to))),
            ("num_traces", Some(self.limit.to_string())),
            ("duration_min", min),
        ];
        let given = parameters.into_iter().filter_map(|(name, value)| {
            Some(format!("query.{name}={}", utf8_percent_encode(&value?, NON_ALPHANUMERIC)))
        });
        format!("traces?{}", given.collect::<Vec<_>>().join("&"))
    }
}

/// The newest of `traces` and of those that the spans make up, newest first. A trace that is
/// there already is whole: another search only found it again.
fn newest(mut traces: Vec<Trace>, spans: Vec<Facts>, limit: usize) -> Vec<Trace> {
    let known: HashSet<TraceId> = traces.iter().map(|trace| trace.id).collect();
    let mut found: BTreeMap<TraceId, Vec<Facts>> = BTreeMap::new();
    for span in spans.into_iter().filter(|span| !known.contains(&span.trace_id)) {
        found.entry(span.trace_id).or_default().push(span);
    }
    traces.extend(found.into_iter().map(|(id, spans)| Trace { id, spans }));
    traces.sort_by_key(|trace| std::cmp::Reverse((trace.start(), trace.id)));
    traces.truncate(limit);
    traces
}

/// A server's text as an error may repeat it.
fn quoted(text: &str) -> String {
    super::screen::cut(text.trim(), MAX_QUOTED)
}

#[cfg(test)]
mod tests {
    use super::super::testing::facts;
    use super::*;

    #[test]
    fn a_search_is_in_the_words_of_every_version() {
        let min = Some(Duration::from_millis(250));
        let search = Search { service: Some("a&b/ü"), min, limit: 20 };
        let now = 8 * 24 * 60 * 60 * 1_000_000_000;
        assert_eq!(
            search.path(now),
            "traces?query.service_name=a%26b%2F%C3%BC\
             &query.start_time_min=1970%2D01%2D02T00%3A00%3A00%2E000000Z\
             &query.start_time_max=1970%2D01%2D09T01%3A00%3A00%2E000000Z\
             &query.num_traces=20&query.duration_min=250ms"
        );
        let search = Search { service: None, min: None, limit: 1 };
        assert!(!search.path(0).contains("service") && !search.path(0).contains("duration"));
    }

    #[test]
    fn only_urls_of_servers_are_taken() {
        for good in ["http://127.0.0.1:16030", "https://jaeger/", "http://[::1]:16686/jaeger/ui/"] {
            assert!(Client::new(good).is_ok(), "{good}");
        }
        for bad in ["", "jaeger:16686", "ftp://jaeger", "http://a/?b", "http://u:p@a", "http://a#b"]
        {
            let error = Client::new(bad).expect_err("no URL of a server");
            assert!(error.is_usage(), "{bad}");
        }
    }

    #[test]
    fn the_newest_traces_are_first_and_whole() {
        let first = newest(vec![], vec![facts(1, 1, 100), facts(2, 2, 300), facts(1, 3, 50)], 9);
        let ids = |traces: &[Trace]| traces.iter().map(Trace::start).collect::<Vec<_>>();
        assert_eq!(ids(&first), [300, 50]);
        assert_eq!(first[1].spans.len(), 2);
        let again = vec![facts(2, 2, 300), facts(3, 9, 200)];
        let merged = newest(first, again, 2);
        assert_eq!(ids(&merged), [300, 200]);
        assert_eq!(merged[0].spans.len(), 1, "a trace that was known is not there twice");
    }
}
