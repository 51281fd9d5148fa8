//! Faults that were found by attacking, each once, so that none of them comes back.
//!
//! Each test does what the attack did and would not end, or would fail, with the fault. Nothing
//! here says what the sidecar is for: that is what the other files do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use spandrel::app::End;
use spandrel::metrics::{CONNECTIONS, REQUESTS};
use tokio::net::{TcpListener, TcpStream};

use crate::support::app::{Stage, TestApp};
use crate::support::collector::Collector;
use crate::support::http2::{self, H2Origin};
use crate::support::peer::{Closed, Origin, Peer, show, values};
use crate::support::{GLANCE, soon};

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

/// A call of gRPC.
fn call() -> Request<()> {
    let mut request = post("/shop.Orders/Place");
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    request
}

#[tokio::test]
async fn a_request_without_a_body_does_not_wait_for_its_response_for_ever() {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let settings = [("limits.response_timeout", "100ms")];
    let app = TestApp::beside(origin.address, collector.address, &settings);
    let client = http2::connect(app.inbound()).await;
    let (response, _) = open(&client, http2::get("/"), true).await;
    let _silent = origin.next().await;
    assert_eq!(answer(response).await.expect("a response").status(), 504);

    let (response, _) = open(&client, call(), true).await;
    let _silent_too = origin.next().await;
    let response = answer(response).await.expect("a response");
    assert!(response.status() == 200 && response.body().is_end_stream());
    assert_eq!(response.headers().get("grpc-status"), Some(&HeaderValue::from_static("4")));
    let spans = collector.spans(2).await;
    for span in spans {
        assert_eq!(span.attribute("spandrel.fault.kind"), "response_timeout");
        assert_eq!(span.attribute("spandrel.fault.side"), "upstream");
    }
}

/// What a client of HTTP/2 begins with: the preface and settings, of which there are none.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// What a server begins with: settings, and the acknowledgement of the client's.
const WELCOME: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";
/// `GET /` to the authority `h`, as the whole of the first stream.
const FIRST_GET: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01h";
/// The types of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const PING: u8 = 6;

/// Reads frames until one of this type has come.
async fn frame(peer: &mut Peer, wanted: u8) {
    loop {
        let head = peer.take(9).await;
        let length = head[..3].iter().fold(0, |length, b| length << 8 | usize::from(*b));
        peer.take(length).await;
        if head[3] == wanted {
            return;
        }
    }
}

/// The next connection to an origin that plays HTTP/2 byte by byte.
async fn accept(origin: &Origin) -> Peer {
    let mut server = origin.accept().await;
    server.expect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    server.send(WELCOME).await;
    server
}

#[tokio::test]
async fn a_head_and_data_are_not_overtaken_by_a_reset_that_comes_with_them() {
    let (origin, collector) = (Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let codes = [0_u32, 2, 7, 8, 0xb, 0xdead];
    for code in codes {
        let client = http2::connect(app.inbound()).await;
        let (response, _) = open(&client, http2::get("/"), true).await;
        let mut server = accept(&origin).await;
        frame(&mut server, HEADERS).await;
        let (head, data) = (b"\0\0\x01\x01\x04\0\0\0\x01\x88", b"\0\0\x04\0\0\0\0\0\x01part");
        let reset = b"\0\0\x04\x03\0\0\0\0\x01";
        server.send([&head[..], data, reset, &code.to_be_bytes()].concat()).await;
        let response = answer(response).await.expect("a response");
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let data = soon("data", body.data()).await.expect("data").expect("data");
        assert_eq!(&data[..], b"part");
        let error = soon("the reset", body.data()).await.expect("a reset").expect_err("a reset");
        assert!(error.is_reset());
        assert_eq!(error.reason(), Some(Reason::from(code)));
    }
    assert_eq!(collector.spans(codes.len()).await.len(), codes.len());
}

#[tokio::test]
async fn a_stream_that_the_application_never_looked_at_is_refused_and_may_be_tried_again() {
    let (origin, collector) = (Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let client = http2::connect(app.inbound()).await;
    let (first, _) = open(&client, http2::get("/"), true).await;
    let mut server = accept(&origin).await;
    frame(&mut server, HEADERS).await;
    let (second, _) = open(&client, http2::get("/"), true).await;
    frame(&mut server, HEADERS).await;
    // The last stream is the first one, and nothing is wrong.
    server.send(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0").await;
    let error = answer(second).await.expect_err("it was refused");
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::REFUSED_STREAM)));
    server.send(b"\0\0\x01\x01\x05\0\0\0\x01\x88").await;
    assert_eq!(answer(first).await.expect("a response").status(), 200);

    let (again, _) = open(&client, http2::get("/"), true).await;
    let mut other = accept(&origin).await;
    frame(&mut other, HEADERS).await;
    other.send(b"\0\0\x01\x01\x05\0\0\0\x01\x88").await;
    assert_eq!(answer(again).await.expect("a response").status(), 200);
    assert_eq!(collector.spans(3).await.len(), 3);
}

