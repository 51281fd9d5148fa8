//! HTTP/2 and gRPC through the sidecar, frame by frame where frames matter.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::app::TestApp;
use crate::support::collector::{Collector, Span};
use crate::support::http2::{self, H2Origin, Stream};
use crate::support::peer::{Closed, Origin};
use crate::support::{GLANCE, soon};

/// A sidecar between an HTTP/2 client and an HTTP/2 application.
struct Stage {
    origin: H2Origin,
    collector: Collector,
    app: TestApp,
    client: SendRequest<Bytes>,
}

impl Stage {
    async fn set(settings: &[(&str, &str)]) -> Self {
        let (origin, collector) = (H2Origin::start().await, Collector::start().await);
        let app = TestApp::beside(origin.address, collector.address, settings);
        let client = http2::connect(app.inbound()).await;
        Self { origin, collector, app, client }
    }

    /// Sends a request; gives what becomes of it, and its body where it has one.
    async fn send(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut client =
            soon("a free stream", self.client.clone().ready()).await.expect("it lives");
        client.send_request(request, ends).expect("a request")
    }

    async fn spans(self) -> Vec<Span> {
        drop(self.client);
        self.app.stop().await;
        self.collector.received()
    }

    async fn span(self) -> Span {
        let spans = self.spans().await;
        let [span] = spans.as_slice() else { panic!("one span is expected: {spans:#?}") };
        span.clone()
    }
}

async fn answer(response: h2::client::ResponseFuture) -> Result<Response<RecvStream>, h2::Error> {
    soon("a response", response).await
}

fn call(method: &str) -> Request<()> {
    let mut request = http2::get(&format!("/shop.Orders/{method}"));
    *request.method_mut() = http::Method::POST;
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    request
}

fn trailers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(n, v)| ((*n).parse().expect("a name"), HeaderValue::from_static(v)))
        .collect()
}

#[tokio::test]
async fn heads_bodies_and_trailers_pass_in_both_directions() {
    let mut stage = Stage::set(&[]).await;
    let mut request = http2::get("/a%20b?c=d");
    *request.method_mut() = "BREW".parse().expect("a method");
    request.headers_mut().append("x-a", HeaderValue::from_static("1"));
    request.headers_mut().append("x-a", HeaderValue::from_bytes(b"\xff").expect("a value"));
    let (response, mut body) = stage.send(request, false).await;
    body.send_data(Bytes::from_static(b"hello"), false).expect("a stream");
    body.send_trailers(trailers(&[("x-sum", "1")])).expect("a stream");

    let Stream { request, mut respond } = stage.origin.next().await;
    let (head, body) = request.into_parts();
    assert_eq!(
        (head.method.as_str(), head.uri.to_string().as_str()),
        ("BREW", "http://shop.example/a%20b?c=d")
    );
    let values: Vec<_> = head.headers.get_all("x-a").iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(values, [&b"1"[..], b"\xff"]);
    let mut names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["traceparent", "x-a"]);
    let (bytes, sent) = http2::read(body).await.expect("a whole body");
    assert_eq!((bytes.as_slice(), sent), (&b"hello"[..], Some(trailers(&[("x-sum", "1")]))));

    let answer_head = Response::builder().status(299).header("x-b", "2").body(()).expect("a head");
    let mut down = respond.send_response(answer_head, false).expect("a stream");
    down.send_data(Bytes::from_static(b"answer"), false).expect("a stream");
    down.send_trailers(trailers(&[("x-end", "yes")])).expect("a stream");
    let (head, body) = answer(response).await.expect("a response").into_parts();
    assert_eq!((head.status.as_u16(), head.headers), (299, trailers(&[("x-b", "2")])));
    let (bytes, got) = http2::read(body).await.expect("a whole body");
    assert_eq!((bytes.as_slice(), got), (&b"answer"[..], Some(trailers(&[("x-end", "yes")]))));

    let span = stage.span().await;
    assert_eq!(
        (span.name.as_str(), span.attribute("http.request.method_original")),
        ("HTTP", "BREW")
    );
    assert_eq!(span.attribute("network.protocol.version"), "2");
    assert_eq!(span.attribute("http.request.body.size"), "5");
    assert_eq!(span.attribute("http.response.body.size"), "6");
}

