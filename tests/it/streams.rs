//! Streams: seen while they live, their messages counted, and their ends told for what they are.

use bytes::Bytes;
use http::{HeaderValue, Request, Response};

use crate::support::app::{Stage, TestApp};
use crate::support::collector::{Collector, Span};
use crate::support::http2::{self, H2Origin};
use crate::support::peer::Peer;
use crate::support::soon;

/// Often enough for a test, and longer than any exchange that does not wait on purpose.
const OFTEN: (&str, &str) = ("spans.progress_interval", "400ms");

const SUBSCRIBE: &[u8] = b"GET /events?k=v HTTP/1.1\r\nHost: h\r\n\r\n";
const STREAMING: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
const CHAT: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n";
/// A text message of one byte, as a server sends it.
const TEXT: &[u8] = &[0x81, 1, b'x'];
/// The good-byes of a server: with the code 1000, and with 1011.
const GOOD_BYE: &[u8] = &[0x88, 2, 0x03, 0xe8];
const FAILURE: &[u8] = &[0x88, 2, 0x03, 0xf3];

/// Sends `request`, and answers it with `response`.
async fn begun(stage: &Stage, request: &[u8], response: &[u8]) -> (Peer, Peer) {
    let mut client = stage.client().await;
    client.send(request).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.send(response).await;
    client.expect(response).await;
    (client, server)
}

/// The parts of the only request, in order, and its own span; they must fit together.
fn parts_and_whole(mut spans: Vec<Span>) -> (Vec<Span>, Span) {
    let at = spans.iter().position(|span| span.kind != "INTERNAL").expect("a whole span");
    let whole = spans.remove(at);
    let mut end = whole.start;
    for (part, number) in spans.iter().zip(1..) {
        assert_eq!((part.kind, &part.parent), ("INTERNAL", &whole.span_id), "{part:#?}");
        assert_eq!(
            (&part.trace_id, &part.name),
            (&whole.trace_id, &format!("{} in progress", whole.name))
        );
        assert_eq!(part.attribute("spandrel.progress.number"), number.to_string());
        assert_eq!(part.start, end, "there is no gap between {part:#?} and the one before");
        end = part.end;
    }
    assert!(end <= whole.end);
    (spans, whole)
}