#[tokio::test]
async fn a_client_that_never_answers_a_ping_does_not_hold_up_the_end() {
    /// Far less than the time to drain, and far more than a peer is given to leave.
    const SOON: Duration = Duration::from_secs(6);
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let app =
        TestApp::beside(origin.address, collector.address, &[("limits.drain_timeout", "20s")]);
    let mut fresh = Peer::connect(app.inbound()).await;
    fresh.send(PREFACE).await;
    let mut used = Peer::connect(app.inbound()).await;
    used.send([PREFACE, FIRST_GET].concat()).await;
    let mut stream = origin.next().await;
    stream.respond.send_response(Response::new(()), true).expect("a stream");
    frame(&mut used, HEADERS).await;

    let start = Instant::now();
    app.order_stop().await;
    frame(&mut fresh, PING).await;
    frame(&mut used, PING).await;
    assert_eq!(app.ended().await, End::Drained);
    assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
    assert_eq!(collector.received().len(), 1);
}

/// A listener that answers no one any more, and the connections that wait in it.
async fn full() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
    /// Far more than the system lets wait where nobody shall.
    const MOST: usize = 64;
    let held = Closed::hold();
    let address = held.address;
    let (listener, mut waiting) = (held.listen(0), Vec::new());
    while waiting.len() < MOST {
        // So long a silence on the loopback is taken as no answer.
        match tokio::time::timeout(10 * GLANCE, TcpStream::connect(address)).await {
            Ok(stream) => waiting.push(stream.expect("it listens")),
            Err(_unanswered) => return (listener, waiting, address),
        }
    }
    panic!("a listener takes any number of connections");
}

#[tokio::test]
async fn streams_for_a_dead_target_fail_together_and_one_for_a_live_target_does_not_wait() {
    const LIMIT: Duration = Duration::from_millis(500);
    const STREAMS: usize = 6;
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let (_listener, _waiting, dead) = full().await;
    let app =
        TestApp::beside(origin.address, collector.address, &[("limits.connect_timeout", "500ms")]);
    let client = http2::connect(app.outbound()).await;
    let to = |target: SocketAddr| {
        Request::builder().uri(format!("http://{target}/")).body(()).expect("a request")
    };
    let start = Instant::now();
    let mut unanswered = Vec::new();
    for _ in 0..STREAMS {
        unanswered.push(open(&client, to(dead), true).await.0);
    }
    let first = unanswered.remove(0);
    let live = async {
        let (response, _) = open(&client, to(origin.address), true).await;
        let mut stream = origin.next().await;
        stream.respond.send_response(Response::new(()), true).expect("a stream");
        assert_eq!(answer(response).await.expect("a response").status(), 200);
    };
    let mut first = Box::pin(answer(first));
    tokio::select! {
        biased;
        () = live => {}
        _ = &mut first => panic!("the live target waited for the dead one"),
    }
    assert_eq!(first.await.expect("a response").status(), 504);
    for response in unanswered {
        assert_eq!(answer(response).await.expect("a response").status(), 504);
    }
    // One after the other they would take as many limits as there are streams.
    let taken = start.elapsed();
    assert!(taken >= LIMIT && taken < 3 * LIMIT, "it took {taken:?}");
    let spans = collector.spans(STREAMS + 1).await;
    let late = spans.iter().filter(|s| s.attribute("spandrel.fault.kind") == "connect_timeout");
    assert_eq!(late.count(), STREAMS);
}

