use super::super::exporter::Outcome;
use super::super::testing::{Authority, Collector, Script};
use super::super::{Client, Protocol};
use super::*;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use std::io::Read as _;

fn key(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, key_strindex: 0 }
}

fn text(name: &str, value: &str) -> KeyValue {
    key(name, Value::StringValue(value.to_owned()))
}

fn span() -> Span {
    Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        name: "GET /orders".to_owned(),
        kind: 3,
        start_time_unix_nano: 1_700_000_000_123_456_789,
        end_time_unix_nano: 1_700_000_000_123_459_789,
        ..Span::default()
    }
}

fn parcel(span: Span, resource: Vec<KeyValue>) -> Parcel {
    let scope = InstrumentationScope { name: "spandrel".to_owned(), ..Default::default() };
    let scope_spans =
        vec![ScopeSpans { scope: Some(scope), spans: vec![span], ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let group = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![group] };
    let message = request.encode_to_vec().into();
    Parcel { signal: Signal::Traces, items: 1, has_error: false, message }
}

/// The span as it is posted.
fn posted(span: Span) -> serde_json::Value {
    let parcel = parcel(span, vec![text("service.name", "shop")]);
    let body = body(&parcel.message).expect("it is fit");
    let list: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("JSON");
    list.into_iter().next().expect("one span")
}

#[test]
fn a_whole_span_is_what_zipkin_has_of_it() {
    let span = Span {
        parent_span_id: vec![1; 8],
        attributes: vec![
            text("server.address", "orders.local"),
            text("network.peer.address", "10.0.0.7"),
            key("network.peer.port", Value::IntValue(8080)),
            key("http.response.status_code", Value::IntValue(503)),
            key("yes", Value::BoolValue(true)),
            key(
                "list",
                Value::ArrayValue(ArrayValue {
                    values: vec![AnyValue { value: Some(Value::DoubleValue(0.5)) }],
                }),
            ),
            text("stage", "test"),
        ],
        events: vec![
            Event {
                time_unix_nano: 1_700_000_000_123_457_000,
                name: "a".to_owned(),
                ..Default::default()
            },
            Event {
                time_unix_nano: 1_700_000_000_123_458_999,
                name: "b\"".to_owned(),
                attributes: vec![key("n", Value::IntValue(1))],
                ..Event::default()
            },
        ],
        links: vec![Link { trace_id: vec![9; 16], span_id: vec![9; 8], ..Link::default() }],
        status: Some(Status { message: "too busy".to_owned(), code: 2 }),
        ..span()
    };
    let resource = vec![
        text("service.name", "shop"),
        text("service.namespace", "eu"),
        text("stage", "production"),
    ];
    let body = body(&parcel(span, resource).message).expect("it is fit");
    assert_eq!(
        std::str::from_utf8(&body).expect("UTF-8"),
        "[{\"traceId\":\"abababababababababababababababab\",\"id\":\"cdcdcdcdcdcdcdcd\",\
         \"parentId\":\"0101010101010101\",\"kind\":\"CLIENT\",\"name\":\"GET /orders\",\
         \"timestamp\":1700000000123456,\"duration\":3,\
         \"localEndpoint\":{\"serviceName\":\"shop\"},\
         \"remoteEndpoint\":{\"serviceName\":\"orders.local\",\"ipv4\":\"10.0.0.7\",\"port\":8080},\
         \"annotations\":[{\"timestamp\":1700000000123457,\"value\":\"a\"},\
         {\"timestamp\":1700000000123458,\"value\":\"\\\"b\\\\\\\"\\\": {\\\"n\\\":1}\"}],\
         \"tags\":{\"error\":\"too busy\",\"http.response.status_code\":\"503\",\
         \"list\":\"[0.5]\",\"network.peer.address\":\"10.0.0.7\",\"network.peer.port\":\"8080\",\
         \"otel.scope.name\":\"spandrel\",\"otel.status_code\":\"ERROR\",\
         \"server.address\":\"orders.local\",\"service.namespace\":\"eu\",\"stage\":\"test\",\
         \"yes\":\"true\"}}]"
    );
}

#[test]
fn kinds_have_zipkins_names() {
    let kinds: Vec<_> =
        (0..=6).map(|kind| posted(Span { kind, ..span() })["kind"].clone()).collect();
    let null = serde_json::Value::Null;
    let expected = [null.clone(), null.clone(), "SERVER".into(), "CLIENT".into()];
    assert_eq!(kinds[..4], expected);
    assert_eq!(kinds[4..], ["PRODUCER".into(), "CONSUMER".into(), null]);
}

#[test]
fn a_span_takes_at_least_a_microsecond_and_never_less_than_none() {
    let start = span().start_time_unix_nano;
    for (lasted, duration) in [(0, 1), (999, 1), (1_999, 1), (2_000, 2)] {
        let span = Span { end_time_unix_nano: start + lasted, ..span() };
        assert_eq!(posted(span)["duration"], duration);
    }
    assert_eq!(posted(Span { end_time_unix_nano: 1, ..span() })["duration"], 1);
    assert_eq!(posted(Span { start_time_unix_nano: 0, ..span() }).get("timestamp"), None);
}

#[test]
fn the_other_end_is_the_server_for_a_client_and_the_client_for_a_server() {
    let attributes = vec![
        text("server.address", "192.0.2.1"),
        key("server.port", Value::IntValue(443)),
        text("client.address", "2001:db8::1"),
        key("client.port", Value::IntValue(0)),
    ];
    let client = posted(Span { kind: 3, attributes: attributes.clone(), ..span() });
    let expected = serde_json::json!({"ipv4": "192.0.2.1", "port": 443});
    assert_eq!(client["remoteEndpoint"], expected);
    let server = posted(Span { kind: 2, attributes: attributes.clone(), ..span() });
    assert_eq!(server["remoteEndpoint"], serde_json::json!({"ipv6": "2001:db8::1"}));
    let internal = posted(Span { kind: 1, attributes, ..span() });
    assert_eq!(internal.get("remoteEndpoint"), None);
    let named = vec![text("client.address", "laptop.local")];
    assert_eq!(posted(Span { kind: 2, attributes: named, ..span() }).get("remoteEndpoint"), None);
    let named = vec![text("peer.service", "orders"), text("server.address", "o.local")];
    let client = posted(Span { kind: 3, attributes: named, ..span() });
    assert_eq!(client["remoteEndpoint"], serde_json::json!({"serviceName": "orders"}));
}

#[test]
fn only_what_failed_has_the_tag_error() {
    let error = |code, attributes| {
        let status = Some(Status { message: String::new(), code });
        posted(Span { status, attributes, ..span() })["tags"].get("error").cloned()
    };
    assert_eq!(error(2, vec![]), Some("".into()));
    assert_eq!(error(1, vec![]), None);
    assert_eq!(error(0, vec![key("error", Value::BoolValue(false))]), None);
    assert_eq!(error(0, vec![text("error", "timeout")]), Some("timeout".into()));
    let status = Some(Status { message: "false".to_owned(), code: 2 });
    assert_eq!(posted(Span { status, ..span() })["tags"]["error"], "false", "the message of one");
    assert_eq!(posted(Span { status: None, ..span() })["tags"].get("otel.status_code"), None);
}

#[test]
fn a_service_without_a_name_gets_one() {
    let body = body(&parcel(span(), vec![]).message).expect("it is fit");
    let list: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(list[0]["localEndpoint"], serde_json::json!({"serviceName": "unknown_service"}));
}

#[test]
fn a_parent_of_zeros_is_none() {
    for parent_span_id in [vec![], vec![0; 8]] {
        assert_eq!(posted(Span { parent_span_id, ..span() }).get("parentId"), None);
    }
}

#[test]
fn what_is_no_span_is_unfit() {
    for bad in [
        Span { trace_id: vec![1; 8], ..span() },
        Span { trace_id: vec![0; 16], ..span() },
        Span { span_id: vec![], ..span() },
        Span { parent_span_id: vec![1; 7], ..span() },
    ] {
        assert!(body(&parcel(bad, vec![]).message).is_err());
    }
    assert!(body(&Bytes::from_static(b"\x0a\xff")).is_err());
}

#[tokio::test]
async fn spans_are_posted_and_the_answer_is_understood() {
    let script = vec![
        Script::http(202, &[], vec![]),
        Script::http(400, &[("content-type", "text/plain")], b"Expected a JSON list".to_vec()),
        Script::http(503, &[("retry-after", "3")], vec![]),
    ];
    let mut collector = Collector::start(Protocol::HttpJson, script).await;
    let zipkin = Zipkin {
        url: format!("http://{}/api/v2/spans", collector.address),
        client: Client {
            headers: vec![("x-token".to_owned(), "s3cret".to_owned())],
            compression: Compression::Gzip,
            ..Client::default()
        },
    };
    let exporter = connect(&zipkin, &OwnSockets::default()).expect("the settings are good");
    assert!(exporter.takes(Signal::Traces));
    assert!(!exporter.takes(Signal::Metrics) && !exporter.takes(Signal::Logs));
    let packed = exporter.pack(&parcel(span(), vec![])).expect("it is fit");
    let taken = Outcome::Delivered { rejected: 0, message: String::new() };
    assert_eq!(exporter.send(packed.clone()).await, taken);
    let refused = Outcome::Malformed { reason: "HTTP status 400: Expected a JSON list".to_owned() };
    assert_eq!(exporter.send(packed.clone()).await, refused);
    let Outcome::Retry { after, .. } = exporter.send(packed).await else { panic!("a retry") };
    assert_eq!(after, Some(std::time::Duration::from_secs(3)));

    let seen = collector.next().await;
    assert_eq!((seen.method().as_str(), seen.uri().path()), ("POST", "/api/v2/spans"));
    let expected = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("b3", "0"),
        ("x-token", "s3cret"),
    ];
    for (name, value) in expected {
        assert_eq!(seen.headers()[name], value);
    }
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&seen.body()[..]).read_to_string(&mut plain).expect("gzip");
    assert!(plain.starts_with("[{\"traceId\""), "{plain}");
}

#[tokio::test]
async fn over_tls_zipkin_gets_the_certificates_of_its_own_settings() {
    let authority = Authority::new("zipkin");
    let collector = Collector::start_tls(Protocol::HttpJson, &authority).await;
    let zipkin = Zipkin {
        url: format!("https://localhost:{}/api/v2/spans", collector.address.port()),
        client: Client {
            certificate: Some(authority.certificate()),
            client_certificate: Some(authority.client()),
            ..Client::default()
        },
    };
    let exporter = connect(&zipkin, &OwnSockets::default()).expect("the settings are good");
    let packed = exporter.pack(&parcel(span(), vec![])).expect("it is fit");
    assert!(matches!(exporter.send(packed).await, Outcome::Delivered { .. }));
}
