//! Cutting a parcel in two, for destinations that do not take the whole of it.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::export::parcel::{Parcel, Signal};

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

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

/// How many data points a metric has.
pub(in crate::export) fn data_points(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(metric::Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(metric::Data::Summary(summary)) => summary.data_points.len(),
    }
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