#[tokio::test]
async fn a_message_without_a_body_ends_with_its_head() {
    let mut stage = Stage::set(&[]).await;
    let (response, _) = stage.send(http2::get("/"), true).await;
    let mut stream = stage.origin.next().await;
    assert!(stream.request.body().is_end_stream());
    let no_content = Response::builder().status(204).body(()).expect("a head");
    stream.respond.send_response(no_content, true).expect("a stream");
    let response = answer(response).await.expect("a response");
    assert!(response.status() == 204 && response.body().is_end_stream());
}

#[tokio::test]
async fn a_grpc_call_passes_with_its_status_in_the_trailers() {
    let mut stage = Stage::set(&[]).await;
    let (response, mut body) = stage.send(call("Place"), false).await;
    body.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), true).expect("a stream");
    let Stream { request, mut respond } = stage.origin.next().await;
    assert_eq!(request.headers().get("te"), Some(&HeaderValue::from_static("trailers")));
    http2::read(request.into_body()).await.expect("a whole body");
    let mut down = respond.send_response(Response::new(()), false).expect("a stream");
    down.send_data(Bytes::from_static(b"\0\0\0\0\x01y"), false).expect("a stream");
    down.send_trailers(trailers(&[("grpc-status", "5")])).expect("a stream");
    let response = answer(response).await.expect("a response");
    let (_, got) = http2::read(response.into_body()).await.expect("a whole body");
    assert_eq!(got, Some(trailers(&[("grpc-status", "5")])));
    let span = stage.span().await;
    assert_eq!((span.name.as_str(), span.is_error), ("shop.Orders/Place", false));
    assert_eq!(span.attribute("rpc.system.name"), "grpc");
    assert_eq!(span.attribute("rpc.method"), "shop.Orders/Place");
    assert_eq!(span.attribute("rpc.response.status_code"), "NOT_FOUND");
}

#[tokio::test]
async fn a_grpc_answer_of_trailers_alone_stays_one_frame() {
    let mut stage = Stage::set(&[]).await;
    let (response, _) = stage.send(call("Gone"), true).await;
    let mut stream = stage.origin.next().await;
    let mut alone = Response::new(());
    *alone.headers_mut() = trailers(&[("grpc-status", "12"), ("grpc-message", "no%20such")]);
    stream.respond.send_response(alone, true).expect("a stream");
    let response = answer(response).await.expect("a response");
    assert!(response.body().is_end_stream());
    assert_eq!(
        response.headers().get("grpc-message"),
        Some(&HeaderValue::from_static("no%20such"))
    );
    let span = stage.span().await;
    // A method that nobody knows names no span.
    assert_eq!((span.name.as_str(), span.attribute("rpc.method")), ("grpc", "_OTHER"));
    assert_eq!(span.attribute("rpc.method_original"), "shop.Orders/Gone");
    assert_eq!(span.attribute("error.type"), "UNIMPLEMENTED");
}

const CODES: [Reason; 4] =
    [Reason::CANCEL, Reason::REFUSED_STREAM, Reason::ENHANCE_YOUR_CALM, Reason::HTTP_1_1_REQUIRED];

#[tokio::test]
async fn the_code_of_a_reset_reaches_the_caller_before_and_after_the_head() {
    let mut stage = Stage::set(&[]).await;
    let codes: Vec<_> = CODES.into_iter().chain([Reason::from(0xdead)]).collect();
    for code in &codes {
        let (response, _) = stage.send(http2::get("/"), true).await;
        stage.origin.next().await.respond.send_reset(*code);
        let error = answer(response).await.expect_err("it was reset");
        assert_eq!(error.reason(), Some(*code));

        let (response, _) = stage.send(http2::get("/"), true).await;
        let mut stream = stage.origin.next().await;
        let mut down = stream.respond.send_response(Response::new(()), false).expect("a stream");
        down.send_data(Bytes::from_static(b"part"), false).expect("a stream");
        let mut body = answer(response).await.expect("a response").into_body();
        let data = soon("data", body.data()).await.expect("data").expect("data");
        assert_eq!(&data[..], b"part");
        down.send_reset(*code);
        let error = http2::read(body).await.expect_err("it was reset");
        assert_eq!(error.reason(), Some(*code));
    }
    let spans = stage.spans().await;
    assert_eq!(spans.len(), 2 * codes.len());
    for span in spans {
        assert_eq!(span.attribute("spandrel.fault.kind"), "connection_reset");
        assert_eq!(span.attribute("error.type"), "connection_reset");
    }
}

