//! The whole pipeline against a collector of HTTP and gRPC.

use super::testing::{Authority, Collector, Script, Seen, books, finish};
use super::*;
use crate::reach::Reach;
use crate::trace::resource::Resource;
use opentelemetry_proto::tonic::collector::trace::v1 as proto;
use prost::Message as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

fn config(protocol: Protocol, address: SocketAddr) -> Config {
    let base_url = format!("http://{address}");
    let traces_url = match protocol {
        Protocol::Grpc => base_url.clone(),
        Protocol::HttpProtobuf | Protocol::HttpJson => format!("{base_url}/v1/traces"),
    };
    let target = Target::Otlp(Otlp { traces_url, base_url, protocol, ..Otlp::default() });
    let filter = Filter::default();
    Config {
        first: Destination { name: "otlp".to_owned(), target, filter },
        further: Vec::new(),
        batch: Batch::default(),
        queue: Queue::default(),
        spool: None,
        canary: false,
        resource: Resource::new(Some("orders"), &[]),
    }
}

fn otlp(config: &mut Config) -> &mut Otlp {
    match &mut config.first.target {
        Target::Otlp(otlp) => otlp,
        other => panic!("{other:?} is not OTLP"),
    }
}

/// How long a destination that cannot be reached is tried.
const BRIEF: Duration = Duration::from_millis(500);

/// Sends five spans with these settings, and gives the books in the end.
async fn run(config: &Config) -> [u64; 6] {
    send_five(config, std::future::pending(), Duration::ZERO).await
}

/// The same, and gives up after `grace`.
async fn run_for(config: &Config, grace: Duration) -> [u64; 6] {
    send_five(config, std::future::ready(()), grace).await
}

async fn send_five(
    config: &Config,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> [u64; 6] {
    let registry = Registry::default();
    let (mut sinks, pipeline) =
        build(config, &registry, 2, &OwnSockets::default(), &Reach::default())
            .expect("the settings are good");
    finish(&mut sinks[0], 2);
    finish(&mut sinks[1], 3);
    drop(sinks);
    pipeline.run(shutdown, grace).await;
    books(&registry)
}

async fn play(protocol: Protocol, script: Vec<Script>) -> ([u64; 6], Collector) {
    let collector = Collector::start(protocol, script).await;
    (run(&config(protocol, collector.address)).await, collector)
}

fn decode(protocol: Protocol, seen: &Seen, is_gzip: bool) -> proto::ExportTraceServiceRequest {
    let mut body = &seen.body()[..];
    if protocol == Protocol::Grpc {
        assert_eq!(body[0], u8::from(is_gzip));
        assert_eq!(body[1..5], u32::try_from(body.len() - 5).expect("short").to_be_bytes());
        body = &body[5..];
    }
    let mut plain = Vec::new();
    if is_gzip {
        flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
        body = &plain;
    }
    proto::ExportTraceServiceRequest::decode(body).expect("a request")
}

fn header<'a>(seen: &'a Seen, name: &str) -> &'a str {
    seen.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

#[tokio::test]
async fn spans_of_all_workers_arrive_in_one_request() {
    for (protocol, path, content_type) in [
        (Protocol::HttpProtobuf, "/v1/traces", "application/x-protobuf"),
        (
            Protocol::Grpc,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "application/grpc",
        ),
    ] {
        let (books, mut collector) = play(protocol, vec![]).await;
        assert_eq!(books, [5, 5, 0, 0, 0, 0]);
        let seen = collector.next().await;
        let request = decode(protocol, &seen, false);
        assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 5);
        assert_eq!((seen.method().as_str(), seen.uri().path()), ("POST", path));
        assert_eq!(header(&seen, "content-type"), content_type);
        assert!(header(&seen, "user-agent").starts_with("OTel-OTLP-Exporter-Rust/"));
        assert_eq!(header(&seen, "te") == "trailers", protocol == Protocol::Grpc);
        assert_eq!(collector.waiting(), 0);
    }
}

#[tokio::test]
async fn headers_and_compression_are_as_configured() {
    for (protocol, encoding) in
        [(Protocol::HttpProtobuf, "content-encoding"), (Protocol::Grpc, "grpc-encoding")]
    {
        let mut collector = Collector::start(protocol, vec![]).await;
        let mut config = config(protocol, collector.address);
        otlp(&mut config).client.compression = Compression::Gzip;
        otlp(&mut config).client.headers = vec![("x-token".to_owned(), "s3cret".to_owned())];
        assert_eq!(run(&config).await, [5, 5, 0, 0, 0, 0]);
        let seen = collector.next().await;
        assert_eq!((header(&seen, encoding), header(&seen, "x-token")), ("gzip", "s3cret"));
        let request = decode(protocol, &seen, true);
        assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 5);
    }
}

