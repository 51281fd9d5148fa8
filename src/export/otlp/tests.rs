use super::*;
use crate::export::exporter::Outcome;
use crate::export::testing::{self, Collector, Script};
use crate::export::{Client, Encoder};
use crate::trace::resource::Resource;
use crate::trace::span::{Attributes, SpanBatch};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

fn parcel(signal: Signal) -> Parcel {
    let mut batch = SpanBatch::default();
    batch.push(testing::span(), &[b"GET"], b"", &Attributes::default());
    let message = Encoder::new(&Resource::new(Some("orders"), &[])).encode(batch.iter()).into();
    Parcel { signal, items: 1, has_error: false, message }
}

fn exporter(protocol: Protocol, compression: Compression, to: &Collector) -> Box<dyn Exporter> {
    let base_url = format!("http://{}", to.address);
    let traces_url = match protocol {
        Protocol::Grpc => base_url.clone(),
        Protocol::HttpProtobuf | Protocol::HttpJson => format!("{base_url}/v1/traces"),
    };
    let client = Client { compression, ..Client::default() };
    let otlp = Otlp { traces_url, base_url, protocol, client };
    connect(&otlp, &OwnSockets::default()).expect("the settings are good")
}

#[tokio::test]
async fn json_is_posted_and_answered_in_json() {
    let answer = |status, body: &str| {
        let json = [("content-type", "application/json")];
        Script::http(status, &json, body.as_bytes().to_vec())
    };
    let script = vec![
        answer(200, "{\"partialSuccess\":{\"rejectedSpans\":\"1\",\"errorMessage\":\"old\"}}"),
        answer(503, "{\"code\":14,\"message\":\"busy\"}"),
    ];
    let mut collector = Collector::start(Protocol::HttpJson, script).await;
    let exporter = exporter(Protocol::HttpJson, Compression::Gzip, &collector);
    let packed = exporter.pack(&parcel(Signal::Traces)).expect("it is fit");
    let partly = Outcome::Delivered { rejected: 1, message: "old".to_owned() };
    assert_eq!(exporter.send(packed.clone()).await, partly);
    let busy = Outcome::Retry { after: None, reason: "HTTP status 503: busy".to_owned() };
    assert_eq!(exporter.send(packed).await, busy);

    let seen = collector.next().await;
    assert_eq!(seen.headers()["content-type"], "application/json");
    assert_eq!(seen.headers()["content-encoding"], "gzip");
    let plain = flate2::read::GzDecoder::new(&seen.body()[..]);
    let request: ExportTraceServiceRequest = serde_json::from_reader(plain).expect("OTLP");
    assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].name, "GET");
}

#[tokio::test]
async fn zstandard_is_spoken_over_both() {
    for (protocol, encoding) in
        [(Protocol::HttpProtobuf, "content-encoding"), (Protocol::Grpc, "grpc-encoding")]
    {
        let mut collector = Collector::start(protocol, vec![]).await;
        let exporter = exporter(protocol, Compression::Zstd, &collector);
        let parcel = parcel(Signal::Traces);
        let packed = exporter.pack(&parcel).expect("it is fit");
        let taken = Outcome::Delivered { rejected: 0, message: String::new() };
        assert_eq!(exporter.send(packed).await, taken);
        let seen = collector.next().await;
        assert_eq!(seen.headers()[encoding], "zstd");
        let body = match (protocol, seen.body().split_first_chunk::<5>()) {
            (Protocol::Grpc, Some(([1, ..], body))) => body,
            (Protocol::Grpc, _) => panic!("it is not said to be compressed"),
            _ => seen.body(),
        };
        assert_eq!(zstd::stream::decode_all(body).expect("zstd"), parcel.message);
    }
}

#[tokio::test]
async fn each_signal_goes_to_its_own_path() {
    let mut collector = Collector::start(Protocol::HttpJson, vec![]).await;
    let exporter = exporter(Protocol::HttpJson, Compression::None, &collector);
    for signal in Signal::ALL {
        let message = bytes::Bytes::new();
        let parcel = Parcel { signal, items: 0, has_error: false, message };
        let packed = exporter.pack(&parcel).expect("it is fit");
        assert!(matches!(exporter.send(packed).await, Outcome::Delivered { .. }));
        let seen = collector.next().await;
        assert_eq!(seen.uri().path(), format!("/v1/{}", signal.as_str()));
        assert_eq!(&seen.body()[..], b"{}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut collector = Collector::start(Protocol::HttpProtobuf, vec![]).await;
    let to = format!("http://{}/elsewhere", collector.address);
    let script = vec![Script::http(307, &[("location", &to)], vec![])];
    let redirecting = Collector::start(Protocol::HttpProtobuf, script).await;
    let exporter = exporter(Protocol::HttpProtobuf, Compression::None, &redirecting);
    let packed = exporter.pack(&parcel(Signal::Traces)).expect("it is fit");
    let Outcome::Refused { reason } = exporter.send(packed).await else { panic!("refused") };
    assert!(reason.contains(&to), "{reason}");
    assert!(collector.seen.try_recv().is_err());
}