#[tokio::test]
async fn the_code_of_a_reset_reaches_the_application() {
    let mut stage = Stage::set(&[]).await;
    let codes = CODES.into_iter().chain([Reason::from(0xdead)]);
    for code in codes.clone() {
        let (response, mut up) = stage.send(http2::get("/"), false).await;
        let mut stream = stage.origin.next().await;
        up.send_reset(code);
        drop(response);
        let reset = std::future::poll_fn(|cx| stream.respond.poll_reset(cx));
        assert_eq!(soon("the reset", reset).await.expect("a code"), code);
    }
    let spans = stage.spans().await;
    assert_eq!(spans.len(), codes.count());
    for span in spans {
        assert_eq!(span.attribute("spandrel.fault.kind"), "cancelled");
        assert!(!span.is_error);
    }
}

#[tokio::test]
async fn an_answer_before_the_whole_request_is_no_failure() {
    let mut stage = Stage::set(&[]).await;
    let (response, mut up) = stage.send(http2::get("/"), false).await;
    up.send_data(Bytes::from_static(b"part"), false).expect("a stream");
    let mut stream = stage.origin.next().await;
    let mut down = stream.respond.send_response(Response::new(()), false).expect("a stream");
    down.send_data(Bytes::from_static(b"done"), true).expect("a stream");
    // Losing interest in the rest of the request resets the stream with NO_ERROR.
    drop((stream, down));
    let response = answer(response).await.expect("a response");
    let (bytes, _) = http2::read(response.into_body()).await.expect("a whole body");
    assert_eq!(bytes, b"done");
    drop(up);
    let span = stage.span().await;
    assert_eq!((span.attribute("http.response.status_code"), span.is_error), ("200", false));
}

#[tokio::test]
async fn interim_responses_pass_before_the_final_one() {
    let mut stage = Stage::set(&[]).await;
    let (mut response, _) = stage.send(http2::get("/"), true).await;
    let mut stream = stage.origin.next().await;
    let hints =
        Response::builder().status(103).header("link", "</a.css>").body(()).expect("a head");
    stream.respond.send_informational(hints).expect("a stream");
    let interim = std::future::poll_fn(|cx| response.poll_informational(cx));
    let interim = soon("an interim response", interim).await.expect("one").expect("one");
    assert_eq!(interim.status(), 103);
    assert_eq!(interim.headers().get("link"), Some(&HeaderValue::from_static("</a.css>")));
    stream.respond.send_response(Response::new(()), true).expect("a stream");
    assert_eq!(answer(response).await.expect("a response").status(), 200);
}

#[tokio::test]
async fn a_hundred_streams_share_one_connection_each_way_and_none_waits_for_another() {
    let mut stage = Stage::set(&[]).await;
    let mut waiting = Vec::new();
    for n in 0..100 {
        waiting.push(stage.send(http2::get(&format!("/{n}")), true).await.0);
    }
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(stage.origin.next().await);
    }
    assert_eq!(stage.origin.connections(), 1);
    // All are open at once, and the last is answered first.
    for mut stream in streams.into_iter().rev() {
        let path = stream.request.uri().path().to_owned();
        let head = Response::builder().header("x-path", path).body(()).expect("a head");
        stream.respond.send_response(head, true).expect("a stream");
    }
    for (n, response) in waiting.into_iter().enumerate() {
        let response = answer(response).await.expect("a response");
        assert_eq!(response.headers().get("x-path").expect("it"), &format!("/{n}"));
    }
    assert_eq!(stage.spans().await.len(), 100);
}

#[tokio::test]
async fn an_application_that_refuses_connections_is_a_502_or_the_grpc_status_unavailable() {
    let (closed, collector) = (Closed::hold(), Collector::start().await);
    let app = TestApp::beside(closed.address, collector.address, &[]);
    let mut client = http2::connect(app.inbound()).await;
    let (response, _) = client.send_request(http2::get("/"), true).expect("a request");
    let response = answer(response).await.expect("a response");
    assert_eq!(response.status(), 502);
    let (bytes, _) = http2::read(response.into_body()).await.expect("a whole body");
    assert!(bytes.starts_with(b"spandrel: "));

    let mut client = soon("a free stream", client.ready()).await.expect("it lives");
    let (response, _) = client.send_request(call("Place"), true).expect("a request");
    let response = answer(response).await.expect("a response");
    assert!(response.status() == 200 && response.body().is_end_stream());
    let header = |name| response.headers().get(name).map(HeaderValue::as_bytes);
    assert_eq!(header("grpc-status"), Some(&b"14"[..]));
    assert_eq!(header("content-type"), Some(&b"application/grpc"[..]));
    assert!(header("grpc-message").is_some());
    drop(client);
    app.stop().await;
    let spans = collector.received();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].attribute("http.response.status_code"), "502");
    assert_eq!(spans[1].attribute("rpc.response.status_code"), "UNAVAILABLE");
    for span in spans {
        assert_eq!(span.attribute("error.type"), "connection_refused");
    }
}

