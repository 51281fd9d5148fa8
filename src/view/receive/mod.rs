//! Receiving OTLP: over HTTP and over gRPC, on either port.
//!
//! The two ports of OTLP are often taken for one another, so each takes both protocols: a request
//! whose content is gRPC's is answered as such, and any other as OTLP/HTTP.

pub(super) mod body;
pub(super) mod grpc;
pub(super) mod http;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::Arc;

use super::Backend;
use super::sidecars::Sidecars;
use super::store::{Source, Store};
use crate::analysis::message::{self, Encoding, Malformed, Signal, Take};

/// The longest body that is taken, in bytes as sent.
pub(super) const MAX_BODY: usize = 16 << 20;
/// The longest message that is taken, in bytes once it is no longer compressed.
pub(super) const MAX_MESSAGE: usize = 64 << 20;

/// What became of the items of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Items that were taken.
    pub taken: u64,
    /// Items that could not be read.
    pub refused: u64,
}

/// Takes a message.
///
/// # Errors
/// When it cannot be read, or nothing in it can.
pub(super) fn take(
    backend: &Backend,
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
) -> Result<Outcome, Malformed> {
    let mut state = backend.state();
    let state = &mut *state;
    let outcome = match signal {
        Signal::Traces => {
            let mut spans =
                Spans { store: &mut state.store, source: None, outcome: Outcome::default() };
            message::each::<Span>(encoding, body, &mut spans).map(|()| spans.outcome)
        }
        Signal::Metrics => {
            let mut metrics = Telling::new(&mut state.sidecars, backend.now());
            message::each::<Metric>(encoding, body, &mut metrics).map(|()| metrics.outcome)
        }
        Signal::Logs => {
            let mut lines = Telling::new(&mut state.sidecars, backend.now());
            message::each::<LogRecord>(encoding, body, &mut lines).map(|()| lines.outcome)
        }
    };
    outcome.and_then(|outcome| match outcome {
        Outcome { taken: 0, refused: 1.. } => {
            Err(Malformed("nothing in the body can be read as OTLP".to_owned()))
        }
        outcome => Ok(outcome),
    })
}

/// Takes spans into the store.
struct Spans<'s> {
    store: &'s mut Store,
    source: Option<Arc<Source>>,
    outcome: Outcome,
}

impl Take<Span> for Spans<'_> {
    fn group(&mut self, resource: &[KeyValue], scope: &str) {
        self.source = Some(self.store.source(resource, scope));
    }

    fn item(&mut self, item: Option<Span>) {
        let is_taken = match (&self.source, item) {
            (Some(source), Some(span)) => self.store.keep(source, &span),
            _ => {
                self.store.refuse();
                false
            }
        };
        self.outcome.count(is_taken);
    }
}

/// Takes what sidecars tell of themselves.
struct Telling<'s> {
    sidecars: &'s mut Sidecars,
    resource: Vec<KeyValue>,
    now: u64,
    outcome: Outcome,
}

impl<'s> Telling<'s> {
    fn new(sidecars: &'s mut Sidecars, now: u64) -> Self {
        Self { sidecars, resource: Vec::new(), now, outcome: Outcome::default() }
    }
}

impl Take<Metric> for Telling<'_> {
    fn group(&mut self, resource: &[KeyValue], _scope: &str) {
        self.resource = resource.to_vec();
    }

    fn item(&mut self, item: Option<Metric>) {
        self.outcome.count(item.is_some());
        if let Some(metric) = item {
            self.sidecars.note_metric(&self.resource, metric, self.now);
        }
    }
}

impl Take<LogRecord> for Telling<'_> {
    fn group(&mut self, resource: &[KeyValue], _scope: &str) {
        self.resource = resource.to_vec();
    }

    fn item(&mut self, item: Option<LogRecord>) {
        self.outcome.count(item.is_some());
        if let Some(record) = item {
            self.sidecars.note_line(&self.resource, &record, self.now);
        }
    }
}

impl Outcome {
    const fn count(&mut self, is_taken: bool) {
        if is_taken {
            self.taken += 1;
        } else {
            self.refused += 1;
        }
    }
}
