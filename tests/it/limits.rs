//! Every bound on what a peer can take up, and what the peer is told when it comes to it.

use std::time::Duration;

use spandrel::metrics::CONNECTIONS;

use crate::support::app::{Stage, TestApp};
use crate::support::collector::{Collector, Span};
use crate::support::peer::{Closed, Peer, show};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn starts(reply: &[u8], start: &str) {
    assert!(reply.starts_with(start.as_bytes()), "{}", show(reply));
}

fn fault(span: &Span) -> [&str; 3] {
    ["http.response.status_code", "spandrel.fault.side", "spandrel.fault.kind"]
        .map(|key| span.attribute(key))
}

/// A head of exactly so many bytes.
fn head(length: usize) -> Vec<u8> {
    let (start, end) = ("GET / HTTP/1.1\r\nHost: h\r\nX: ", "\r\n\r\n");
    format!("{start}{}{end}", "x".repeat(length - start.len() - end.len())).into_bytes()
}

#[tokio::test]
async fn a_head_may_have_as_many_bytes_as_allowed_and_not_one_more() {
    const MOST: usize = 8 << 10;
    let stage = Stage::set(&[("limits.header_bytes", "8KiB")]).await;
    let mut client = stage.client().await;
    client.send(head(MOST)).await;
    let mut server = stage.origin.accept().await;
    assert_eq!(server.head().await.len(), MOST + "traceparent: \r\n".len() + 55);
    server.send(OK).await;
    client.expect(OK).await;
    for length in [MOST + 1, 20 * MOST] {
        let mut client = stage.client().await;
        client.try_send(head(length)).await;
        starts(&client.rest().await, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
    }
    drop(client);
    stage.origin.expect_nobody().await;
    let spans = stage.spans().await;
    assert_eq!(spans.len(), 3);
    assert_eq!(fault(&spans[2]), ["431", "downstream", "too_large"]);
}

#[tokio::test]
async fn a_head_may_have_as_many_lines_as_allowed_and_not_one_more() {
    for most in [8, 64, 100] {
        let count = most.to_string();
        let stage = Stage::set(&[("limits.header_count", &count)]).await;
        let lines =
            |n: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "x: y\r\n".repeat(n - 1));
        let mut client = stage.client().await;
        client.send(lines(most)).await;
        let mut server = stage.origin.accept().await;
        server.head().await;
        server.send(OK).await;
        client.expect(OK).await;
        let mut client = stage.client().await;
        client.send(lines(most + 1)).await;
        starts(&client.rest().await, "HTTP/1.1 431 ");
        stage.origin.expect_nobody().await;
    }
}

/// What a caller gets for a request that is answered by `response`, and what the span says.
async fn answered(settings: &[(&str, &str)], response: &str) -> (Vec<u8>, Span) {
    let stage = Stage::set(settings).await;
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.send(response).await;
    server.end().await;
    let (reply, _orderly) = client.whatever().await;
    drop((client, server));
    (reply, stage.span().await)
}

#[tokio::test]
async fn the_head_of_a_response_may_have_no_more_bytes_either() {
    let response = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(10 << 10));
    let (reply, span) = answered(&[("limits.header_bytes", "8KiB")], &response).await;
    starts(&reply, "HTTP/1.1 502 Bad Gateway\r\n");
    assert_eq!(fault(&span), ["502", "upstream", "too_large"]);
}

#[tokio::test]
async fn the_head_of_a_response_may_have_no_more_lines_either() {
    for most in [8, 64, 100] {
        let count = most.to_string();
        let settings = [("limits.header_count", count.as_str())];
        let response = |n: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(n));
        let (reply, _span) = answered(&settings, &response(most)).await;
        assert_eq!(show(&reply), show(response(most).as_bytes()));
        let (reply, span) = answered(&settings, &response(most + 1)).await;
        starts(&reply, "HTTP/1.1 502 Bad Gateway\r\n");
        assert_eq!(fault(&span), ["502", "upstream", "too_large"]);
    }
}

#[tokio::test]
async fn trailers_and_chunk_extensions_are_bounded_too() {
    let stage = Stage::set(&[("limits.header_bytes", "8KiB")]).await;
    let start = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        format!("0\r\nX: {}", "x".repeat(9 << 10)),
        format!("1;{}", "x".repeat(9 << 10)),
        format!("0\r\n{}", "x: y\r\n".repeat(2_100)),
    ] {
        let mut client = stage.client().await;
        client.try_send(format!("{start}{body}")).await;
        starts(&client.rest().await, "HTTP/1.1 431 ");
    }
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_closes() {
    let stage = Stage::set(&[("limits.connections", "2")]).await;
    let first = stage.client().await;
    let mut second = stage.client().await;
    second.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    // The kernel takes the connection, the sidecar does not.
    let mut third = stage.client().await;
    third.send(GET).await;
    stage.origin.expect_nobody().await;
    assert_eq!(stage.app.number(CONNECTIONS, &[("direction", "inbound")]), 2);
    drop(first);
    let mut other = stage.origin.accept().await;
    other.head().await;
    other.send(OK).await;
    third.expect(OK).await;
    server.send(OK).await;
    second.expect(OK).await;
}

