//! The embedded backend, by the bytes that senders and readers exchange with it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::{Value, json};
use spandrel::view::{Addresses, Config, View};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use crate::support::ask::{Answer, send, zipped};
use crate::support::soon;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const TRACE: &str = "000000000000000000000000000000aa";

/// A backend that runs until the test ends.
struct Backend(Addresses);

impl Backend {
    fn start() -> Self {
        Self::with_memory(64 << 20)
    }

    fn with_memory(memory: u64) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let view = View::bind(Config { page: Some(any), grpc: any, http: any, memory }).unwrap();
        let addresses = view.addresses();
        tokio::spawn(view.run(std::future::pending()));
        Self(addresses)
    }

    async fn post(&self, path: &str, format: &str, body: impl Into<Bytes>) -> Answer {
        self.post_as(path, &[("content-type", format)], body).await
    }

    async fn post_as(&self, path: &str, head: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::post(format!("http://{}{path}", self.0.http));
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        send(request.body(Full::new(body.into())).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_as(path, &[]).await
    }

    async fn get_as(&self, path: &str, head: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(format!("http://{}{path}", self.0.page.unwrap()));
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        send(request.body(Full::default()).unwrap()).await
    }

    async fn grpc(&self) -> TraceServiceClient<Channel> {
        let url = format!("http://{}", self.0.grpc);
        TraceServiceClient::connect(url).await.expect("it listens")
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(any_value::Value::StringValue(value.to_owned()));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

fn span(trace: u128, id: u64, name: &str) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_010_000_000,
        ..Span::default()
    }
}

fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let attributes = vec![text("service.name", service)];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

#[tokio::test]
async fn spans_are_taken_over_every_way_that_otlp_has() {
    let backend = Backend::start();
    let one = |id: u64| request("orders", vec![span(0xaa, id, "GET")]);

    let sent = backend.post("/v1/traces", PROTOBUF, one(1).encode_to_vec()).await;
    assert_eq!((sent.status, sent.body.len()), (StatusCode::OK, 0));
    let sent = backend.post("/v1/traces", JSON, serde_json::to_vec(&one(2)).unwrap()).await;
    assert_eq!((sent.status, &*sent.body), (StatusCode::OK, &b"{}"[..]));
    let zip = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    let sent = backend.post_as("/v1/traces", &zip, zipped(&one(3).encode_to_vec())).await;
    assert_eq!(sent.status, StatusCode::OK);
    backend.grpc().await.export(one(4)).await.unwrap();
    let mut client = backend.grpc().await.send_compressed(CompressionEncoding::Gzip);
    client.export(one(5)).await.unwrap();

    let trace = backend.get(&format!("/api/traces/{TRACE}")).await.json();
    let ids: Vec<_> = trace["spans"].as_array().unwrap().iter().map(|s| s["id"].clone()).collect();
    assert_eq!(ids.len(), 5, "{ids:?}");
}

#[tokio::test]
async fn each_port_takes_both_protocols() {
    let Backend(addresses) = Backend::start();
    let swapped = Backend(Addresses { http: addresses.grpc, grpc: addresses.http, ..addresses });
    let one = request("orders", vec![span(0xaa, 1, "GET")]);
    let sent = swapped.post("/v1/traces", PROTOBUF, one.encode_to_vec()).await;
    assert_eq!(sent.status, StatusCode::OK);
    swapped.grpc().await.export(one).await.unwrap();
}

