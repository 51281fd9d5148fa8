//! The numbers of [`metrics`](crate::metrics) as instruments of the SDK.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use crate::metrics::{Label, Metric, MetricKind, Registry, Sample, standard};

/// One reading of the numbers serves all instruments that ask within this time, so that the
/// books balance in what is sent.
const FRESH: Duration = Duration::from_millis(100);
/// What the metrics of OpenTelemetry's conventions count here.
const SPANS: &str = "{span}";

/// Makes an instrument of every metric.
pub(super) fn observe(meter: &Meter, registry: &Arc<Registry>) {
    let readings = Arc::new(Readings { registry: Arc::clone(registry), last: Mutex::default() });
    for metric in crate::metrics::ALL.into_iter().chain(standard::ALL) {
        let readings = Arc::clone(&readings);
        let name = instrument_name(metric);
        let unit = if is_standard(metric) { SPANS } else { "" };
        match metric.kind {
            MetricKind::Counter => {
                let builder = meter.u64_observable_counter(name).with_unit(unit);
                let report = move |to: &dyn AsyncInstrument<u64>| {
                    readings.report(metric, |value, labels| to.observe(value, labels));
                };
                builder.with_description(metric.help).with_callback(report).build();
            }
            MetricKind::Gauge => {
                let builder = meter.u64_observable_gauge(name).with_unit(unit);
                let report = move |to: &dyn AsyncInstrument<u64>| {
                    readings.report(metric, |value, labels| to.observe(value, labels));
                };
                builder.with_description(metric.help).with_callback(report).build();
            }
            MetricKind::Balance => {
                let builder = meter.i64_observable_up_down_counter(name).with_unit(unit);
                let report = move |to: &dyn AsyncInstrument<i64>| {
                    readings.report(metric, |value, labels| {
                        to.observe(i64::try_from(value).unwrap_or(i64::MAX), labels);
                    });
                };
                builder.with_description(metric.help).with_callback(report).build();
            }
        }
    }
}

fn is_standard(metric: Metric) -> bool {
    standard::ALL.contains(&metric)
}

/// The name from which the translation to Prometheus makes the metric's own name again.
fn instrument_name(metric: Metric) -> String {
    let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
    let dots = if is_standard(metric) { usize::MAX } else { 1 };
    name.replacen('_', ".", dots)
}

/// A label as an attribute: those that the conventions give a number as such.
fn attribute((name, value): Label) -> KeyValue {
    match (name, value.parse::<i64>()) {
        ("server.port", Ok(port)) => KeyValue::new(name, port),
        _ => KeyValue::new(name, value),
    }
}

/// The numbers as all instruments of one export see them.
struct Readings {
    registry: Arc<Registry>,
    last: Mutex<Option<(Instant, Arc<[Sample]>)>>,
}

impl Readings {
    fn report(&self, metric: Metric, observe: impl Fn(u64, &[KeyValue])) {
        for sample in self.samples().iter().filter(|sample| sample.metric == metric) {
            let labels: Vec<KeyValue> = sample.labels.iter().copied().map(attribute).collect();
            observe(sample.value, &labels);
        }
    }

    fn samples(&self) -> Arc<[Sample]> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, samples)) = &*last
            && at.elapsed() < FRESH
        {
            return Arc::clone(samples);
        }
        let samples: Arc<[Sample]> = self.registry.samples().into();
        *last = Some((Instant::now(), Arc::clone(&samples)));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_are_named_so_that_prometheus_gets_the_same_names() {
        for metric in crate::metrics::ALL.into_iter().chain(standard::ALL) {
            let name = instrument_name(metric);
            let total = if metric.kind == MetricKind::Counter { "_total" } else { "" };
            assert_eq!(format!("{}{total}", name.replace('.', "_")), metric.name);
        }
        assert_eq!(instrument_name(crate::metrics::REQUESTS), "spandrel.requests");
        assert_eq!(instrument_name(standard::QUEUE_SIZE), "otel.sdk.processor.span.queue.size");
    }
}
