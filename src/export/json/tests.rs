use super::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message as _;

fn key(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, key_strindex: 0 }
}

fn attributes() -> Vec<KeyValue> {
    let any = |value| AnyValue { value };
    let nested = KeyValueList { values: vec![key("inner", Value::BoolValue(false))] };
    vec![
        key("text", Value::StringValue("\"quoted\"\n\u{1f980}\u{0}".to_owned())),
        key("yes", Value::BoolValue(true)),
        key("least", Value::IntValue(i64::MIN)),
        key("half", Value::DoubleValue(0.5)),
        key("bytes", Value::BytesValue(vec![0xff, 0, 1])),
        key(
            "list",
            Value::ArrayValue(ArrayValue {
                values: vec![any(Some(Value::IntValue(0))), any(None)],
            }),
        ),
        key("map", Value::KvlistValue(nested)),
        key("empty list", Value::ArrayValue(ArrayValue { values: vec![] })),
        KeyValue { key: String::new(), value: None, key_strindex: 0 },
    ]
}

fn resource() -> Option<Resource> {
    let entity = EntityRef { r#type: "service".to_owned(), ..EntityRef::default() };
    Some(Resource {
        attributes: attributes(),
        dropped_attributes_count: 3,
        entity_refs: vec![entity],
    })
}

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = ("spandrel".to_owned(), "1".to_owned());
    Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
}

fn span() -> Span {
    Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        parent_span_id: vec![1; 8],
        trace_state: "a=b".to_owned(),
        flags: 0x301,
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: u64::MAX,
        end_time_unix_nano: 1,
        attributes: attributes(),
        dropped_attributes_count: 1,
        events: vec![Event {
            time_unix_nano: 5,
            name: "e".to_owned(),
            attributes: attributes(),
            dropped_attributes_count: 2,
        }],
        dropped_events_count: 2,
        links: vec![Link {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            trace_state: "c=d".to_owned(),
            attributes: attributes(),
            dropped_attributes_count: 1,
            flags: 1,
        }],
        dropped_links_count: 4,
        status: Some(Status { message: "broken".to_owned(), code: 2 }),
    }
}

fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, schema_url: "s".to_owned() }];
    let group = ResourceSpans { resource: resource(), scope_spans, schema_url: "r".to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![group, ResourceSpans::default()] }
}

fn metrics() -> ExportMetricsServiceRequest {
    let exemplars = || {
        vec![Exemplar {
            filtered_attributes: attributes(),
            time_unix_nano: 1,
            span_id: vec![1; 8],
            trace_id: vec![2; 16],
            value: Some(exemplar::Value::AsInt(-1)),
        }]
    };
    let number = |value| NumberDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: exemplars(),
        flags: 1,
        value: Some(value),
    };
    let histogram = HistogramDataPoint {
        count: 3,
        sum: Some(0.0),
        bucket_counts: vec![1, 0, u64::MAX],
        explicit_bounds: vec![0.5, -1e300],
        exemplars: exemplars(),
        min: Some(-1.0),
        ..HistogramDataPoint::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        scale: -5,
        zero_count: 1,
        positive: Some(Buckets { offset: -3, bucket_counts: vec![1, 300] }),
        max: Some(2.0),
        zero_threshold: 0.1,
        ..ExponentialHistogramDataPoint::default()
    };
    let quantile_values = vec![ValueAtQuantile { quantile: 0.5, value: 2.0 }];
    let summary = SummaryDataPoint { count: 1, sum: 3.0, quantile_values, ..Default::default() };
    let data = [
        Data::Gauge(Gauge { data_points: vec![number(number_data_point::Value::AsDouble(1.5))] }),
        Data::Sum(Sum {
            data_points: vec![number(number_data_point::Value::AsInt(0))],
            aggregation_temporality: 2,
            is_monotonic: true,
        }),
        Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 1 }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            aggregation_temporality: 1,
        }),
        Data::Summary(Summary { data_points: vec![summary] }),
    ];
    let metric = |data| Metric {
        name: "m".to_owned(),
        description: "d".to_owned(),
        unit: "s".to_owned(),
        metadata: attributes(),
        data: Some(data),
    };
    let metrics = data.into_iter().map(metric).collect();
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, schema_url: "s".to_owned() }];
    let group = ResourceMetrics { resource: resource(), scope_metrics, schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![group] }
}

fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: 2,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue("hello".to_owned())) }),
        attributes: attributes(),
        dropped_attributes_count: 1,
        flags: 1,
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        event_name: "e".to_owned(),
    };
    let log_records = vec![record, LogRecord::default()];
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, schema_url: String::new() }];
    let group = ResourceLogs { resource: resource(), scope_logs, schema_url: String::new() };
    ExportLogsServiceRequest { resource_logs: vec![group] }
}

fn json(signal: Signal, message: &[u8]) -> Result<String, Unfit> {
    let message = message.to_vec().into();
    let written = of(&Parcel { signal, items: 1, has_error: false, message })?;
    Ok(String::from_utf8(written).expect("JSON is UTF-8"))
}

#[test]
fn every_signal_is_read_back_as_it_was() {
    let text = json(Signal::Traces, &traces(vec![span(), Span::default()]).encode_to_vec());
    let text = text.expect("a request");
    assert!(!text.contains("null"), "{text}");
    let read: ExportTraceServiceRequest = serde_json::from_str(&text).expect("OTLP");
    assert_eq!(read, traces(vec![span(), Span::default()]));

    let text = json(Signal::Metrics, &metrics().encode_to_vec()).expect("a request");
    assert!(!text.contains("null"), "{text}");
    let read: ExportMetricsServiceRequest = serde_json::from_str(&text).expect("OTLP");
    assert_eq!(read, metrics());

    let text = json(Signal::Logs, &logs().encode_to_vec()).expect("a request");
    assert!(!text.contains("null"), "{text}");
    let read: ExportLogsServiceRequest = serde_json::from_str(&text).expect("OTLP");
    assert_eq!(read, logs());
}

#[test]
fn the_form_is_that_of_the_specification() {
    let span = Span {
        attributes: vec![key("n", Value::IntValue(7))],
        events: vec![],
        links: vec![],
        ..span()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let group = ResourceSpans { scope_spans, ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![group] };
    assert_eq!(
        json(Signal::Traces, &request.encode_to_vec()).expect("a request"),
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\
         \"traceId\":\"abababababababababababababababab\",\"spanId\":\"cdcdcdcdcdcdcdcd\",\
         \"traceState\":\"a=b\",\"parentSpanId\":\"0101010101010101\",\"name\":\"GET /\",\
         \"kind\":2,\"startTimeUnixNano\":\"18446744073709551615\",\"endTimeUnixNano\":\"1\",\
         \"attributes\":[{\"key\":\"n\",\"value\":{\"intValue\":\"7\"}}],\
         \"droppedAttributesCount\":1,\"droppedEventsCount\":2,\"droppedLinksCount\":4,\
         \"status\":{\"message\":\"broken\",\"code\":2},\"flags\":769}]}]}]}"
    );
}

#[test]
fn numbers_that_are_none_are_not_lost() {
    for (number, text) in
        [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")]
    {
        let attributes = vec![key("d", Value::DoubleValue(number))];
        let request = traces(vec![Span { attributes, ..Span::default() }]);
        let written = json(Signal::Traces, &request.encode_to_vec()).expect("a request");
        assert!(written.contains(&format!("{{\"doubleValue\":\"{text}\"}}")), "{written}");
        let by_types = serde_json::to_string(&request).expect("it can be written");
        assert!(by_types.contains("{\"doubleValue\":null}"), "the reason for this module");
    }
}

#[test]
fn what_is_broken_or_too_deep_is_unfit() {
    let whole = traces(vec![span()]).encode_to_vec();
    assert!(json(Signal::Traces, &whole[..whole.len() - 1]).is_err());
    assert!(json(Signal::Traces, b"\x08\x01").is_err(), "a number for a message");
    let deep = |levels| {
        let mut value = Value::IntValue(1);
        for _ in 0..levels {
            let values = vec![AnyValue { value: Some(value) }];
            value = Value::ArrayValue(ArrayValue { values });
        }
        let attributes = vec![key("deep", value)];
        json(Signal::Traces, &traces(vec![Span { attributes, ..Span::default() }]).encode_to_vec())
    };
    let text = deep(15).expect("deep enough");
    assert!(serde_json::from_str::<ExportTraceServiceRequest>(&text).is_ok());
    assert_eq!(deep(30), Err(Unfit("it is nested too deep".to_owned())));
}

proptest! {
    #[test]
    fn no_bytes_whatsoever_make_bad_json(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for signal in Signal::ALL {
            if let Ok(text) = json(signal, &bytes) {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
            }
        }
    }

    #[test]
    fn a_flipped_bit_makes_no_bad_json(at: proptest::sample::Index, bit in 0_u8..8) {
        let mut bytes = traces(vec![span()]).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(text) = json(Signal::Traces, &bytes) {
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }
}
