//! Cutting a parcel in two, for destinations that do not take the whole of it.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::export::parcel::{Parcel, Signal};
use crate::otlp::{data_points, is_error};

/// The two halves of a parcel, in the order of what is in it; `None` where it holds one thing only,
/// or cannot be read. A metric is not cut between its data points.
pub(super) fn in_two(parcel: &Parcel) -> Option<[Parcel; 2]> {
    let message = parcel.message.clone();
    match parcel.signal {
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(message).ok()?;
            halves(request.resource_spans, |resource_spans| {
                let has_error = spans(&resource_spans).any(is_error);
                let items = spans(&resource_spans).count();
                let request = ExportTraceServiceRequest { resource_spans };
                parcel_of(Signal::Traces, items, has_error, &request)
            })
        }
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(message).ok()?;
            halves(request.resource_metrics, |resource_metrics| {
                let scopes = resource_metrics.iter().flat_map(|r| &r.scope_metrics);
                let points = scopes.flat_map(|s| &s.metrics).map(data_points).sum();
                let request = ExportMetricsServiceRequest { resource_metrics };
                parcel_of(Signal::Metrics, points, false, &request)
            })
        }
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(message).ok()?;
            halves(request.resource_logs, |resource_logs| {
                let scopes = resource_logs.iter().flat_map(|r| &r.scope_logs);
                let records = scopes.map(|s| s.log_records.len()).sum();
                let request = ExportLogsServiceRequest { resource_logs };
                parcel_of(Signal::Logs, records, false, &request)
            })
        }
    }
}

fn parcel_of(signal: Signal, items: usize, has_error: bool, request: &impl Message) -> Parcel {
    Parcel { signal, items, has_error, message: Bytes::from(request.encode_to_vec()) }
}

fn spans(all: &[ResourceSpans]) -> impl Iterator<Item = &Span> {
    all.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans)
}

/// Both halves of what `resources` hold, each made into a parcel.
fn halves<R>(resources: Vec<R>, parcel: impl Fn(Vec<R>) -> Parcel) -> Option<[Parcel; 2]>
where
    R: Envelope<Content: Envelope>,
{
    let scopes = resources.iter().flat_map(Envelope::content);
    let all: usize = scopes.map(|scope| scope.content().len()).sum();
    if all < 2 {
        return None;
    }
    let mut left = all / 2;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for resource in resources {
        let [mut one, mut other] = [resource.bare(), resource.bare()];
        for scope in resource.into_content() {
            let [mut head, mut tail] = [scope.bare(), scope.bare()];
            for item in scope.into_content() {
                if left > 0 {
                    left -= 1;
                    head.content_mut().push(item);
                } else {
                    tail.content_mut().push(item);
                }
            }
            keep(&mut one, head);
            keep(&mut other, tail);
        }
        first.extend((!one.content().is_empty()).then_some(one));
        second.extend((!other.content().is_empty()).then_some(other));
    }
    Some([parcel(first), parcel(second)])
}

fn keep<S: Envelope>(resource: &mut impl Envelope<Content = S>, scope: S) {
    if !scope.content().is_empty() {
        resource.content_mut().push(scope);
    }
}

/// A message around others of one kind.
trait Envelope {
    type Content;

    /// The same without its content.
    fn bare(&self) -> Self;
    fn content(&self) -> &[Self::Content];
    fn content_mut(&mut self) -> &mut Vec<Self::Content>;
    fn into_content(self) -> Vec<Self::Content>;
}

macro_rules! envelope {
    ($message:ty, $field:ident: $content:ty, [$($other:ident),*]) => {
        impl Envelope for $message {
            type Content = $content;

            fn bare(&self) -> Self {
                Self { $field: Vec::new(), $($other: self.$other.clone()),* }
            }

            fn content(&self) -> &[Self::Content] {
                &self.$field
            }

            fn content_mut(&mut self) -> &mut Vec<Self::Content> {
                &mut self.$field
            }

            fn into_content(self) -> Vec<Self::Content> {
                self.$field
            }
        }
    };
}