/// The lines that are read on their way through, and so could do harm.
const READ: [&str; 6] =
    ["traceparent", "tracestate", "baggage", "x-tenant-id", "user-agent", "forwarded"];
/// Values as they should be, for others to be nearly like them.
const USUAL: [&str; 6] = [
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "congo=t61rcWkgMzE,rojo@x=00f067aa0ba902b7",
    "user.id=al%C3%AFce;meta=1, b = 2;c",
    "acme",
    "curl/8.5.0 (x; y)",
    "for=\"[2001:db8::1]:47\";proto=http;host=\"a:1\", for=192.0.2.1;by=_x",
];
/// What has `baggage` read at all.
const READS_BAGGAGE: [(&str, &str); 1] = [("spans.baggage_keys", "user.id")];
/// How many requests are made of such lines.
const CASES: usize = 64;

/// A line that HTTP allows: any bytes that are not controls, without white space around them.
fn line() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let legal = || prop_oneof![1 => Just(b'\t'), 8 => 0x20..=0x7e_u8, 8 => 0x80..=0xff_u8];
    let wild = proptest::collection::vec(legal(), 0..300);
    let near = (prop::sample::select(USUAL.to_vec()), any::<prop::sample::Index>(), legal());
    let near = near.prop_map(|(usual, at, byte)| {
        let mut value = usual.as_bytes().to_vec();
        let at = at.index(value.len());
        value[at] = byte;
        value
    });
    let value = prop_oneof![wild, near].prop_map(|value| value.trim_ascii().to_vec());
    (prop::sample::select(READ.to_vec()), value)
}

/// The lines of all requests. They come from one generator and not from a runner of cases,
/// which would go on, after a failure, over a connection that is lost.
fn requests() -> Vec<Vec<(&'static str, Vec<u8>)>> {
    let mut runner = TestRunner::default();
    let lines = proptest::collection::vec(line(), 0..10);
    let request = |_| lines.new_tree(&mut runner).expect("lines").current();
    (0..CASES).map(request).collect()
}

/// The lines as they are written, which is how a failure shows them.
fn written(lines: &[(&str, Vec<u8>)]) -> Vec<u8> {
    lines.iter().flat_map(|(n, v)| [n.as_bytes(), b": ", v, b"\r\n"].concat()).collect()
}

/// Every request must have got through, and been told of by a span.
async fn check_the_end(app: TestApp, collector: &Collector) {
    assert_eq!(app.stop().await, End::Drained);
    let spans = collector.received();
    assert_eq!(spans.len(), CASES);
    for span in spans {
        assert_eq!(span.attribute("http.response.status_code"), "200");
        assert_eq!(span.attribute("spandrel.fault.kind"), "");
    }
}

#[tokio::test]
async fn no_value_of_a_line_that_is_read_makes_a_request_of_http_1_fail() {
    let stage = Stage::set(&READS_BAGGAGE).await;
    let mut client = stage.client().await;
    let mut server = None;
    for lines in requests() {
        let shown = show(&written(&lines));
        client.send([b"GET / HTTP/1.1\r\nHost: h\r\n", &*written(&lines), b"\r\n"].concat()).await;
        if server.is_none() {
            server = Some(stage.origin.accept().await);
        }
        let server = server.as_mut().expect("it was accepted");
        let parents = values(&server.head().await, "traceparent");
        assert!(parents.len() == 1 && parents[0].len() == 55, "{parents:?} came of\n{shown}");
        server.send(OK).await;
        client.expect(OK).await;
    }
    drop((client, server));
    let Stage { collector, app, .. } = stage;
    check_the_end(app, &collector).await;
}