#[tokio::test]
async fn a_busy_destination_gets_the_same_bytes_again() {
    let busy = |protocol| match protocol {
        Protocol::Grpc => Script::grpc(b"", &[("grpc-status", "14")]),
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            Script::http(503, &[("retry-after", "1")], vec![])
        }
    };
    for protocol in BOTH {
        let (books, mut collector) = play(protocol, vec![busy(protocol)]).await;
        assert_eq!(books, [5, 5, 0, 0, 0, 0]);
        let (first, second) = (collector.next().await, collector.next().await);
        assert_eq!(first.body(), second.body());
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    for protocol in BOTH {
        let (books, collector) = play(protocol, vec![Script::Close]).await;
        assert_eq!(books, [5, 5, 0, 0, 0, 0]);
        assert_eq!(collector.waiting(), 2);
    }
}

#[tokio::test]
async fn a_refusal_is_final() {
    for (protocol, refusal) in [
        (Protocol::Grpc, Script::grpc(b"", &[("grpc-status", "7")])),
        (Protocol::Grpc, Script::http(200, &[("grpc-status", "16")], vec![])),
        (Protocol::HttpProtobuf, Script::http(401, &[], vec![])),
        (Protocol::HttpProtobuf, Script::http(500, &[], vec![])),
    ] {
        let (books, collector) = play(protocol, vec![refusal]).await;
        assert_eq!(books, [5, 0, 0, 5, 0, 0]);
        assert_eq!(collector.waiting(), 1);
    }
}

#[tokio::test]
async fn partial_success_is_counted_on_both_sides() {
    let partial =
        proto::ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".to_owned() };
    let response =
        proto::ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    for (protocol, script) in [
        (Protocol::Grpc, Script::grpc(&response, &[("grpc-status", "0")])),
        (Protocol::HttpProtobuf, Script::http(200, &[], response.clone())),
    ] {
        let (books, collector) = play(protocol, vec![script]).await;
        assert_eq!(books, [5, 3, 0, 2, 0, 0]);
        assert_eq!(collector.waiting(), 1);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let endless = Script::http(200, &[], vec![0; 5 * 1024 * 1024]);
    let (books, collector) = play(Protocol::HttpProtobuf, vec![endless]).await;
    assert_eq!(books, [5, 0, 0, 5, 0, 0]);
    assert_eq!(collector.waiting(), 1);
}

#[tokio::test]
async fn a_destination_that_hangs_is_tried_again_and_one_that_is_not_there_ends_with_us() {
    for protocol in BOTH {
        let hanging = Collector::start(protocol, vec![Script::Hang]).await;
        let mut hurried = config(protocol, hanging.address);
        otlp(&mut hurried).client.timeout = Duration::from_millis(50);
        assert_eq!(run(&hurried).await, [5, 5, 0, 0, 0, 0]);
        assert_eq!(hanging.waiting(), 2);

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback socket");
        let nobody = listener.local_addr().expect("it is bound");
        drop(listener);
        assert_eq!(run_for(&config(protocol, nobody), BRIEF).await, [5, 0, 0, 0, 0, 5]);
    }
}

#[tokio::test]
async fn over_tls_both_sides_show_their_certificates() {
    for (protocol, name) in [(Protocol::Grpc, "grpc"), (Protocol::HttpProtobuf, "http")] {
        let authority = Authority::new(name);
        let mut collector = Collector::start_tls(protocol, &authority).await;
        let mut config = config(protocol, collector.address);
        let url = format!("https://localhost:{}/v1/traces", collector.address.port());
        otlp(&mut config).traces_url = url;
        otlp(&mut config).client.certificate = Some(authority.certificate());
        assert_eq!(
            run_for(&config, BRIEF).await,
            [5, 0, 0, 0, 0, 5],
            "a client without a certificate"
        );
        otlp(&mut config).client.client_certificate = Some(authority.client());
        assert_eq!(run(&config).await, [5, 5, 0, 0, 0, 0]);
        let request = decode(protocol, &collector.next().await, false);
        assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 5);

        otlp(&mut config).client.certificate = None;
        let unknown = run_for(&config, BRIEF).await;
        assert_eq!(unknown, [5, 0, 0, 0, 0, 5], "an authority nobody knows");
        assert_eq!(collector.waiting(), 0);
    }
}

#[test]
fn settings_that_cannot_work_are_told_at_the_start() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let error = |config: &Config| {
        build(config, &Registry::default(), 1, &OwnSockets::default(), &Reach::default())
            .expect_err("not possible")
            .to_string()
    };
    for protocol in BOTH {
        let mut config = config(protocol, address);
        otlp(&mut config).client.headers = vec![("x-token".to_owned(), "line\nbreak".to_owned())];
        let text = error(&config);
        assert!(text.contains("x-token") && !text.contains("break"), "{text}");
        otlp(&mut config).traces_url = "collector:4317".to_owned();
        assert!(error(&config).contains("collector:4317"));
    }
}