#[tokio::test]
async fn an_application_that_speaks_only_http_1_is_a_502() {
    let (origin, collector) = (Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let mut client = http2::connect(app.inbound()).await;
    let (response, _) = client.send_request(http2::get("/"), true).expect("a request");
    let mut server = origin.accept().await;
    server.head().await;
    server.try_send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer(response).await.expect("a response").status(), 502);
    drop((client, server));
    app.stop().await;
    let spans = collector.received();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].attribute("spandrel.fault.kind"), "protocol_error");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_a_431_and_disturbs_no_other() {
    let mut stage = Stage::set(&[("limits.header_bytes", "8KiB")]).await;
    let mut request = http2::get("/");
    let long = HeaderValue::from_str(&"x".repeat(10 << 10)).expect("a value");
    request.headers_mut().insert("x-long", long);
    let (response, _) = stage.send(request, true).await;
    assert_eq!(answer(response).await.expect("a response").status(), 431);
    let (response, _) = stage.send(http2::get("/"), true).await;
    stage.origin.next().await.respond.send_response(Response::new(()), true).expect("a stream");
    assert_eq!(answer(response).await.expect("a response").status(), 200);
}

#[tokio::test]
async fn a_large_body_passes_whole_though_the_windows_are_small() {
    const SIZE: usize = 3_000_000;
    let mut stage = Stage::set(&[]).await;
    let (response, mut up) = stage.send(http2::get("/"), false).await;
    let body: Bytes = (0..SIZE).map(|i| (i / 7).to_le_bytes()[0]).collect();
    up.send_data(body.clone(), true).expect("a stream");
    let Stream { request, mut respond } = stage.origin.next().await;
    let (bytes, _) = http2::read(request.into_body()).await.expect("a whole body");
    assert!(bytes == body, "the bytes differ");
    let mut down = respond.send_response(Response::new(()), false).expect("a stream");
    down.send_data(body.clone(), true).expect("a stream");
    let response = answer(response).await.expect("a response");
    let (bytes, _) = http2::read(response.into_body()).await.expect("a whole body");
    assert!(bytes == body, "the bytes differ");
}

/// Sends as much as is taken while nobody reads; gives how much that was.
async fn stuff(to: &mut h2::SendStream<Bytes>) -> usize {
    const MOST: usize = 64 << 20;
    let mut taken = 0;
    while taken < MOST {
        to.reserve_capacity(64 << 10);
        let capacity = std::future::poll_fn(|cx| to.poll_capacity(cx));
        // So long a silence is taken as the end; too short a wait can only find less.
        let Ok(capacity) = tokio::time::timeout(10 * GLANCE, capacity).await else { break };
        let count = capacity.expect("a stream").expect("a stream");
        to.send_data(vec![0; count].into(), false).expect("a stream");
        taken += count;
    }
    taken
}

#[tokio::test]
async fn a_slow_reader_slows_the_writer_in_either_direction() {
    /// The windows and buffers of both hops, with room to spare.
    const BOUND: usize = 4 << 20;
    let mut stage = Stage::set(&[]).await;
    let (response, mut up) = stage.send(http2::get("/"), false).await;
    let Stream { request, mut respond } = stage.origin.next().await;
    let taken = stuff(&mut up).await;
    assert!(taken > 0 && taken < BOUND, "{taken} bytes went up");
    let mut down = respond.send_response(Response::new(()), false).expect("a stream");
    let response = answer(response).await.expect("a response");
    let taken = stuff(&mut down).await;
    assert!(taken > 0 && taken < BOUND, "{taken} bytes came down");
    drop((request, response, up, down));
}

