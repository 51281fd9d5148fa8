//! The endpoint for the application's own telemetry, by the bytes that its senders exchange with it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::json;
use spandrel::export::{Parcel, Signal};
use spandrel::metrics::Registry;
use spandrel::receive::{self, Config, Forward, Parts};
use spandrel::trace::resource::Resource;
use spandrel::trace::sample::Sampler;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::support::ask::{Answer, send, zipped};
use crate::support::{GLANCE, soon};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const GO: &[u8] = include_bytes!("../../src/receive/jaeger/packets/jaeger-client-go-2.30.0.bin");
const NODE: &[u8] =
    include_bytes!("../../src/receive/jaeger/packets/jaeger-client-node-3.19.0.bin");

/// A pipeline that takes everything, or nothing.
#[derive(Debug)]
struct Pipeline {
    taken: mpsc::UnboundedSender<Parcel>,
    is_full: AtomicBool,
}

impl Forward for Pipeline {
    fn offer(&self, parcel: Parcel) -> Result<(), receive::Full> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(receive::Full);
        }
        self.taken.send(parcel).expect("the test goes on");
        Ok(())
    }
}

/// An endpoint that runs until it is stopped.
struct Endpoint {
    addresses: Config,
    pipeline: Arc<Pipeline>,
    parcels: mpsc::UnboundedReceiver<Parcel>,
    registry: Arc<Registry>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Endpoint {
    fn start() -> Self {
        let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let config = Config {
            otlp_grpc: any,
            otlp_http: any,
            jaeger_compact: any,
            jaeger_binary: any,
            jaeger_sampling: any,
        };
        let receivers = receive::bind(&config).unwrap();
        let addresses = receivers.addresses();
        let (taken, parcels) = mpsc::unbounded_channel();
        let pipeline = Arc::new(Pipeline { taken, is_full: AtomicBool::new(false) });
        let registry = Arc::<Registry>::default();
        let parts = Parts {
            forward: Arc::<Pipeline>::clone(&pipeline),
            resource: Resource::new(Some("orders"), &[]),
            sampler: Sampler::parse("parentbased_traceidratio", 0.25).unwrap(),
            registry: Arc::clone(&registry),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(receivers.run(parts, async { drop(stopped.await) }));
        Self { addresses, pipeline, parcels, registry, stop, running }
    }

    async fn post(&self, address: Option<SocketAddr>, path: &str, body: Body) -> Answer {
        let mut request = Request::post(format!("http://{}{path}", address.unwrap()))
            .header("content-type", body.format);
        if body.is_zipped {
            request = request.header("content-encoding", "gzip");
        }
        send(request.body(Full::new(body.bytes)).unwrap()).await
    }

    async fn parcel(&mut self) -> Parcel {
        soon("a parcel", self.parcels.recv()).await.expect("the endpoint runs")
    }

    fn grpc(&self) -> String {
        format!("http://{}", self.addresses.otlp_grpc.unwrap())
    }

    /// What was counted, by the name of the metric less what all have, and by format.
    fn counted(&self, what: &str, format: &str) -> u64 {
        let name = format!("spandrel_receive_{what}_total");
        let samples = self.registry.samples();
        let mut found =
            samples.iter().filter(|s| s.metric.name == name && s.labels == [("format", format)]);
        found.next().expect("it is registered").value
    }
}

struct Body {
    format: &'static str,
    is_zipped: bool,
    bytes: Bytes,
}

impl Body {
    fn new(format: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self { format, is_zipped: false, bytes: bytes.into() }
    }

    fn zipped(format: &'static str, bytes: &[u8]) -> Self {
        Self { format, is_zipped: true, bytes: zipped(bytes).into() }
    }
}

fn spans() -> ExportTraceServiceRequest {
    let (trace_id, span_id) = (vec![1; 16], vec![2; 8]);
    let span = Span { name: "GET".to_owned(), trace_id, span_id, ..Span::default() };
    let scoped = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let group = ResourceSpans { scope_spans: vec![scoped], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

fn metrics() -> ExportMetricsServiceRequest {
    let gauge = Gauge { data_points: vec![NumberDataPoint::default(); 2] };
    let data = Some(Data::Gauge(gauge));
    let metric = Metric { name: "temperature".to_owned(), data, ..Metric::default() };
    let scoped = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let group = ResourceMetrics { scope_metrics: vec![scoped], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![group] }
}

fn logs() -> ExportLogsServiceRequest {
    let log_records = vec![LogRecord { severity_number: 9, ..LogRecord::default() }; 3];
    let scoped = ScopeLogs { log_records, ..ScopeLogs::default() };
    let group = ResourceLogs { scope_logs: vec![scoped], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![group] }
}

#[tokio::test]
async fn every_signal_is_taken_over_http_in_every_form_on_either_port() {
    let mut endpoint = Endpoint::start();
    let all = [
        ("traces", spans().encode_to_vec(), serde_json::to_vec(&spans()).unwrap(), 1),
        ("metrics", metrics().encode_to_vec(), serde_json::to_vec(&metrics()).unwrap(), 2),
        ("logs", logs().encode_to_vec(), serde_json::to_vec(&logs()).unwrap(), 3),
    ];
    let Config { otlp_grpc, otlp_http, .. } = endpoint.addresses;
    for (signal, protobuf, json, items) in all {
        let mut messages = Vec::new();
        for address in [otlp_http, otlp_grpc] {
            for body in [
                Body::new(PROTOBUF, protobuf.clone()),
                Body::zipped(PROTOBUF, &protobuf),
                Body::new(JSON, json.clone()),
                Body::zipped(JSON, &json),
            ] {
                let format = body.format;
                let answer = endpoint.post(address, &format!("/v1/{signal}"), body).await;
                assert_eq!(answer.status, StatusCode::OK, "{signal}, {format}");
                assert_eq!(answer.headers[header::CONTENT_TYPE], format);
                let parcel = endpoint.parcel().await;
                assert_eq!((parcel.signal.as_str(), parcel.items), (signal, items));
                messages.push(parcel.message);
            }
        }
        messages.dedup();
        assert_eq!(messages.len(), 1, "{signal}: each form makes another parcel");
    }
}

#[tokio::test]
async fn every_signal_is_taken_over_grpc_plain_and_zipped() {
    let mut endpoint = Endpoint::start();
    let url = endpoint.grpc();
    let mut traces = TraceServiceClient::connect(url.clone()).await.unwrap();
    let mut metric = MetricsServiceClient::connect(url.clone())
        .await
        .unwrap()
        .send_compressed(CompressionEncoding::Gzip);
    let mut log =
        LogsServiceClient::connect(url).await.unwrap().send_compressed(CompressionEncoding::Gzip);
    assert!(traces.export(spans()).await.unwrap().into_inner().partial_success.is_none());
    metric.export(metrics()).await.unwrap();
    log.export(logs()).await.unwrap();
    for (signal, items) in [(Signal::Traces, 1), (Signal::Metrics, 2), (Signal::Logs, 3)] {
        let parcel = endpoint.parcel().await;
        assert_eq!((parcel.signal, parcel.items), (signal, items));
    }
}

#[tokio::test]
async fn what_finds_no_room_is_to_be_sent_again_later() {
    let mut endpoint = Endpoint::start();
    endpoint.pipeline.is_full.store(true, Ordering::Relaxed);
    for format in [PROTOBUF, JSON] {
        let bytes = match format {
            JSON => serde_json::to_vec(&spans()).unwrap(),
            _ => spans().encode_to_vec(),
        };
        let http = endpoint.addresses.otlp_http;
        let answer = endpoint.post(http, "/v1/traces", Body::new(format, bytes)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers[header::RETRY_AFTER], "1");
        if format == JSON {
            assert_eq!(answer.json()["code"], 14);
        }
    }
    let mut client = TraceServiceClient::connect(endpoint.grpc()).await.unwrap();
    let refused = client.export(spans()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    // A `google.rpc.Status` with a delay of one second.
    let retry = b"type.googleapis.com/google.rpc.RetryInfo";
    let details = refused.details().to_vec();
    assert!(details.windows(retry.len()).any(|part| part == retry), "{details:?}");
    assert!(details.ends_with(&[0x12, 4, 0x0a, 2, 0x08, 1]), "{details:?}");
    assert_eq!(endpoint.counted("refused", "otlp_protobuf"), 2);

    endpoint.pipeline.is_full.store(false, Ordering::Relaxed);
    client.export(spans()).await.unwrap();
    assert_eq!(endpoint.parcel().await.items, 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_for_good() {
    let endpoint = Endpoint::start();
    let http = endpoint.addresses.otlp_http;
    for (format, status) in [(PROTOBUF, 400), (JSON, 400), ("text/plain", 415)] {
        let answer = endpoint.post(http, "/v1/traces", Body::new(format, "nonsense")).await;
        assert_eq!(answer.status.as_u16(), status, "{format}");
        assert!(!answer.headers.contains_key(header::RETRY_AFTER));
    }
    assert_eq!(endpoint.counted("malformed", "otlp_protobuf"), 1);
    assert_eq!(endpoint.counted("malformed", "otlp_json"), 1);
    let mut unsound = spans();
    unsound.resource_spans[0].scope_spans[0].spans[0].trace_id = vec![1; 3];
    let mut client = TraceServiceClient::connect(endpoint.grpc()).await.unwrap();
    assert_eq!(client.export(unsound).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_is_too_large_is_refused_for_good() {
    let endpoint = Endpoint::start();
    let large = vec![b' '; (16 << 20) + 1];
    let http = endpoint.addresses.otlp_http;
    for body in [Body::new(JSON, large.clone()), Body::zipped(JSON, &large)] {
        let answer = endpoint.post(http, "/v1/logs", body).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut long = spans();
    long.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(17 << 20);
    let mut client = TraceServiceClient::connect(endpoint.grpc())
        .await
        .unwrap()
        .send_compressed(CompressionEncoding::Gzip);
    assert_eq!(client.export(long).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_by_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = Config { otlp_grpc: Some(address), ..Config::default() };
    let error = receive::bind(&config).unwrap_err().to_string();
    assert!(error.starts_with(&format!("receive.otlp_grpc: {address} is in use")), "{error}");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = Config { jaeger_compact: Some(address), ..Config::default() };
    let error = receive::bind(&config).unwrap_err().to_string();
    assert!(error.starts_with(&format!("receive.jaeger_compact: {address} is in use")), "{error}");
}

#[tokio::test]
async fn datagrams_of_jaeger_clients_are_taken_and_others_counted() {
    let mut endpoint = Endpoint::start();
    let Config { jaeger_compact, jaeger_binary, .. } = endpoint.addresses;
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (format, address, packet) in
        [("jaeger_compact", jaeger_compact, GO), ("jaeger_binary", jaeger_binary, NODE)]
    {
        let address = address.unwrap();
        for bad in [&b""[..], b"nonsense", &vec![0xff; 60_000], packet.split_at(packet.len() - 1).0]
        {
            client.send_to(bad, address).unwrap();
        }
        client.send_to(packet, address).unwrap();
        let parcel = endpoint.parcel().await;
        let found = (parcel.signal, parcel.items, parcel.has_error);
        assert_eq!(found, (Signal::Traces, 5, true), "{format}");
        // Datagrams of one sender come in their order.
        assert_eq!(endpoint.counted("malformed", format), 4);
    }
}

#[tokio::test]
async fn jaeger_clients_are_told_what_to_sample() {
    let endpoint = Endpoint::start();
    let base = format!("http://{}", endpoint.addresses.jaeger_sampling.unwrap());
    let ask = async |target: &str| {
        send(Request::get(format!("{base}{target}")).body(Full::default()).unwrap()).await
    };
    let answer = ask("/sampling?service=shop").await;
    let rate = json!({ "samplingRate": 0.25 });
    let expected = json!({ "strategyType": "PROBABILISTIC", "probabilisticSampling": rate });
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected));
    assert_eq!(ask("/?service=shop").await.json()["strategyType"], 0);
    assert_eq!(ask("/sampling").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nothing_is_received_once_it_is_stopped() {
    let endpoint = Endpoint::start();
    let Config { otlp_http, jaeger_compact, .. } = endpoint.addresses;
    endpoint.stop.send(()).unwrap();
    soon("the end", endpoint.running).await.unwrap().unwrap();
    let refused = tokio::net::TcpStream::connect(otlp_http.unwrap()).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    // The port is free again.
    drop(UdpSocket::bind(jaeger_compact.unwrap()).unwrap());
}

#[tokio::test]
async fn what_is_not_configured_is_not_bound() {
    let receivers = receive::bind(&Config::default()).unwrap();
    assert_eq!(receivers.addresses(), Config::default());
    let (taken, _parcels) = mpsc::unbounded_channel();
    let parts = Parts {
        forward: Arc::new(Pipeline { taken, is_full: AtomicBool::new(false) }),
        resource: Resource::default(),
        sampler: Sampler::default(),
        registry: Arc::default(),
    };
    let running = receivers.run(parts, std::future::pending());
    assert!(tokio::time::timeout(GLANCE, running).await.is_err(), "it ends by itself");
}
