//! What becomes of the OTLP that comes: spans are kept, and what sidecars tell of themselves.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::Backend;
use super::sidecars::Sidecars;
use super::store::{Source, Store};
use crate::analysis::message::{self, Malformed, Take};
use crate::intake::{Bounds, Outcome, Receiver, Refusal};
use crate::otlp::{Encoding, Signal};

/// What is taken in: a message of any usual sender, and many of them at once.
pub(super) const BOUNDS: Bounds = Bounds { message: 64 << 20, bodies: 128 << 20 };

impl Receiver for Backend {
    fn take(&self, signal: Signal, encoding: Encoding, message: &[u8]) -> Result<Outcome, Refusal> {
        take(self, signal, encoding, message).map_err(|Malformed(text)| Refusal::Malformed(text))
    }

    fn note_refusal(&self) {
        self.state().refused_requests += 1;
    }
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
            let mut spans = Spans::new(&mut state.store);
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
    outcome?.unless_unreadable().map_err(Malformed)
}

/// Takes spans into the store.
struct Spans<'s> {
    store: &'s mut Store,
    resource: Vec<KeyValue>,
    source: Option<Arc<Source>>,
    outcome: Outcome,
}

impl<'s> Spans<'s> {
    fn new(store: &'s mut Store) -> Self {
        Self { store, resource: Vec::new(), source: None, outcome: Outcome::default() }
    }
}

impl Take<Span> for Spans<'_> {
    fn resource(&mut self, resource: Resource, _schema_url: &str) {
        self.resource = resource.attributes;
    }

    fn scope(&mut self, scope: InstrumentationScope, _schema_url: &str) {
        self.source = Some(self.store.source(&self.resource, &scope.name));
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
    fn resource(&mut self, resource: Resource, _schema_url: &str) {
        self.resource = resource.attributes;
    }

    fn scope(&mut self, _scope: InstrumentationScope, _schema_url: &str) {}

    fn item(&mut self, item: Option<Metric>) {
        self.outcome.count(item.is_some());
        if let Some(metric) = item {
            self.sidecars.note_metric(&self.resource, metric, self.now);
        }
    }
}

impl Take<LogRecord> for Telling<'_> {
    fn resource(&mut self, resource: Resource, _schema_url: &str) {
        self.resource = resource.attributes;
    }

    fn scope(&mut self, _scope: InstrumentationScope, _schema_url: &str) {}

    fn item(&mut self, item: Option<LogRecord>) {
        self.outcome.count(item.is_some());
        if let Some(record) = item {
            self.sidecars.note_line(&self.resource, &record, self.now);
        }
    }
}