#[tokio::test]
async fn a_request_without_an_authority_passes_without_one() {
    let mut stage = Stage::set(&[]).await;
    let request =
        Request::builder().uri("/x").version(Version::HTTP_11).body(()).expect("a request");
    let (response, _) = stage.send(request, true).await;
    let mut stream = stage.origin.next().await;
    assert_eq!(stream.request.uri().authority(), None);
    assert_eq!(stream.request.uri().path(), "/x");
    stream.respond.send_response(Response::new(()), true).expect("a stream");
    assert_eq!(answer(response).await.expect("a response").status(), 200);
    let span = stage.span().await;
    assert_eq!((span.attribute("url.path"), span.attribute("server.address")), ("/x", ""));
}

#[tokio::test]
async fn an_outbound_request_goes_where_its_authority_says() {
    let mut stage = Stage::set(&[]).await;
    let mut client = http2::connect(stage.app.outbound()).await;
    let target = stage.origin.address;
    let request = Request::builder().uri(format!("http://{target}/x")).body(()).expect("a request");
    let (response, _) = client.send_request(request, true).expect("a request");
    let mut stream = stage.origin.next().await;
    assert_eq!(stream.request.uri().to_string(), format!("http://{target}/x"));
    stream.respond.send_response(Response::new(()), true).expect("a stream");
    assert_eq!(answer(response).await.expect("a response").status(), 200);

    let mut client = soon("a free stream", client.ready()).await.expect("it lives");
    let own = stage.app.outbound();
    let request = Request::builder().uri(format!("http://{own}/")).body(()).expect("a request");
    let (response, _) = client.send_request(request, true).expect("a request");
    assert_eq!(answer(response).await.expect("a response").status(), 508);
    drop(client);
    let spans = stage.spans().await;
    assert!(spans.len() == 2 && spans.iter().all(|s| s.kind == "CLIENT"));
    assert_eq!(spans[1].attribute("spandrel.fault.kind"), "loop");
}

#[tokio::test]
async fn one_stream_too_many_waits_and_one_request_too_many_is_refused() {
    let mut stage = Stage::set(&[("limits.requests", "1")]).await;
    let (first, _) = stage.send(http2::get("/"), true).await;
    let mut stream = stage.origin.next().await;
    let (second, _) = stage.send(http2::get("/"), true).await;
    assert_eq!(answer(second).await.expect("a response").status(), 503);
    let (third, _) = stage.send(call("Place"), true).await;
    let third = answer(third).await.expect("a response");
    assert_eq!(third.headers().get("grpc-status"), Some(&HeaderValue::from_static("14")));
    stream.respond.send_response(Response::new(()), true).expect("a stream");
    assert_eq!(answer(first).await.expect("a response").status(), 200);
    assert_eq!(stage.spans().await.len(), 3);
}

#[tokio::test]
async fn a_connection_that_breaks_ends_every_stream_with_its_span() {
    let mut stage = Stage::set(&[]).await;
    let (client, connection) = http2::connect_breakable(stage.app.inbound()).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = soon("a free stream", client.clone().ready()).await.expect("it lives");
        let sent = client.send_request(http2::get("/"), true).expect("a request");
        open.push((sent, stage.origin.next().await));
    }
    connection.abort();
    for (_, stream) in &mut open {
        let reset = std::future::poll_fn(|cx| stream.respond.poll_reset(cx));
        assert_eq!(soon("the reset", reset).await.expect("a code"), Reason::CANCEL);
    }
    let spans = stage.spans().await;
    assert_eq!(spans.len(), 3);
    for span in spans {
        assert_eq!(span.attribute("spandrel.fault.kind"), "cancelled");
    }
}

#[tokio::test]
async fn what_only_begins_like_http_2_is_not_passed_on() {
    let mut stage = Stage::set(&[]).await;
    let mut stream = TcpStream::connect(stage.app.inbound()).await.expect("it listens");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    stream.write_all(&[&preface[..], b"GET / HTTP/1.1\r\n\r\n"].concat()).await.expect("a socket");
    let mut seen = Vec::new();
    // It may end in order or not; it has to end.
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut seen);
    soon("the end of the connection", read).await.ok();
    let (response, _) = stage.send(http2::get("/"), true).await;
    stage.origin.next().await.respond.send_response(Response::new(()), true).expect("a stream");
    assert_eq!(answer(response).await.expect("a response").status(), 200);
    // That of the stage's own client is the only one.
    assert_eq!(stage.origin.connections(), 1);
}
