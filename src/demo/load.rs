//! The customers: a steady stream of requests to the gateway, a bounded number at a time.
//!
//! They are not part of the shop, have no sidecar and send no trace context: every request begins
//! a trace at the gateway.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::plan;

/// The time between two requests: 20 a second.
const EVERY: Duration = Duration::from_millis(50);
/// The most requests at a time; when there are so many, the next one waits.
const MAX_RUNNING: usize = 64;
/// How long a customer waits for the end of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that a customer reads, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The latencies that the median is of.
const MAX_LATENCIES: usize = 500;
/// How long a connection is kept without use.
const IDLE: Duration = Duration::from_secs(10);

/// The customers.
#[derive(Debug)]
pub struct Load {
    client: Client<HttpConnector, Full<Bytes>>,
    gateway: String,
    most: Option<u64>,
    ticks: Interval,
    running: JoinSet<Answer>,
    tally: Tally,
}

/// What became of the requests so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were answered with 4xx or 5xx, or not at all.
    pub errors: u64,
    latencies: VecDeque<Duration>,
}

/// How one request was answered, to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    status: Option<StatusCode>,
    took: Duration,
}

impl Load {
    /// Customers of the gateway at this address, for this many requests; `None` for no end.
    #[must_use]
    pub fn new(gateway: SocketAddr, most: Option<u64>) -> Self {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build_http();
        let (running, tally) = (JoinSet::new(), Tally::default());
        Self { client, gateway: gateway.to_string(), most, ticks, running, tally }
    }

    /// What became of the requests so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Sends what is due and takes answers, until the last request is answered. Nothing is lost
    /// when this is dropped and called again.
    pub async fn run(&mut self) {
        while self.has_more() || !self.running.is_empty() {
            let may_send = self.has_more() && self.running.len() < MAX_RUNNING;
            tokio::select! {
                _ = self.ticks.tick(), if may_send => self.send(),
                Some(answer) = self.running.join_next() => {
                    self.tally.note(answer.unwrap_or(Answer::NONE));
                }
            }
        }
    }

    /// Sends nothing more, and waits for the answers that are still to come.
    pub async fn finish(&mut self) {
        self.most = Some(self.tally.sent);
        self.run().await;
    }

    fn has_more(&self) -> bool {
        self.most.is_none_or(|most| self.tally.sent < most)
    }

    fn send(&mut self) {
        let request = plan::request(self.tally.sent, &self.gateway);
        self.tally.sent += 1;
        let client = self.client.clone();
        self.running.spawn(async move {
            let began = Instant::now();
            let answered = async {
                let response = client.request(request).await.ok()?;
                let status = response.status();
                #[expect(clippy::disallowed_methods, reason = "the body is limited")]
                let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
                body.ok().map(|_| status)
            };
            let status = timeout(PATIENCE, answered).await.ok().flatten();
            Answer { status, took: began.elapsed() }
        });
    }
}

impl Answer {
    /// What stands for the answer of a request that was lost in here.
    const NONE: Self = Self { status: None, took: PATIENCE };
}

impl Tally {
    fn note(&mut self, answer: Answer) {
        if answer.status.is_none_or(|status| status.as_u16() >= 400) {
            self.errors += 1;
        }
        if self.latencies.len() == MAX_LATENCIES {
            self.latencies.pop_front();
        }
        self.latencies.push_back(answer.took);
    }

    /// The time within which half of the last requests were answered; none before the first.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, took: u64) -> Answer {
        Answer { status: StatusCode::from_u16(status).ok(), took: Duration::from_millis(took) }
    }

    #[test]
    fn refusals_failures_and_silence_are_errors() {
        let mut tally = Tally::default();
        for status in [200, 201, 404, 402, 500] {
            tally.note(answer(status, 1));
        }
        tally.note(Answer::NONE);
        assert_eq!(tally.errors, 4);
    }

    #[test]
    fn the_median_is_of_the_last_requests() {
        let mut tally = Tally::default();
        assert_eq!(tally.median(), None);
        for took in [5, 1, 9] {
            tally.note(answer(200, took));
        }
        assert_eq!(tally.median(), Some(Duration::from_millis(5)));
        for _ in 0..MAX_LATENCIES {
            tally.note(answer(200, 7));
        }
        assert_eq!(tally.median(), Some(Duration::from_millis(7)));
        assert_eq!(tally.latencies.len(), MAX_LATENCIES);
    }
}
