//! The sidecars' own books and last complaints, from the metrics and logs that they send.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric, number_data_point};

use crate::analysis::NO_SERVICE;
use crate::analysis::otlp;

/// The most sidecars that are remembered; the one that was silent for longest makes room.
const MAX_SIDECARS: usize = 1_024;
/// The most numbers of one sidecar that are remembered.
const MAX_NUMBERS: usize = 128;
/// The most log lines of one sidecar that are remembered.
const MAX_LINES: usize = 20;
/// The longest text of a log line that is remembered, in bytes.
const MAX_TEXT: usize = 500;
/// The longest name that is remembered, in bytes.
const MAX_NAME: usize = 200;
/// The least severity of a log line that is remembered: a warning.
const LEAST_SEVERITY: i32 = 13;
/// What the names of a sidecar's metrics begin with.
const PREFIX: &str = "spandrel.";

/// Every sidecar that tells of itself, by service and instance.
#[derive(Debug, Default)]
pub(super) struct Sidecars {
    all: BTreeMap<Identity, Sidecar>,
}

/// The service that a sidecar stands beside, and which of its instances.
pub(super) type Identity = (String, String);

/// What a sidecar told of itself.
#[derive(Debug, Default)]
pub(super) struct Sidecar {
    /// When it was last heard of, in nanoseconds since the Unix epoch by our clock.
    pub seen: u64,
    /// The newest value of each number, by the metric's name and labels.
    numbers: BTreeMap<(String, String), u64>,
    /// Its newest warnings and errors, oldest first.
    pub lines: Vec<Line>,
}

/// A line of a sidecar's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// When, in nanoseconds since the Unix epoch by its clock.
    pub time: u64,
    /// How grave: `WARN`, `ERROR`.
    pub level: String,
    /// What, with the fields it has.
    pub text: String,
}

impl Sidecars {
    /// Every sidecar, by service and instance.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Identity, &Sidecar)> {
        self.all.iter()
    }

    /// Notes a metric of spandrel's; others are none of ours.
    pub(super) fn note_metric(&mut self, resource: &[KeyValue], metric: Metric, now: u64) {
        let Some(name) = metric.name.strip_prefix(PREFIX) else { return };
        let points = match metric.data {
            Some(metric::Data::Sum(sum)) => sum.data_points,
            Some(metric::Data::Gauge(gauge)) => gauge.data_points,
            _ => return,
        };
        let name = cut(name, MAX_NAME);
        let sidecar = self.sidecar(resource, now);
        for point in points {
            let Some(value) = whole(&point) else { continue };
            let key = (name.to_owned(), labels(&point.attributes));
            let is_known = sidecar.numbers.contains_key(&key);
            if is_known || sidecar.numbers.len() < MAX_NUMBERS {
                sidecar.numbers.insert(key, value);
            }
        }
    }

    /// Notes a log line, where it is a warning or worse.
    pub(super) fn note_line(&mut self, resource: &[KeyValue], record: &LogRecord, now: u64) {
        if record.severity_number < LEAST_SEVERITY {
            return;
        }
        let lines = &mut self.sidecar(resource, now).lines;
        if lines.len() == MAX_LINES {
            lines.remove(0);
        }
        lines.push(Line {
            time: record.time_unix_nano.max(record.observed_time_unix_nano),
            level: cut(&record.severity_text, MAX_NAME).to_owned(),
            text: cut(&text(record), MAX_TEXT).to_owned(),
        });
    }

    fn sidecar(&mut self, resource: &[KeyValue], now: u64) -> &mut Sidecar {
        let attribute = |key| otlp::text(resource, key).map(|text| cut(text, MAX_NAME).to_owned());
        let service = attribute("service.name").unwrap_or_else(|| NO_SERVICE.to_owned());
        let identity = (service, attribute("service.instance.id").unwrap_or_default());
        if !self.all.contains_key(&identity) && self.all.len() == MAX_SIDECARS {
            let silent = self.all.iter().min_by_key(|(_, s)| s.seen).map(|(id, _)| id.clone());
            silent.and_then(|id| self.all.remove(&id));
        }
        let sidecar = self.all.entry(identity).or_default();
        sidecar.seen = now;
        sidecar
    }
}

impl Sidecar {
    /// The sum of a metric over all of its labels.
    #[must_use]
    pub(super) fn sum(&self, metric: &str) -> u64 {
        self.by_labels(metric).map(|(_, value)| value).sum()
    }

    /// The values of a metric by its labels, such as `reason=queue_full`.
    pub(super) fn by_labels(&self, metric: &str) -> impl Iterator<Item = (&str, u64)> {
        let of_it = self.numbers.iter().filter(move |((name, _), _)| name == metric);
        of_it.map(|((_, labels), value)| (labels.as_str(), *value))
    }
}

fn whole(point: &NumberDataPoint) -> Option<u64> {
    match point.value? {
        number_data_point::Value::AsInt(value) => u64::try_from(value).ok(),
        number_data_point::Value::AsDouble(_) => None,
    }
}

fn labels(attributes: &[KeyValue]) -> String {
    let mut labels: Vec<String> = attributes
        .iter()
        .filter_map(|a| Some(format!("{}={}", a.key, otlp::text(attributes, &a.key)?)))
        .collect();
    labels.sort();
    cut(&labels.join(","), MAX_NAME).to_owned()
}

/// The message of a log line, and its fields.
fn text(record: &LogRecord) -> String {
    let body = match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    };
    let fields = otlp::attributes(record.attributes.clone());
    fields.iter().fold(body, |text, (key, value)| format!("{text} {key}={value}"))
}

/// The first `most` bytes of a text, or a little less where a character would be cut.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}