fn sum(parts: &[Span], key: &str) -> u64 {
    parts.iter().filter_map(|part| part.attribute(key).parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn an_event_stream_tells_what_passed_while_it_goes_on() {
    let stage = Stage::set(&[OFTEN]).await;
    let (mut client, mut server) = begun(&stage, SUBSCRIBE, STREAMING).await;
    for (count, event) in [(1, "data: a\n\n"), (2, ": still there\n\ndata: b\n\ndata: c\n\n")] {
        server.send(event).await;
        client.expect(event).await;
        stage.collector.spans(count).await;
    }
    server.send("data: d\n\n").await;
    server.end().await;
    client.expect("data: d\n\n").await;
    client.expect_end().await;
    drop(client);
    let (parts, whole) = parts_and_whole(stage.spans().await);
    assert!(parts.len() >= 2, "{parts:#?}");
    assert_eq!(parts[0].attribute("url.path"), "/events");
    assert_eq!(parts[0].attribute("spandrel.progress.request.size"), "0");
    assert_eq!(parts[0].attribute("spandrel.progress.request.messages"), "");
    let told = sum(&parts, "spandrel.progress.response.messages");
    assert!((3..=4).contains(&told), "{parts:#?}");
    assert_eq!(whole.attribute("spandrel.response.messages"), "4");
    assert_eq!(whole.attribute("http.response.body.size"), "51");
}

#[tokio::test]
async fn a_request_that_is_not_answered_tells_that_it_goes_on() {
    let stage = Stage::set(&[OFTEN]).await;
    let mut client = stage.client().await;
    client.send(SUBSCRIBE).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    let parts = stage.collector.spans(1).await;
    assert_eq!(parts[0].attribute("http.response.status_code"), "");
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.head().await;
    let (parts, whole) = parts_and_whole(stage.spans().await);
    assert!(!parts.is_empty() && !whole.is_error);
}

#[tokio::test]
async fn a_websocket_tells_its_messages_of_both_sides() {
    let stage = Stage::set(&[OFTEN]).await;
    let (mut client, mut server) = begun(&stage, CHAT, SWITCH).await;
    server.send([TEXT, TEXT, TEXT].concat()).await;
    client.expect([TEXT, TEXT, TEXT].concat()).await;
    // A masked message of one byte, in two pieces of the wire.
    client.send([0x81, 0x81, 1, 2]).await;
    server.expect([0x81, 0x81, 1, 2]).await;
    client.send([3, 4, 0x79]).await;
    server.expect([3, 4, 0x79]).await;
    stage.collector.spans(1).await;
    server.send(GOOD_BYE).await;
    server.end().await;
    client.expect(GOOD_BYE).await;
    client.expect_end().await;
    drop((client, server));
    let (parts, whole) = parts_and_whole(stage.spans().await);
    assert_eq!(sum(&parts, "spandrel.progress.response.messages"), 3);
    assert_eq!(sum(&parts, "spandrel.progress.request.messages"), 1);
    assert_eq!(whole.attribute("spandrel.response.messages"), "3");
    assert_eq!(whole.attribute("spandrel.request.messages"), "1");
    assert_eq!(whole.attribute("spandrel.websocket.close_code"), "1000");
    assert_eq!(whole.attribute("spandrel.tunnel.request.size"), "7");
    assert!(!whole.is_error, "{whole:#?}");
}

#[tokio::test]
async fn a_websocket_that_was_said_good_bye_to_may_end_in_any_way() {
    for (good_bye, code) in [(GOOD_BYE, "1000"), (FAILURE, "1011"), (&[0x88, 0][..], "")] {
        let stage = Stage::set(&[]).await;
        let (mut client, mut server) = begun(&stage, CHAT, SWITCH).await;
        server.send(good_bye).await;
        client.expect(good_bye).await;
        client.reset();
        server.expect_reset().await;
        let span = stage.span().await;
        assert_eq!(span.attribute("spandrel.websocket.close_code"), code);
        assert_eq!((span.is_error, span.attribute("error.type")), (false, ""), "{span:#?}");
    }
}

#[tokio::test]
async fn a_websocket_that_is_reset_without_a_good_bye_has_failed() {
    let stage = Stage::set(&[]).await;
    let (mut client, mut server) = begun(&stage, CHAT, SWITCH).await;
    server.send(TEXT).await;
    client.expect(TEXT).await;
    server.reset();
    client.expect_reset().await;
    let span = stage.span().await;
    assert_eq!((span.is_error, span.attribute("error.type")), (true, "connection_reset"));
    assert_eq!(span.attribute("spandrel.response.messages"), "1");
}

#[tokio::test]
async fn short_requests_and_switched_off_progress_tell_nothing_before_the_end() {
    for settings in [&[][..], &[("spans.progress_interval", "0s"), ("limits.idle_timeout", "2s")]] {
        let stage = Stage::set(settings).await;
        let (mut client, mut server) = begun(&stage, SUBSCRIBE, STREAMING).await;
        server.send("data: a\n\n").await;
        server.end().await;
        client.expect("data: a\n\n").await;
        client.expect_end().await;
        assert_eq!(stage.span().await.kind, "SERVER");
    }
}

#[tokio::test]
async fn an_answered_request_is_told_of_though_its_caller_never_ends_it() {
    let stage = Stage::set(&[]).await;
    let request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfive.";
    let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    let mut client = stage.client().await;
    client.send(request).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.expect("five.").await;
    server.send(answer).await;
    client.expect(answer).await;
    let spans = stage.collector.spans(1).await;
    assert_eq!(spans[0].attribute("http.request.body.size"), "5");
    client.send("more!").await;
    server.expect("more!").await;
    assert_eq!(stage.spans().await.len(), 1);
}

#[tokio::test]
async fn an_answered_stream_is_told_of_though_its_caller_never_ends_it() {
    let (mut origin, collector, app) = over_http2(&[]).await;
    let mut client = http2::connect(app.inbound()).await;
    let (response, mut body) =
        client.send_request(call("application/grpc"), false).expect("a stream");
    let mut stream = origin.next().await;
    let mut failed = answered("application/grpc");
    failed.headers_mut().insert("grpc-status", HeaderValue::from_static("5"));
    stream.respond.send_response(failed, true).expect("a stream");
    soon("a response", response).await.expect("a response");
    let spans = collector.spans(1).await;
    assert_eq!(spans[0].attribute("rpc.response.status_code"), "NOT_FOUND");
    // h2 resets what is left of a request that its server has answered, if nobody reads it.
    body.send_data(Bytes::new(), true).ok();
    drop((client, stream));
    app.stop().await;
    assert_eq!(collector.received().len(), 1);
}

/// A sidecar between an HTTP/2 client and an HTTP/2 application.
async fn over_http2(settings: &[(&str, &str)]) -> (H2Origin, Collector, TestApp) {
    let (origin, collector) = (H2Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, settings);
    (origin, collector, app)
}

fn call(content_type: &'static str) -> Request<()> {
    let mut request = http2::get("/shop.Orders/Watch");
    *request.method_mut() = http::Method::POST;
    request.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    request
}

fn answered(content_type: &'static str) -> Response<()> {
    Response::builder().header("content-type", content_type).body(()).expect("a head")
}

#[tokio::test]
async fn a_grpc_stream_tells_its_messages_while_it_goes_on() {
    let (mut origin, collector, app) = over_http2(&[OFTEN]).await;
    let mut client = http2::connect(app.inbound()).await;
    let (response, mut body) =
        client.send_request(call("application/grpc"), false).expect("a stream");
    body.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), false).expect("a stream");
    let mut stream = origin.next().await;
    let mut down = stream.respond.send_response(answered("application/grpc"), false).expect("one");
    down.send_data(Bytes::from_static(b"\0\0\0\0\x01y\0\0\0"), false).expect("a stream");
    down.send_data(Bytes::from_static(b"\0\x01z"), false).expect("a stream");
    collector.spans(1).await;
    body.send_data(Bytes::new(), true).expect("a stream");
    let status = [("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))];
    down.send_trailers(status.into_iter().collect()).expect("a stream");
    let response = soon("a response", response).await.expect("a response");
    http2::read(response.into_body()).await.expect("a whole body");
    drop(client);
    app.stop().await;
    let (parts, whole) = parts_and_whole(collector.received());
    assert_eq!(parts[0].name, "shop.Orders/Watch in progress");
    assert_eq!(sum(&parts, "spandrel.progress.response.messages"), 2);
    assert_eq!(sum(&parts, "spandrel.progress.request.messages"), 1);
    assert_eq!(whole.attribute("spandrel.response.messages"), "2");
    assert_eq!(whole.attribute("rpc.response.status_code"), "OK");
}

/// A question and its answer in gRPC-Web, plain and in base64; the answer ends with the status 5.
const WEB: [(&str, &[u8]); 3] = [
    ("application/grpc-web+proto", b"\0\0\0\0\x01y\x80\0\0\0\x10grpc-status: 5\r\n"),
    ("application/grpc-web", b"\x80\0\0\0\x0eGRPC-Status:5\r"),
    ("application/grpc-web-text", b"AAAAAAF5gAAAABBncnBjLXN0YXR1czogNQ0K"),
];

fn expect_not_found(span: &Span) {
    assert_eq!((span.name.as_str(), span.is_error), ("shop.Orders/Watch", false), "{span:#?}");
    assert_eq!(span.attribute("rpc.system.name"), "grpc");
    assert_eq!(span.attribute("rpc.response.status_code"), "NOT_FOUND");
}

#[tokio::test]
async fn the_status_of_grpc_web_is_read_from_the_body_of_http_1() {
    for (content_type, body) in WEB {
        let stage = Stage::set(&[]).await;
        let request = format!(
            "POST /shop.Orders/Watch HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let (mut client, mut server) = begun(&stage, request.as_bytes(), head.as_bytes()).await;
        for piece in body.chunks(3) {
            let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
            server.send(&chunk).await;
            client.expect(&chunk).await;
        }
        server.send("0\r\n\r\n").await;
        client.expect("0\r\n\r\n").await;
        expect_not_found(&stage.span().await);
    }
}

#[tokio::test]
async fn the_status_of_grpc_web_is_read_from_the_body_of_http_2() {
    for (content_type, bytes) in WEB {
        let (mut origin, collector, app) = over_http2(&[]).await;
        let mut client = http2::connect(app.inbound()).await;
        let (response, _) = client.send_request(call(content_type), true).expect("a stream");
        let mut stream = origin.next().await;
        let mut down = stream.respond.send_response(answered(content_type), false).expect("one");
        down.send_data(Bytes::from_static(bytes), true).expect("a stream");
        let response = soon("a response", response).await.expect("a response");
        let (got, _) = http2::read(response.into_body()).await.expect("a whole body");
        assert_eq!(got, bytes);
        drop(client);
        app.stop().await;
        expect_not_found(&collector.received()[0]);
    }
}

#[tokio::test]
async fn a_grpc_web_answer_tells_its_status_in_the_head_or_not_where_we_can_see() {
    let request = b"POST /shop.Orders/Watch HTTP/1.1\r\nHost: h\r\n\
                    Content-Type: application/grpc-web\r\nContent-Length: 0\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\n";
    for (lines, code) in [
        ("grpc-status: 7\r\n\r\n", "PERMISSION_DENIED"),
        ("\r\n", "UNKNOWN"),
        ("Content-Encoding: gzip\r\n\r\n", ""),
    ] {
        let stage = Stage::set(&[]).await;
        begun(&stage, request, format!("{head}{lines}").as_bytes()).await;
        let span = stage.span().await;
        assert_eq!(span.attribute("rpc.response.status_code"), code, "{lines}");
    }
}