#[tokio::test]
async fn no_value_of_a_line_that_is_read_makes_a_request_of_http_2_fail() {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &READS_BAGGAGE);
    let client = http2::connect(app.inbound()).await;
    for lines in requests() {
        let mut request = http2::get("/");
        for (name, value) in &lines {
            let value = HeaderValue::from_bytes(value).expect("it is legal");
            request.headers_mut().append(*name, value);
        }
        let (response, _) = open(&client, request, true).await;
        let mut stream = origin.next().await;
        let parents: Vec<_> = stream.request.headers().get_all("traceparent").iter().collect();
        let is_one = parents.len() == 1 && parents[0].len() == 55;
        assert!(is_one, "{parents:?} came of\n{}", show(&written(&lines)));
        stream.respond.send_response(Response::new(()), true).expect("a stream");
        assert_eq!(answer(response).await.expect("a response").status(), 200);
    }
    assert_eq!(origin.connections(), 1);
    drop(client);
    check_the_end(app, &collector).await;
}

fn padding(length: usize) -> HeaderMap {
    let value = HeaderValue::from_maybe_shared(Bytes::from(vec![b'x'; length]));
    std::iter::once((HeaderName::from_static("x"), value.expect("a value"))).collect()
}

#[tokio::test]
async fn trailers_that_are_too_large_are_never_lost_without_a_word() {
    for (length, is_whole) in [(7 << 10, true), (9 << 10, false), (40 << 10, false)] {
        let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
        let settings = [("limits.header_bytes", "8KiB")];
        let app = TestApp::beside(origin.address, collector.address, &settings);
        let client = http2::connect(app.inbound()).await;
        let (response, _) = open(&client, http2::get("/"), true).await;
        let mut stream = origin.next().await;
        let mut down = stream.respond.send_response(Response::new(()), false).expect("a stream");
        down.send_trailers(padding(length)).expect("a stream");
        let mut body = answer(response).await.expect("a response").into_body();
        while let Some(Ok(_)) = soon("the data", body.data()).await {}
        let got = soon("the trailers", body.trailers()).await;
        let kind = collector.spans(1).await[0].attribute("spandrel.fault.kind").to_owned();
        if is_whole {
            assert_eq!(got.expect("trailers"), Some(padding(length)));
            assert_eq!(kind, "");
        } else {
            assert_eq!(got.expect_err("a reset").reason(), Some(Reason::INTERNAL_ERROR));
            assert_eq!(kind, "too_large");
        }
    }
}

#[tokio::test]
async fn a_response_head_that_is_too_large_is_a_502_over_http_2_as_well() {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let settings = [("limits.header_bytes", "8KiB")];
    let app = TestApp::beside(origin.address, collector.address, &settings);
    let client = http2::connect(app.inbound()).await;
    let (response, _) = open(&client, http2::get("/"), true).await;
    let mut head = Response::new(());
    *head.headers_mut() = padding(9 << 10);
    origin.next().await.respond.send_response(head, true).expect("a stream");
    assert_eq!(answer(response).await.expect("a response").status(), 502);
    let spans = collector.spans(1).await;
    assert_eq!(spans[0].attribute("spandrel.fault.kind"), "too_large");
}

#[tokio::test]
async fn a_header_list_that_is_too_large_is_a_431_with_a_span() {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let settings = [("limits.header_bytes", "8KiB")];
    let app = TestApp::beside(origin.address, collector.address, &settings);
    let client = http2::connect(app.inbound()).await;
    let padded = |length: usize| {
        let mut request = http2::get("/");
        let value = HeaderValue::from_maybe_shared(Bytes::from(vec![b'x'; length]));
        request.headers_mut().insert("x", value.expect("a value"));
        request
    };
    let (response, _) = open(&client, padded(7 << 10), true).await;
    origin.next().await.respond.send_response(Response::new(()), true).expect("a stream");
    assert_eq!(answer(response).await.expect("a response").status(), 200);

    let (response, _) = open(&client, padded(8 << 10), true).await;
    assert_eq!(answer(response).await.expect("a response").status(), 431);
    let spans = collector.spans(2).await;
    let statuses = spans.iter().map(|s| s.attribute("http.response.status_code"));
    assert_eq!(statuses.collect::<Vec<_>>(), ["200", "431"]);
    assert_eq!(spans[1].attribute("spandrel.fault.side"), "downstream");
    assert_eq!(spans[1].attribute("spandrel.fault.kind"), "too_large");
    assert_eq!(origin.connections(), 1);
}