#[tokio::test]
async fn one_request_too_many_is_a_503_and_disturbs_no_other() {
    let stage = Stage::set(&[("limits.requests", "1")]).await;
    let mut first = stage.client().await;
    first.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    let mut second = stage.client().await;
    second.send(GET).await;
    starts(&second.rest().await, "HTTP/1.1 503 Service Unavailable\r\n");
    server.send(OK).await;
    first.expect(OK).await;
    first.send(GET).await;
    server.head().await;
    server.send(OK).await;
    first.expect(OK).await;
    drop((first, second));
    let spans = stage.spans().await;
    assert_eq!(spans.len(), 3);
    assert_eq!(fault(&spans[0]), ["503", "proxy", "overload"]);
}

#[tokio::test]
async fn a_head_that_takes_too_long_is_a_408() {
    let stage = Stage::set(&[("limits.head_timeout", "50ms")]).await;
    let mut client = stage.client().await;
    client.send(b"GET / HTTP/1.1\r\nHost: ").await;
    starts(&client.rest().await, "HTTP/1.1 408 Request Timeout\r\n");
    drop(client);
    // What may still be a preface of HTTP/2 is not even a request.
    let mut client = stage.client().await;
    client.send(b"PRI * HT").await;
    client.expect_end().await;
    assert_eq!(fault(&stage.span().await), ["408", "downstream", "response_timeout"]);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let stage = Stage::set(&[("limits.idle_timeout", "400ms")]).await;
    let mut fresh = stage.client().await;
    fresh.expect_end().await;
    let mut used = stage.client().await;
    used.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.send(OK).await;
    used.expect(OK).await;
    used.expect_end().await;
    server.expect_end().await;
    drop((fresh, used));
    stage.span().await;
}

#[tokio::test]
async fn silence_in_the_middle_of_a_message_ends_it_and_says_whose_it_was() {
    let settings = [("limits.idle_timeout", "400ms")];
    // The caller does not send the rest of its request.
    let stage = Stage::set(&settings).await;
    let mut client = stage.client().await;
    client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n").await;
    starts(&client.rest().await, "HTTP/1.1 408 ");
    drop(client);
    assert_eq!(fault(&stage.span().await), ["408", "downstream", "idle_timeout"]);
    // The application does not answer.
    let stage = Stage::set(&settings).await;
    let mut client = stage.client().await;
    client.send(GET).await;
    starts(&client.rest().await, "HTTP/1.1 504 ");
    drop(client);
    assert_eq!(fault(&stage.span().await), ["504", "upstream", "response_timeout"]);
    // The application does not send the rest of its response: the caller can see that it is cut
    // short, or is told so by a reset where the end of the connection would look like its end.
    for (length, is_orderly) in [("Content-Length: 9\r\n", true), ("", false)] {
        let stage = Stage::set(&settings).await;
        let mut client = stage.client().await;
        client.send(GET).await;
        let mut server = stage.origin.accept().await;
        server.head().await;
        let begun = format!("HTTP/1.1 200 OK\r\n{length}\r\n1");
        server.send(&begun).await;
        client.expect(&begun).await;
        assert_eq!(client.whatever().await, (Vec::new(), is_orderly));
        assert_eq!(fault(&stage.span().await), ["200", "upstream", "idle_timeout"]);
    }
    // Nobody says anything in a tunnel.
    let stage = Stage::set(&settings).await;
    let mut client = stage.outbound_client().await;
    let target = stage.origin.address;
    client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    client.head().await;
    client.expect_reset().await;
    assert_eq!(fault(&stage.span().await), ["200", "proxy", "idle_timeout"]);
}

#[tokio::test]
async fn a_response_that_does_not_begin_in_time_is_a_504() {
    let stage = Stage::set(&[("limits.response_timeout", "400ms")]).await;
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    starts(&client.rest().await, "HTTP/1.1 504 Gateway Timeout\r\n");
    server.whatever().await;
    drop(client);
    assert_eq!(fault(&stage.span().await), ["504", "upstream", "response_timeout"]);
}

#[tokio::test]
async fn a_response_that_has_begun_may_take_its_time() {
    let stage = Stage::set(&[("limits.response_timeout", "400ms")]).await;
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1";
    server.send(begun).await;
    client.expect(begun).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    server.send(b"2").await;
    client.expect(b"2").await;
}

#[tokio::test]
async fn an_application_that_cannot_be_reached_in_time_is_a_504() {
    let full = Closed::hold();
    let address = full.address;
    let listener = full.listen(0);
    // One connection fills the backlog; the kernel leaves those behind it without an answer.
    let _first = Peer::connect(address).await;
    let collector = Collector::start().await;
    let settings = [("limits.connect_timeout", "100ms")];
    let app = TestApp::beside(address, collector.address, &settings);
    let mut client = Peer::connect(app.inbound()).await;
    client.send(GET).await;
    starts(&client.rest().await, "HTTP/1.1 504 Gateway Timeout\r\n");
    drop((client, listener));
    app.stop().await;
    assert_eq!(fault(&collector.received()[0]), ["504", "upstream", "connect_timeout"]);
}
