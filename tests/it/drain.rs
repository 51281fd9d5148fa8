//! The end: what runs is finished, what is new is not begun, and every span is sent.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use spandrel::app::End;
use spandrel::metrics::{SPANS_CREATED, SPANS_DROPPED, SPANS_EXPORTED};
use tokio::net::TcpStream;

use crate::support::app::{Stage, TestApp, number};
use crate::support::collector::Collector;
use crate::support::http2::{self, H2Origin};
use crate::support::peer::{Origin, Peer};
use crate::support::soon;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A connection with a request that has reached the application.
async fn in_flight(stage: &Stage) -> (Peer, Peer) {
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    (client, server)
}

/// Waits until connections to `address` are refused.
async fn refusal(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_runs_closes_what_idles_and_sends_every_span() {
    let stage = Stage::set(&[]).await;
    let (mut idle, mut server) = in_flight(&stage).await;
    server.send(OK).await;
    idle.expect(OK).await;
    let mut fresh = stage.client().await;
    let (mut busy, mut server) = in_flight(&stage).await;
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
    busy.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;

    stage.app.order_stop().await;
    idle.expect_end().await;
    fresh.expect_end().await;
    busy.expect_silence().await;
    server.send(b"k").await;
    busy.expect(b"k").await;
    busy.expect_end().await;
    let Stage { collector, app, .. } = stage;
    let registry = Arc::clone(&app.registry);
    assert_eq!(app.ended().await, End::Drained);
    let spans = collector.received();
    assert_eq!(spans.len(), 2);
    for span in &spans {
        assert_eq!(span.attribute("http.response.status_code"), "200");
        assert_eq!(span.attribute("spandrel.truncated"), "");
    }
    assert_eq!(number(&registry, SPANS_CREATED, &[]), 2);
    assert_eq!(number(&registry, SPANS_EXPORTED, &[]), 2);
}

#[tokio::test]
async fn new_connections_are_refused_while_what_runs_goes_on() {
    let stage = Stage::set(&[]).await;
    let (mut busy, mut server) = in_flight(&stage).await;
    stage.app.order_stop().await;
    for listener in [stage.app.inbound(), stage.app.outbound()] {
        soon("the end of the listener", refusal(listener)).await;
    }
    server.send(OK).await;
    busy.expect(OK).await;
    busy.expect_end().await;
    assert_eq!(stage.app.ended().await, End::Drained);
}

#[tokio::test]
async fn the_deadline_cuts_off_what_still_runs_and_its_span_says_so() {
    let stage = Stage::set(&[("limits.drain_timeout", "50ms")]).await;
    let (mut client, _server) = in_flight(&stage).await;
    let Stage { collector, app, .. } = stage;
    assert_eq!(app.stop().await, End::Forced);
    let (seen, _orderly) = client.whatever().await;
    assert_eq!(seen, b"");
    let spans = collector.received();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].attribute("spandrel.truncated"), "shutdown");
    assert_eq!(spans[0].attribute("http.response.status_code"), "");
}

#[tokio::test]
async fn being_told_twice_means_now() {
    let stage = Stage::set(&[]).await;
    let (_client, _server) = in_flight(&stage).await;
    let Stage { collector, app, .. } = stage;
    app.order_stop().await;
    app.order_stop().await;
    assert_eq!(app.ended().await, End::Forced);
    assert_eq!(collector.received()[0].attribute("spandrel.truncated"), "shutdown");
}

#[tokio::test]
async fn a_tunnel_goes_on_until_it_ends_or_the_deadline_comes() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.outbound_client().await;
    let target = stage.origin.address;
    client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    client.head().await;
    let mut server = stage.origin.accept().await;
    stage.app.order_stop().await;
    client.send(b"ping").await;
    server.expect(b"ping").await;
    drop((client, server));
    let Stage { collector, app, .. } = stage;
    assert_eq!(app.ended().await, End::Drained);
    assert_eq!(collector.received().len(), 1);
}

#[tokio::test]
async fn a_graceful_stop_finishes_the_streams_of_http_2_and_takes_no_new_ones() {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let mut probe = Peer::connect(app.inbound()).await;
    let client = http2::connect(app.inbound()).await;
    let mut sender = client.clone();
    let (response, _) = sender.send_request(http2::get("/"), true).expect("a request");
    let mut stream = origin.next().await;
    app.order_stop().await;
    // By the time that an idle connection is closed, the stop has come.
    probe.expect_end().await;
    let mut down = stream.respond.send_response(Response::new(()), false).expect("a stream");
    down.send_data(Bytes::from_static(b"answer"), true).expect("a stream");
    let response = soon("a response", response).await.expect("a response");
    let (bytes, _) = http2::read(response.into_body()).await.expect("a whole body");
    assert_eq!(bytes, b"answer");
    assert_eq!(app.ended().await, End::Drained);
    assert!(sender.ready().await.is_err(), "the connection is over");
    drop(client);
    let spans = collector.received();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].attribute("http.response.status_code"), "200");
    assert_eq!(spans[0].attribute("spandrel.fault.kind"), "");
}

#[tokio::test]
async fn a_stream_of_http_2_that_is_cut_off_has_a_span_that_says_so() {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let mut client = http2::connect(app.inbound()).await;
    let (response, _) = client.send_request(http2::get("/"), true).expect("a request");
    let _stream = origin.next().await;
    app.order_stop().await;
    app.order_stop().await;
    assert_eq!(app.ended().await, End::Forced);
    assert!(soon("the end of the stream", response).await.is_err());
    let spans = collector.received();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].attribute("spandrel.truncated"), "shutdown");
}

#[tokio::test]
async fn a_caller_that_goes_while_we_drain_has_cancelled() {
    let mut origin = H2Origin::start().await;
    let collector = Collector::start().await;
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let (mut client, connection) = http2::connect_breakable(app.inbound()).await;
    let (response, _) = client.send_request(http2::get("/"), true).expect("a request");
    let _stream = origin.next().await;
    app.order_stop().await;
    refusal(app.inbound()).await;
    connection.abort();
    drop((client, response));
    assert_eq!(app.ended().await, End::Drained);
    let span = collector.spans(1).await.remove(0);
    assert_eq!(span.attribute("spandrel.fault.kind"), "cancelled", "{span:?}");
    assert_eq!(span.attribute("spandrel.truncated"), "");
}

#[tokio::test]
async fn an_idle_http_2_connection_does_not_delay_the_end() {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let client = http2::connect(app.inbound()).await;
    let (response, _) = client.clone().send_request(http2::get("/"), true).expect("a request");
    let mut stream = origin.next().await;
    stream.respond.send_response(Response::new(()), true).expect("a stream");
    soon("a response", response).await.expect("a response");
    assert_eq!(app.stop().await, End::Drained);
    assert_eq!(collector.received().len(), 1);
    drop(client);
}

#[tokio::test]
async fn a_stop_while_the_collector_hangs_ends_within_its_time_and_counts_what_is_lost() {
    let origin = Origin::start().await;
    let collector = Collector::hanging().await;
    let settings = [("limits.flush_timeout", "100ms")];
    let app = TestApp::beside(origin.address, collector.address, &settings);
    let mut client = Peer::connect(app.inbound()).await;
    client.send(GET).await;
    let mut server = origin.accept().await;
    server.head().await;
    server.send(OK).await;
    client.expect(OK).await;
    let registry = Arc::clone(&app.registry);
    assert_eq!(app.stop().await, End::Drained);
    assert_eq!(number(&registry, SPANS_CREATED, &[]), 1);
    assert_eq!(number(&registry, SPANS_DROPPED, &[("reason", "shutdown")]), 1);
}