#[tokio::test]
async fn spans_without_ids_are_refused_alone_and_said() {
    let backend = Backend::start();
    let spans = vec![span(0xaa, 1, "good"), Span::default(), span(0, 1, "bad")];
    let mixed = request("orders", spans);
    let sent = backend.post("/v1/traces", JSON, serde_json::to_vec(&mixed).unwrap()).await;
    assert_eq!(sent.status, StatusCode::OK);
    assert_eq!(sent.json()["partialSuccess"]["rejectedSpans"], "2");
    let answer = backend.grpc().await.export(mixed).await.unwrap().into_inner();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 2);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_backend_lives() {
    let backend = Backend::start();
    let garbage: Vec<u8> = (0x80..=0xff_u8).rev().cycle().step_by(7).take(10_000).collect();
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    for (format, encoding, body, status) in [
        (PROTOBUF, "identity", garbage.clone(), 400),
        (PROTOBUF, "identity", b"\x0a\xff\xff\xff\xff\x7f".to_vec(), 400),
        (PROTOBUF, "gzip", garbage.clone(), 400),
        (PROTOBUF, "zstd", garbage.clone(), 415),
        (JSON, "identity", garbage, 400),
        (JSON, "identity", b"{\"resourceSpans\":7}".to_vec(), 400),
        (JSON, "identity", deep.into_bytes(), 400),
        (JSON, "gzip", zipped(b"nonsense"), 400),
        ("text/plain", "identity", b"hello".to_vec(), 415),
    ] {
        let head = [("content-type", format), ("content-encoding", encoding)];
        let sent = backend.post_as("/v1/traces", &head, body).await;
        assert_eq!(sent.status.as_u16(), status, "{format} {encoding}: {:?}", sent.body);
    }
    assert_eq!(backend.post("/v1/other", PROTOBUF, "").await.status, StatusCode::NOT_FOUND);
    let zip = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    let bomb = zipped(&vec![0; 80 << 20]);
    assert!(bomb.len() < 1 << 20);
    let sent = backend.post_as("/v1/traces", &zip, bomb).await;
    assert_eq!(sent.status, StatusCode::PAYLOAD_TOO_LARGE);
    let sent =
        backend.post("/v1/traces", PROTOBUF, request("a", vec![span(1, 1, "x")]).encode_to_vec());
    assert_eq!(sent.await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_grpc_bomb_is_refused() {
    let backend = Backend::start();
    let long = span(0xaa, 1, &"x".repeat(80 << 20));
    let mut client = backend.grpc().await.send_compressed(CompressionEncoding::Gzip);
    let refused = client.export(request("orders", vec![long])).await.unwrap_err();
    assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused:?}");
    backend.grpc().await.export(request("orders", vec![span(0xaa, 1, "x")])).await.unwrap();
}

#[tokio::test]
async fn a_body_of_100_mb_is_refused_before_it_has_come() {
    let backend = Backend::start();
    for head in
        ["Content-Length: 104857600\r\nExpect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n"]
    {
        let mut peer = TcpStream::connect(backend.0.http).await.unwrap();
        let begin = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: {PROTOBUF}\r\n{head}\r\n"
        );
        peer.write_all(begin.as_bytes()).await.unwrap();
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
        let (mut read, mut write) = peer.split();
        let flood = async {
            // The other side closes when it has had enough.
            for _ in 0..100 {
                if write.write_all(chunk.as_bytes()).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut status = [0; 12];
        tokio::select! {
            got = soon("an answer", read.read_exact(&mut status)) => { got.unwrap(); }
            () = flood => {}
        }
        assert_eq!(&status, b"HTTP/1.1 413", "{head}");
    }
}

#[tokio::test]
async fn who_sends_too_much_and_does_not_listen_still_reads_why() {
    let backend = Backend::start();
    let mut peer = TcpStream::connect(backend.0.http).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: {PROTOBUF}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    peer.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    for _ in 0..24 {
        soon("room to send", peer.write_all(chunk.as_bytes())).await.expect("nothing is cut off");
    }
    peer.shutdown().await.unwrap();
    let mut answer = Vec::new();
    soon("an answer", peer.read_to_end(&mut answer)).await.expect("the connection ends well");
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", answer.escape_ascii());
}

#[tokio::test]
async fn refusals_are_counted_whatever_for() {
    let backend = Backend::start();
    let refused =
        async || backend.get("/api/health").await.json()["view"]["requests_refused"].clone();
    backend.post("/v1/traces", PROTOBUF, &b"\x0a\xff"[..]).await;
    backend.post("/v1/traces", "text/plain", "").await;
    backend.post("/v1/else", PROTOBUF, "").await;
    backend.post("/v1/traces", PROTOBUF, vec![0; 17 << 20]).await;
    assert_eq!(refused().await, 4);
    let unnamed = request("orders", vec![Span::default()]);
    backend.grpc().await.export(unnamed).await.unwrap_err();
    assert_eq!(refused().await, 5);
    backend.grpc().await.export(request("orders", vec![span(0xaa, 1, "x")])).await.unwrap();
    backend.post("/v1/traces", PROTOBUF, "").await;
    assert_eq!(refused().await, 5);
}

#[tokio::test]
async fn names_with_markup_stay_data() {
    let backend = Backend::start();
    let name = "<script>alert(1)</script>";
    let one = request(name, vec![span(0xaa, 1, name)]);
    backend.post("/v1/traces", PROTOBUF, one.encode_to_vec()).await;
    let listed = backend.get("/api/traces").await;
    assert_eq!(listed.json()["traces"][0]["service"], name);
    assert_eq!(listed.headers[header::CONTENT_TYPE], JSON);
    assert_eq!(listed.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let page = backend.get("/").await;
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[tokio::test]
async fn times_of_events_are_exact_to_the_nanosecond() {
    let backend = Backend::start();
    let begin = span(0xaa, 1, "").start_time_unix_nano;
    let at = |time| Event { time_unix_nano: time, ..Event::default() };
    let events = vec![at(begin + 1), at(begin - 1), at(begin + 1_234_567)];
    let one = request("orders", vec![Span { events, ..span(0xaa, 1, "GET") }]);
    backend.post("/v1/traces", PROTOBUF, one.encode_to_vec()).await;
    let answer = backend.get(&format!("/api/traces/{TRACE}")).await.json();
    let events = answer["spans"][0]["events"].as_array().expect("there are events");
    let times: Vec<&Value> = events.iter().map(|event| &event["at_us"]).collect();
    assert_eq!(times, [0.001, -0.001, 1234.567]);
}

#[tokio::test]
async fn a_link_is_in_what_the_page_asks_for_and_in_what_jaeger_answers() {
    let backend = Backend::start();
    let link = Link {
        trace_id: 0xbb_u128.to_be_bytes().to_vec(),
        span_id: 7_u64.to_be_bytes().to_vec(),
        flags: 1,
        ..Link::default()
    };
    let one = request("orders", vec![Span { links: vec![link], ..span(0xaa, 1, "GET") }]);
    backend.post("/v1/traces", PROTOBUF, one.encode_to_vec()).await;
    let other = TRACE.replace("aa", "bb");
    let answer = backend.get(&format!("/api/traces/{TRACE}")).await.json();
    let link = &answer["spans"][0]["links"][0];
    assert_eq!((&link["trace"], &link["span"]), (&json!(other), &json!("0000000000000007")));
    let answer = backend.get(&format!("/api/v3/traces/{TRACE}")).await.json();
    let spans = &answer["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let link = &spans[0]["links"][0];
    assert_eq!((&link["traceId"], &link["spanId"]), (&json!(other), &json!("0000000000000007")));
}

#[tokio::test]
async fn numbers_that_json_does_not_have_are_named() {
    let backend = Backend::start();
    let number = |number| {
        let value = Some(any_value::Value::DoubleValue(number));
        KeyValue { value: Some(AnyValue { value }), ..text("number", "") }
    };
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
    let attributes = numbers.into_iter().map(number).collect();
    let one = request("orders", vec![Span { attributes, ..span(0xaa, 1, "GET") }]);
    backend.post("/v1/traces", PROTOBUF, one.encode_to_vec()).await;
    let answer = backend.get(&format!("/api/traces/{TRACE}")).await.json();
    let said = answer["spans"][0]["attributes"].as_array().expect("there are attributes");
    let said: Vec<&Value> = said.iter().map(|pair| &pair[1]).collect();
    assert_eq!(said, [&json!("NaN"), &json!("Infinity"), &json!("-Infinity"), &json!(1.0)]);
}

#[tokio::test]
async fn asking_again_costs_nothing_while_nothing_came() {
    let backend = Backend::start();
    let first = backend.get("/api/traces").await;
    let tag = first.headers[header::ETAG].to_str().unwrap().to_owned();
    let again = backend.get_as("/api/traces", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let one = request("orders", vec![span(0xaa, 1, "GET")]);
    backend.post("/v1/traces", PROTOBUF, one.encode_to_vec()).await;
    let later = backend.get_as("/api/traces", &[("if-none-match", &tag)]).await;
    assert_eq!(later.status, StatusCode::OK);
}

#[tokio::test]
async fn questions_that_cannot_be_answered_are_told_why() {
    let backend = Backend::start();
    for (path, status, word) in [
        ("/api/traces?colour=red", 400, "colour"),
        ("/api/traces/xyz", 400, "32"),
        (&format!("/api/traces/{TRACE}"), 404, "not kept"),
        ("/api/v3/traces/0", 400, "32"),
        ("/nothing", 404, "/nothing"),
    ] {
        let answer = backend.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.json()["error"].as_str().unwrap().contains(word), "{path}");
    }
}

#[tokio::test]
async fn a_page_of_a_stranger_cannot_read_by_another_name() {
    let backend = Backend::start();
    for (host, status) in
        [("evil.example", 421), ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]", 200), ("", 421)]
    {
        let answer = backend.get_as("/api/traces", &[("host", host)]).await;
        assert_eq!(answer.status.as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn the_bytes_of_what_is_kept_stay_within_their_bound() {
    let backend = Backend::with_memory(1 << 20);
    for trace in 1..=40_u128 {
        let spans = (1..=100).map(|id| span(trace, id, "GET /orders")).collect();
        let sent = backend.post("/v1/traces", PROTOBUF, request("orders", spans).encode_to_vec());
        assert_eq!(sent.await.status, StatusCode::OK);
        let view = backend.get("/api/health").await.json()["view"].clone();
        assert!(view["bytes"].as_u64() <= view["limit_bytes"].as_u64(), "{view}");
    }
    let view = backend.get("/api/health").await.json()["view"].clone();
    assert_eq!(view["spans_received"], 4_000);
    assert!(view["traces_evicted"].as_u64() > Some(0), "{view}");
}

#[tokio::test]
async fn a_trace_is_given_as_jaeger_gives_it() {
    let backend = Backend::start();
    let one = request("orders", vec![span(0xaa, 1, "GET")]);
    backend.post("/v1/traces", PROTOBUF, one.encode_to_vec()).await;
    let services = backend.get("/api/v3/services").await.json();
    assert_eq!(services["services"][0], "orders");
    for path in [
        format!("/api/v3/traces/{TRACE}"),
        "/api/v3/traces?query.service_name=orders&query.num_traces=5".to_owned(),
    ] {
        let found = backend.get(&path).await.json();
        let span = &found["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], TRACE, "{path}");
    }
}

#[tokio::test]
async fn a_connection_is_told_as_one_and_leads_to_whom_it_went() {
    let backend = Backend::start();
    let number = |key: &str, value| {
        let value = Some(AnyValue { value: Some(any_value::Value::IntValue(value)) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    };
    let mut request_span = span(1, 1, "GET");
    request_span.attributes = vec![text("http.request.method", "GET")];
    let hours = request_span.start_time_unix_nano + 7_200_000_000_000;
    let connection = Span { end_time_unix_nano: hours, ..span(0xaa, 1, "TLS") };
    let out = [text("server.address", "db.example"), number("server.port", 5432)];
    let common = [text("network.transport", "tcp"), number("spandrel.tunnel.request.size", 7)];
    let connection = Span { kind: 3, attributes: [out, common].concat(), ..connection };
    let sent = request("shop", vec![request_span, connection]);
    backend.post("/v1/traces", PROTOBUF, sent.encode_to_vec()).await;

    let trace = backend.get(&format!("/api/traces/{TRACE}")).await.json();
    let verdict = &trace["verdict"];
    let headline = verdict["headline"].as_str().unwrap();
    assert!(
        headline.starts_with("shop had a connection to db.example:5432 open for 2 h"),
        "{trace}"
    );
    assert_eq!((&verdict["is_bottleneck"], &verdict["notes"]), (&json!(false), &json!([])));
    assert_eq!((&trace["spans"][0]["curl"], &trace["missing_parents"]), (&json!(null), &json!(0)));

    let graph = backend.get("/api/graph").await.json();
    let edge = &graph["edges"][0];
    assert_eq!((&edge["to"], &edge["calls"]), (&json!("db.example:5432"), &json!(1)), "{graph}");
    assert_eq!(edge["p99_us"], 0.0);
    let shop = graph["services"].as_array().unwrap().iter().find(|s| s["name"] == "shop");
    assert_eq!(shop.unwrap()["p99_us"], 10_000.0, "{graph}");
    let tenants = backend.get("/api/tenants").await.json();
    assert_eq!(tenants["tenants"][0]["requests"], 1, "{tenants}");
}
