//! The admin listeners over real sockets.

use std::net::SocketAddr;

use crate::support::app::Stage;
use crate::support::peer::Peer;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// The status and the body that `path` has.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut client = Peer::connect(address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    let reply = String::from_utf8(client.rest().await).expect("UTF-8");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a whole response");
    let status = head.split(' ').nth(1).expect("a status");
    (status.to_owned(), body.to_owned())
}

async fn status(address: SocketAddr, path: &str) -> String {
    get(address, path).await.0
}

#[tokio::test]
async fn readiness_ends_with_the_stop_and_liveness_does_not() {
    let stage = Stage::set(&[]).await;
    let admin = stage.app.addresses.admin;
    let mut idle = stage.client().await;
    let mut client = stage.client().await;
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    // The first answer may come before everything runs.
    while status(admin, "/ready").await != "200" {}
    assert_eq!(status(admin, "/live").await, "200");
    stage.app.order_stop().await;
    idle.expect_end().await;
    assert_eq!(status(admin, "/ready").await, "503");
    assert_eq!(status(admin, "/live").await, "200");
    server.send(OK).await;
    client.expect(OK).await;
    drop(client);
    stage.app.ended().await;
}

/// Those of our own, and those that OpenTelemetry has names for.
fn every_metric() -> impl Iterator<Item = &'static spandrel::metrics::Metric> {
    spandrel::metrics::ALL.iter().chain(&spandrel::metrics::standard::ALL)
}

#[tokio::test]
async fn the_metrics_are_well_formed_known_and_counted() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.send(OK).await;
    client.expect(OK).await;
    stage.collector.spans(1).await;
    let (status, text) = get(stage.app.addresses.admin, "/metrics").await;
    assert_eq!(status, "200");
    let mut types = 0;
    for line in text.lines() {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        let name = name.split(['{', ' ']).next().unwrap_or_default();
        let is_known = every_metric().any(|metric| metric.name == name);
        assert!(is_known, "{line}");
        types += usize::from(line.starts_with("# TYPE "));
        let number = line.rsplit(' ').next().unwrap_or_default();
        assert!(line.starts_with('#') || number.parse::<u64>().is_ok(), "{line}");
    }
    assert_eq!(types, every_metric().count(), "every metric is there from the start");
    for line in [
        "spandrel_requests_total{direction=\"inbound\",status=\"2xx\"} 1",
        "spandrel_requests_total{direction=\"outbound\",status=\"2xx\"} 0",
        "spandrel_connections{direction=\"inbound\"} 1",
        "spandrel_spans_created_total 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
    }
}

#[tokio::test]
async fn the_settings_in_effect_are_shown_with_their_origin() {
    let stage = Stage::set(&[("limits.requests", "7")]).await;
    let (status, text) = get(stage.app.addresses.admin, "/config").await;
    assert_eq!(status, "200");
    let app = stage.origin.address.to_string();
    assert!(text.contains(&app), "{text}");
    let has = |key: &str, value: &str| text.contains(&format!("{key}: {value} "));
    assert!(has("requests", "7") || text.contains("limits.requests: 7"), "{text}");
}

#[tokio::test]
async fn the_second_listener_shows_probes_and_metrics_alone() {
    let stage = Stage::set(&[("metrics.listen", "127.0.0.1:0")]).await;
    let metrics = stage.app.addresses.metrics.expect("it listens");
    for (path, expected) in
        [("/live", "200"), ("/metrics", "200"), ("/config", "404"), ("/", "404")]
    {
        assert_eq!(status(metrics, path).await, expected, "{path}");
    }
    assert_eq!(status(stage.app.addresses.admin, "/config").await, "200");
}

#[tokio::test]
async fn requests_to_the_admin_listener_make_no_spans() {
    let stage = Stage::set(&[]).await;
    for path in ["/live", "/metrics", "/nothing"] {
        status(stage.app.addresses.admin, path).await;
    }
    assert_eq!(stage.spans().await, []);
}

#[tokio::test]
async fn what_is_not_http_disturbs_nobody() {
    let stage = Stage::set(&[]).await;
    let admin = stage.app.addresses.admin;
    let mut open = Peer::connect(admin).await;
    open.send(b"GET /li").await;
    let mut other = Peer::connect(admin).await;
    other.send(b"\x16\x03\x01\0\r\n\r\n").await;
    let (reply, _orderly) = other.whatever().await;
    assert!(!reply.starts_with(b"HTTP/1.1 200"));
    assert_eq!(status(admin, "/live").await, "200");
}
