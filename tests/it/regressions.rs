//! Faults that were found by attacking, each once, so that none of them comes back.
//!
//! Each test does what the attack did and would not end, or would fail, with the fault. Nothing
//! here says what the sidecar is for: that is what the other files do.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use spandrel::app::End;
use spandrel::metrics::{CONNECTIONS, REQUESTS};

use crate::support::app::{Stage, TestApp};
use crate::support::collector::Collector;
use crate::support::http2::{self, H2Origin};
use crate::support::peer::Peer;
use crate::support::soon;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Opens a stream; gives what becomes of it, and its body where it has one.
async fn open(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    ends: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut client = soon("a free stream", client.clone().ready()).await.expect("it lives");
    client.send_request(request, ends).expect("a request")
}

async fn answer(response: ResponseFuture) -> Result<Response<RecvStream>, h2::Error> {
    soon("a response", response).await
}

fn post(path: &str) -> Request<()> {
    let mut request = http2::get(path);
    *request.method_mut() = Method::POST;
    request
}

/// The window of a stream of a peer that does not ask for another.
const STREAM_WINDOW: u32 = 65_535;
/// The window of a connection that holds nobody up.
const ROOM: u32 = 64 << 20;
/// How many messages nobody reads.
const UNREAD: usize = 20;
/// The length of each: more than all the windows on its way take.
const LARGE: usize = 1 << 20;
/// Exchanges that have to get past them.
const SMALL: usize = 8;

/// Takes as much as the window of a stream allows, and does not give any of it back.
async fn fill_window(body: &mut RecvStream) {
    let mut seen = 0;
    while seen < STREAM_WINDOW as usize {
        seen += soon("data", body.data()).await.expect("data").expect("data").len();
    }
}

/// A request and a response, each with a little body, must pass.
async fn small_exchange(client: &SendRequest<Bytes>, origin: &mut H2Origin) {
    let (response, mut up) = open(client, post("/small"), false).await;
    up.send_data(Bytes::from_static(b"question"), true).expect("a stream");
    let mut stream = origin.next().await;
    let (bytes, _) = http2::read(stream.request.into_body()).await.expect("a whole body");
    assert_eq!(bytes, b"question");
    let mut down = stream.respond.send_response(Response::new(()), false).expect("a stream");
    down.send_data(Bytes::from_static(b"answer"), true).expect("a stream");
    let response = answer(response).await.expect("a response");
    let (bytes, _) = http2::read(response.into_body()).await.expect("a whole body");
    assert_eq!(bytes, b"answer");
}

#[tokio::test]
async fn downloads_that_the_caller_does_not_read_do_not_hold_up_another_stream() {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let mut roomy = h2::client::Builder::new();
    roomy.initial_window_size(STREAM_WINDOW).initial_connection_window_size(ROOM);
    let (client, _running) = http2::connect_with(app.inbound(), &roomy).await;
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let (response, _) = open(&client, http2::get("/large"), true).await;
        let mut stream = origin.next().await;
        let mut down = stream.respond.send_response(Response::new(()), false).expect("a stream");
        down.send_data(vec![0; LARGE].into(), true).expect("a stream");
        let mut body = answer(response).await.expect("a response").into_body();
        fill_window(&mut body).await;
        unread.push((body, down));
    }
    for _ in 0..SMALL {
        small_exchange(&client, &mut origin).await;
    }
}

#[tokio::test]
async fn uploads_that_the_application_does_not_read_do_not_hold_up_another_stream() {
    let mut roomy = h2::server::Builder::new();
    roomy.initial_window_size(STREAM_WINDOW).initial_connection_window_size(ROOM);
    let (mut origin, collector) = (H2Origin::start_with(roomy).await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let client = http2::connect(app.inbound()).await;
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let (response, mut up) = open(&client, post("/large"), false).await;
        up.send_data(vec![0; LARGE].into(), true).expect("a stream");
        let mut stream = origin.next().await;
        fill_window(stream.request.body_mut()).await;
        unread.push((response, up, stream));
    }
    for _ in 0..SMALL {
        small_exchange(&client, &mut origin).await;
    }
}

/// Waits until no connection to the inbound side is open.
async fn nobody_is_connected(app: &TestApp) {
    let gone = async {
        while app.number(CONNECTIONS, &[("direction", "inbound")]) > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of the connection", gone).await;
}

/// A request whose body is unfinished when the whole of its response has arrived.
async fn answered_early(stage: &Stage) -> (Peer, Peer) {
    let mut client = stage.client().await;
    client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel").await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.expect(b"5\r\nhel").await;
    server.send(OK).await;
    client.expect(OK).await;
    (client, server)
}

#[tokio::test]
async fn an_early_response_ends_at_once_when_the_caller_resets() {
    let stage = Stage::set(&[]).await;
    let (client, mut server) = answered_early(&stage).await;
    client.reset();
    let spans = stage.collector.spans(1).await;
    assert_eq!(spans[0].attribute("http.response.status_code"), "200");
    nobody_is_connected(&stage.app).await;
    server.whatever().await;
}

#[tokio::test]
async fn an_early_response_ends_at_once_when_the_rest_of_the_request_is_broken() {
    let stage = Stage::set(&[]).await;
    let (mut client, mut server) = answered_early(&stage).await;
    client.send(b"lo\r\nno chunk\r\n").await;
    let spans = stage.collector.spans(1).await;
    assert_eq!(spans[0].attribute("http.response.status_code"), "200");
    client.expect_end().await;
    drop(client);
    nobody_is_connected(&stage.app).await;
    server.whatever().await;
}

#[tokio::test]
async fn a_stop_loses_nothing_of_a_response_that_is_read_late_before_another_request() {
    /// More than the caller's socket takes unread, less than both sockets do.
    const LENGTH: usize = 256 << 10;
    let stage = Stage::set(&[]).await;
    let mut idle = stage.client().await;
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    server.send(&head).await;
    server.send(vec![b'x'; LENGTH - 1]).await;
    // More than the sidecar reads ahead: what lies in a socket that is closed makes it a reset.
    client.send(GET.repeat(2_000)).await;
    client.expect(&head).await;

    stage.app.order_stop().await;
    // By the time that an idle connection is closed, the stop has come.
    idle.expect_end().await;
    server.send(b"y").await;
    let passed = async {
        while stage.app.number(REQUESTS, &[]) == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of the exchange", passed).await;
    assert_eq!(stage.app.ended().await, End::Drained);
    let seen = client.rest().await;
    assert_eq!(seen.len(), LENGTH);
    assert!(seen.ends_with(b"xy"));
    server.expect_end().await;
}
