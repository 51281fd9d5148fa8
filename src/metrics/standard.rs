//! The metrics that OpenTelemetry's conventions name for every SDK (`otel.sdk.*`), as far as
//! spandrel has something to say: made of the books in each reading, and counted nowhere.
//!
//! What is in flight between the queue and the destination is part of the queue here, and a span is
//! counted as started when it ends, because nothing is counted earlier.

use super::{
    Label, Metric, MetricKind, SPANS_CREATED, SPANS_DROPPED, SPANS_EXPORTED, SPANS_QUEUED, Sample,
};

/// Spans that were started.
pub const STARTED: Metric = metric(
    "otel_sdk_span_started_total",
    MetricKind::Counter,
    "The number of created spans, counted when they end.",
);
/// Spans that left the queue.
pub const PROCESSED: Metric = metric(
    "otel_sdk_processor_span_processed_total",
    MetricKind::Counter,
    "The number of spans for which the processing has finished, either successful or failed.",
);
/// Spans in the queue.
pub const QUEUE_SIZE: Metric = metric(
    "otel_sdk_processor_span_queue_size",
    MetricKind::Balance,
    "The number of spans in the queue of a given instance of an SDK span processor.",
);
/// Room in the queue.
pub const QUEUE_CAPACITY: Metric = metric(
    "otel_sdk_processor_span_queue_capacity",
    MetricKind::Balance,
    "The maximum number of spans the queue of a given instance of an SDK span processor can hold.",
);
/// Spans whose export has ended.
pub const EXPORTED: Metric = metric(
    "otel_sdk_exporter_span_exported_total",
    MetricKind::Counter,
    "The number of spans for which the export has finished, either successful or failed.",
);

/// Every metric of this kind.
pub const ALL: [Metric; 5] = [STARTED, PROCESSED, QUEUE_SIZE, QUEUE_CAPACITY, EXPORTED];

const fn metric(name: &'static str, kind: MetricKind, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

/// A destination in the words of the conventions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The destination, as its books are called.
    pub destination: String,
    /// What sends to it: one of the values of `otel.component.type`, or a word of ours.
    pub kind: &'static str,
    /// The host and the port that it sends to, if it does.
    pub server: Option<(String, u16)>,
    /// The most spans that may wait for it.
    pub capacity: u64,
}

/// A [`Component`] with its labels.
#[derive(Debug)]
pub(super) struct Described {
    destination: Label,
    processor: Vec<Label>,
    exporter: Vec<Label>,
    capacity: u64,
}

impl Described {
    /// Components are few and last as long as the process, as do their names.
    pub(super) fn new(component: &Component) -> Self {
        const PROCESSOR: &str = "batching_span_processor";
        let Component { destination, kind, server, capacity } = component;
        let kept = |text: String| -> &'static str { text.leak() };
        let named = |kind: &'static str| {
            let name = kept(format!("{kind}/{destination}"));
            vec![("otel.component.name", name), ("otel.component.type", kind)]
        };
        let mut exporter = named(kind);
        if let Some((host, port)) = server {
            exporter.push(("server.address", kept(host.clone())));
            exporter.push(("server.port", kept(port.to_string())));
        }
        let destination = ("destination", kept(destination.clone()));
        Self { destination, processor: named(PROCESSOR), exporter, capacity: *capacity }
    }
}

/// What follows from a reading of the books for these destinations.
pub(super) fn derived(samples: &[Sample], components: &[Described]) -> Vec<Sample> {
    let created = samples.iter().filter(|sample| sample.metric == SPANS_CREATED);
    let mut all: Vec<Sample> = created
        .map(|sample| Sample {
            metric: STARTED,
            labels: vec![("otel.span.sampling_result", "RECORD_AND_SAMPLE")],
            value: sample.value,
        })
        .collect();
    for component in components {
        all.extend(of_destination(samples, component));
    }
    all
}

fn of_destination(samples: &[Sample], component: &Described) -> Vec<Sample> {
    let Described { destination, processor, exporter, capacity } = component;
    let ours = || samples.iter().filter(|sample| sample.labels.first() == Some(destination));
    let sum = |metric: Metric| -> u64 {
        ours().filter(|sample| sample.metric == metric).map(|sample| sample.value).sum()
    };
    let sample = |metric, labels: &[Label], value| Sample { metric, labels: labels.into(), value };
    let failed = |metric, labels: &[Label], error, value| Sample {
        metric,
        labels: labels.iter().copied().chain([("error.type", error)]).collect(),
        value,
    };
    let mut handed_on = sum(SPANS_EXPORTED);
    let mut all = vec![
        sample(QUEUE_SIZE, processor, sum(SPANS_QUEUED)),
        sample(QUEUE_CAPACITY, processor, *capacity),
        sample(EXPORTED, exporter, handed_on),
    ];
    for dropped in ours().filter(|sample| sample.metric == SPANS_DROPPED) {
        let reason = dropped.labels.iter().find(|(label, _)| *label == "reason");
        match reason.map(|(_, reason)| *reason) {
            Some("queue_full") => {
                all.push(failed(PROCESSED, processor, "queue_full", dropped.value));
            }
            Some("shutdown") => {
                all.push(failed(PROCESSED, processor, "already_shutdown", dropped.value));
            }
            // What the filter holds back was never for this destination.
            Some("filtered") | None => {}
            Some(reason) => {
                handed_on += dropped.value;
                all.push(failed(EXPORTED, exporter, reason, dropped.value));
            }
        }
    }
    all.push(sample(PROCESSED, processor, handed_on));
    all
}

#[cfg(test)]
mod tests {
    use super::super::{DropReason, Kind, Registry};
    use super::*;

    #[test]
    fn the_words_of_the_conventions_follow_from_the_books() {
        let registry = Registry::default();
        let created = registry.counter(SPANS_CREATED, &[]);
        let books = registry.books("otlp", Kind::Spans);
        registry.describe(&Component {
            destination: "otlp".to_owned(),
            kind: "otlp_grpc_span_exporter",
            server: Some(("collector".to_owned(), 4317)),
            capacity: 8_192,
        });
        created.add(20);
        books.exported(6);
        books.dropped(DropReason::QueueFull, 1);
        books.dropped(DropReason::Rejected, 2);
        books.dropped(DropReason::Filtered, 3);
        let text = registry.render();
        let processor = "otel_component_name=\"batching_span_processor/otlp\",\
                         otel_component_type=\"batching_span_processor\"";
        let exporter = "otel_component_name=\"otlp_grpc_span_exporter/otlp\",\
                        otel_component_type=\"otlp_grpc_span_exporter\",\
                        server_address=\"collector\",server_port=\"4317\"";
        for line in [
            "otel_sdk_span_started_total{otel_span_sampling_result=\"RECORD_AND_SAMPLE\"} 20"
                .to_owned(),
            format!("otel_sdk_processor_span_queue_size{{{processor}}} 8"),
            format!("otel_sdk_processor_span_queue_capacity{{{processor}}} 8192"),
            format!("otel_sdk_processor_span_processed_total{{{processor}}} 8"),
            format!(
                "otel_sdk_processor_span_processed_total{{{processor},error_type=\"queue_full\"}} 1"
            ),
            format!("otel_sdk_exporter_span_exported_total{{{exporter}}} 6"),
            format!(
                "otel_sdk_exporter_span_exported_total{{{exporter},error_type=\"rejected\"}} 2"
            ),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
        let families = text.lines().filter(|line| line.starts_with("# TYPE otel_sdk"));
        assert_eq!(families.count(), ALL.len(), "each stands once\n{text}");
    }
}