envelope!(ResourceSpans, scope_spans: ScopeSpans, [resource, schema_url]);
envelope!(ScopeSpans, spans: Span, [scope, schema_url]);
envelope!(ResourceMetrics, scope_metrics: ScopeMetrics, [resource, schema_url]);
envelope!(ScopeMetrics, metrics: Metric, [scope, schema_url]);
envelope!(ResourceLogs, scope_logs: ScopeLogs, [resource, schema_url]);
envelope!(ScopeLogs, log_records: LogRecord, [scope, schema_url]);

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::metric;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, NumberDataPoint};
    use opentelemetry_proto::tonic::trace::v1::Status;
    use proptest::prelude::*;

    /// How many items there are in each scope of each resource.
    type Shape = Vec<Vec<usize>>;

    fn url(at: usize) -> String {
        format!("https://schema/{at}")
    }

    fn traces(shape: &Shape) -> Parcel {
        let mut id = 0_u64;
        let span = |id: &mut u64| {
            *id += 1;
            let status = Status { code: i32::from(id.is_multiple_of(5)) * 2, ..Status::default() };
            Span { span_id: id.to_be_bytes().to_vec(), status: Some(status), ..Span::default() }
        };
        let resource_spans = shape.iter().enumerate().map(|(at, scopes)| ResourceSpans {
            scope_spans: scopes
                .iter()
                .enumerate()
                .map(|(at, items)| ScopeSpans {
                    spans: (0..*items).map(|_| span(&mut id)).collect(),
                    schema_url: url(at),
                    ..ScopeSpans::default()
                })
                .collect(),
            schema_url: url(at),
            ..ResourceSpans::default()
        });
        let resource_spans = resource_spans.collect();
        let items = shape.iter().flatten().sum();
        let has_error = items >= 5;
        let request = ExportTraceServiceRequest { resource_spans };
        parcel_of(Signal::Traces, items, has_error, &request)
    }

    /// Metrics, each with as many points as its number says.
    fn metrics(shape: &Shape) -> Parcel {
        let mut id = 0;
        let mut points = 0;
        let mut metric = || {
            id += 1;
            let data_points = vec![NumberDataPoint::default(); id % 4];
            points += data_points.len();
            let data = Some(metric::Data::Gauge(Gauge { data_points }));
            Metric { name: id.to_string(), data, ..Metric::default() }
        };
        let mut resource_metrics = Vec::new();
        for (at, scopes) in shape.iter().enumerate() {
            let mut scope_metrics = Vec::new();
            for (at, items) in scopes.iter().enumerate() {
                let metrics = (0..*items).map(|_| metric()).collect();
                let schema_url = url(at);
                scope_metrics.push(ScopeMetrics { metrics, schema_url, ..ScopeMetrics::default() });
            }
            let schema_url = url(at);
            let resource = ResourceMetrics { scope_metrics, schema_url, resource: None };
            resource_metrics.push(resource);
        }
        let request = ExportMetricsServiceRequest { resource_metrics };
        parcel_of(Signal::Metrics, points, false, &request)
    }

    fn logs(shape: &Shape) -> Parcel {
        let mut id = 0;
        let mut resource_logs = Vec::new();
        for (at, scopes) in shape.iter().enumerate() {
            let mut scope_logs = Vec::new();
            for (at, items) in scopes.iter().enumerate() {
                let mut record = || {
                    id += 1;
                    LogRecord { time_unix_nano: id, ..LogRecord::default() }
                };
                let log_records = (0..*items).map(|_| record()).collect();
                let schema_url = url(at);
                scope_logs.push(ScopeLogs { log_records, schema_url, ..ScopeLogs::default() });
            }
            let schema_url = url(at);
            resource_logs.push(ResourceLogs { scope_logs, schema_url, resource: None });
        }
        let request = ExportLogsServiceRequest { resource_logs };
        parcel_of(Signal::Logs, shape.iter().flatten().sum(), false, &request)
    }

    /// Everything in a parcel, as (schema of the resource, of the scope, the item's own bytes).
    fn content(parcel: &Parcel) -> Vec<(String, String, Vec<u8>)> {
        fn all<R, S: Envelope<Content: Message>>(
            resources: Vec<R>,
            of_resource: impl Fn(&R) -> String,
            of_scope: impl Fn(&S) -> String,
        ) -> Vec<(String, String, Vec<u8>)>
        where
            R: Envelope<Content = S>,
        {
            let mut found = Vec::new();
            for resource in resources {
                assert!(!resource.content().is_empty(), "no empty shell is sent");
                for scope in resource.content() {
                    assert!(!scope.content().is_empty(), "no empty shell is sent");
                    for item in scope.content() {
                        let item = item.encode_to_vec();
                        found.push((of_resource(&resource), of_scope(scope), item));
                    }
                }
            }
            found
        }
        let message = parcel.message.clone();
        match parcel.signal {
            Signal::Traces => all(
                ExportTraceServiceRequest::decode(message).expect("a request").resource_spans,
                |r| r.schema_url.clone(),
                |s| s.schema_url.clone(),
            ),
            Signal::Metrics => all(
                ExportMetricsServiceRequest::decode(message).expect("a request").resource_metrics,
                |r| r.schema_url.clone(),
                |s| s.schema_url.clone(),
            ),
            Signal::Logs => all(
                ExportLogsServiceRequest::decode(message).expect("a request").resource_logs,
                |r| r.schema_url.clone(),
                |s| s.schema_url.clone(),
            ),
        }
    }

    #[test]
    fn one_thing_is_not_cut_nor_is_what_cannot_be_read() {
        for one in [traces(&vec![vec![1]]), metrics(&vec![vec![1]]), logs(&vec![vec![1]])] {
            assert_eq!(in_two(&one), None);
            let garbage = Parcel { message: Bytes::from_static(b"\x0a\xff"), ..one };
            assert_eq!(in_two(&garbage), None);
        }
    }

    proptest! {
        #[test]
        fn of_both_halves_nothing_is_lost_and_nothing_doubled(
            shape in proptest::collection::vec(proptest::collection::vec(1_usize..9, 1..4), 1..4),
        ) {
            for whole in [traces(&shape), metrics(&shape), logs(&shape)] {
                let all = content(&whole);
                let Some([first, second]) = in_two(&whole) else {
                    prop_assert_eq!(all.len(), 1);
                    continue;
                };
                prop_assert_eq!(first.items + second.items, whole.items);
                prop_assert_eq!(first.has_error || second.has_error, whole.has_error);
                let (one, other) = (content(&first), content(&second));
                prop_assert!(one.len().abs_diff(other.len()) <= 1);
                prop_assert_eq!([one, other].concat(), all);
            }
        }
    }
}
