//! Exactly one span for every request, whatever becomes of it, and what the span then says.

use std::net::SocketAddr;

use spandrel::metrics::{FAULTS, HEALTH_CHECKS, REQUESTS};

use crate::support::app::{Stage, TestApp};
use crate::support::collector::{Collector, Span};
use crate::support::peer::{Closed, Origin, Peer};

const GET: &[u8] = b"GET /orders/7?q=secret HTTP/1.1\r\nHost: shop.example:81\r\n\r\n";

/// What a span must say of how its request ended.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: &'static str,
    error: &'static str,
    fault: &'static str,
}

const fn said(status: &'static str, error: &'static str, fault: &'static str) -> Said {
    Said { status, error, fault }
}

/// Compares the only span with what it must say: the status code, `error.type`, and the fault's
/// side and kind.
fn check(span: &Span, expected: &Said) {
    let fault = [span.attribute("spandrel.fault.side"), span.attribute("spandrel.fault.kind")];
    let found = (
        span.attribute("http.response.status_code"),
        span.attribute("error.type"),
        fault.join(" ").trim().to_owned(),
        span.is_error,
    );
    let Said { status, error, fault } = *expected;
    assert_eq!(found, (status, error, fault.to_owned(), !error.is_empty()), "{span:#?}");
    assert!(span.start <= span.end, "{span:#?}");
}

/// Asks for `request` and plays `response`, then whatever `end` does.
async fn answered(response: &[u8]) -> (Stage, Peer, Peer) {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.send(response).await;
    client.expect(response).await;
    (stage, client, server)
}

#[tokio::test]
async fn an_answered_request_has_one_span_that_tells_its_status() {
    for (response, expected) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..], said("200", "", "")),
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", said("404", "", "")),
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", said("500", "500", "")),
        (b"HTTP/1.1 799 No\r\nContent-Length: 2\r\n\r\nno", said("799", "799", "")),
    ] {
        let (stage, client, server) = answered(response).await;
        drop((client, server));
        let span = stage.span().await;
        check(&span, &expected);
        assert_eq!(span.attribute("http.response.body.size"), "2");
    }
}

#[tokio::test]
async fn a_server_span_tells_what_was_asked_and_by_whom() {
    let settings = [("spans.routes", "/orders/{id}"), ("spans.baggage_keys", "tier")];
    let stage = Stage::set(&settings).await;
    let mut client = stage.client().await;
    let peer = client.address();
    client
        .send(
            b"POST /orders/7?q=secret&r HTTP/1.1\r\nHost: shop.example:81\r\nUser-Agent: ua/1\r\n\
              baggage: tier=gold,other=x\r\nx-tenant-id: acme\r\nX-Forwarded-For: 192.0.2.7, x\r\n\
              Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        )
        .await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.send(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes").await;
    client.head().await;
    client.expect(b"yes").await;
    drop((client, server));
    let span = stage.span().await;
    assert_eq!(
        (span.name.as_str(), span.kind, span.service.as_str()),
        ("POST /orders/{id}", "SERVER", "app")
    );
    let port = peer.port().to_string();
    for (key, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/orders/7"),
        ("url.query", "q=REDACTED&r"),
        ("url.scheme", "http"),
        ("http.route", "/orders/{id}"),
        ("server.address", "shop.example"),
        ("server.port", "81"),
        ("client.address", "192.0.2.7"),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", &port),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "ua/1"),
        ("baggage.tier", "gold"),
        ("baggage.other", ""),
        ("spandrel.tenant.id", "acme"),
        ("http.request.body.size", "5"),
        ("http.response.body.size", "3"),
        ("http.response.status_code", "201"),
    ] {
        assert_eq!(span.attribute(key), value, "{key}");
    }
}

#[tokio::test]
async fn a_client_span_tells_where_the_call_went_and_counts_4xx_as_its_error() {
    let stage = Stage::set(&[("spans.routes", "/{id}")]).await;
    let other = Origin::start().await;
    let mut client = stage.outbound_client().await;
    let target = other.address;
    client
        .send(format!("BREW http://me:pw@{target}/pot?k=v HTTP/1.1\r\nHost: {target}\r\n\r\n"))
        .await;
    let mut server = other.accept().await;
    server.head().await;
    server.send(b"HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n").await;
    client.head().await;
    drop((client, server));
    let span = stage.span().await;
    check(&span, &said("418", "418", ""));
    assert_eq!((span.name.as_str(), span.kind), ("HTTP", "CLIENT"));
    assert_eq!(span.attribute("http.request.method"), "_OTHER");
    assert_eq!(span.attribute("http.request.method_original"), "BREW");
    let url = format!("http://REDACTED:REDACTED@{target}/pot?k=REDACTED");
    assert_eq!(span.attribute("url.full"), url);
    assert_eq!(span.attribute("server.address"), "127.0.0.1");
    assert_eq!(span.attribute("server.port"), target.port().to_string());
    assert_eq!(span.attribute("http.route"), "");
}

#[tokio::test]
async fn the_span_ends_with_the_last_byte_of_the_response() {
    let (stage, mut client, mut server) =
        answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12").await;
    client.expect_silence().await;
    assert_eq!(stage.collector.received(), [], "the response has not ended");
    server.send(b"34").await;
    client.expect(b"34").await;
    drop((client, server));
    let span = stage.span().await;
    check(&span, &said("200", "", ""));
    let first: f64 = span.attribute("spandrel.first_byte.duration").parse().expect("a number");
    let whole = std::time::Duration::from_nanos(span.end - span.start).as_secs_f64();
    let glance = crate::support::GLANCE.as_secs_f64();
    assert!(whole - first >= glance, "{first} of {whole}");
}

/// A request to an application that refuses connections, or does not exist.
async fn refused_by(app: SocketAddr) -> (Vec<u8>, Span) {
    let collector = Collector::start().await;
    let sidecar = TestApp::beside(app, collector.address, &[]);
    let mut client = Peer::connect(sidecar.inbound()).await;
    client.send(GET).await;
    let reply = client.rest().await;
    drop(client);
    assert_eq!(sidecar.number(FAULTS, &[("side", "upstream"), ("kind", "connection_refused")]), 1);
    assert_eq!(sidecar.number(REQUESTS, &[("direction", "inbound"), ("status", "5xx")]), 1);
    sidecar.stop().await;
    let spans = collector.received();
    assert_eq!(spans.len(), 1);
    (reply, spans[0].clone())
}

#[tokio::test]
async fn a_refused_connection_is_a_502_with_a_span() {
    let closed = Closed::hold();
    let (reply, span) = refused_by(closed.address).await;
    assert!(reply.starts_with(b"HTTP/1.1 502 Bad Gateway\r\n"));
    check(&span, &said("502", "connection_refused", "upstream connection_refused"));
    assert_eq!(span.name, "GET");
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_a_502_with_a_span() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.outbound_client().await;
    client.send(b"GET http://nowhere.invalid/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(client.rest().await.starts_with(b"HTTP/1.1 502 "));
    drop(client);
    check(&stage.span().await, &said("502", "name_resolution", "upstream name_resolution"));
}

#[tokio::test]
async fn an_application_that_ends_or_resets_before_its_answer_is_a_502_with_a_span() {
    for (is_reset, begun) in [(false, &b""[..]), (true, b""), (false, b"HTTP/1.1 20")] {
        let stage = Stage::set(&[]).await;
        let mut client = stage.client().await;
        client.send(GET).await;
        let mut server = stage.origin.accept().await;
        server.head().await;
        server.send(begun).await;
        if is_reset {
            server.reset();
        } else {
            drop(server);
        }
        assert!(client.rest().await.starts_with(b"HTTP/1.1 502 "));
        drop(client);
        let expected = match is_reset {
            true => said("502", "connection_reset", "upstream connection_reset"),
            false => said("502", "connection_closed", "upstream connection_closed"),
        };
        check(&stage.span().await, &expected);
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_has_a_span_with_its_status_and_its_fault() {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123";
    let (stage, mut client, server) = answered(begun).await;
    server.reset();
    client.expect_reset().await;
    let span = stage.span().await;
    check(&span, &said("200", "connection_reset", "upstream connection_reset"));
    assert_eq!(span.attribute("http.response.body.size"), "4");

    let (stage, mut client, server) = answered(begun).await;
    drop(server);
    client.expect_end().await;
    check(&stage.span().await, &said("200", "connection_closed", "upstream connection_closed"));
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_502_with_a_span() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    server.send(b"+PONG\r\n").await;
    assert!(client.rest().await.starts_with(b"HTTP/1.1 502 "));
    drop(client);
    check(&stage.span().await, &said("502", "protocol_error", "upstream protocol_error"));
}

#[tokio::test]
async fn broken_chunks_in_a_response_cut_it_short_and_are_told_by_the_span() {
    let begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
    let (stage, mut client, mut server) = answered(begun).await;
    server.send(b"x\r\n").await;
    client.expect_end().await;
    check(&stage.span().await, &said("200", "protocol_error", "upstream protocol_error"));
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_no_error_but_is_told_by_the_span() {
    // By a reset before the answer, by its end, and within the body.
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    client.reset();
    server.whatever().await;
    check(&stage.span().await, &said("", "", "downstream cancelled"));

    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(GET).await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    drop(client);
    server.expect_end().await;
    drop(server);
    check(&stage.span().await, &said("", "", "downstream cancelled"));

    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123";
    let (stage, client, mut server) = answered(begun).await;
    client.reset();
    server.whatever().await;
    check(&stage.span().await, &said("200", "", "downstream cancelled"));
}

#[tokio::test]
async fn a_request_that_breaks_off_has_a_span() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n012").await;
    let mut server = stage.origin.accept().await;
    server.head().await;
    client.reset();
    server.whatever().await;
    check(&stage.span().await, &said("", "", "downstream cancelled"));
}

#[tokio::test]
async fn a_malformed_request_has_a_span_that_claims_nothing_of_it() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(b"\x16\x03\x01\x02\n\n").await;
    assert!(client.rest().await.starts_with(b"HTTP/1.1 400 "));
    drop(client);
    let span = stage.span().await;
    check(&span, &said("400", "", "downstream protocol_error"));
    assert_eq!((span.name.as_str(), span.attribute("http.request.method")), ("HTTP", "_OTHER"));
    assert_eq!(span.attribute("url.path"), "");
}

#[tokio::test]
async fn a_connection_without_a_request_has_no_span() {
    let stage = Stage::set(&[]).await;
    for bytes in [&b""[..], b"GET / HT"] {
        let mut client = stage.client().await;
        client.send(bytes).await;
        client.end().await;
        client.expect_end().await;
    }
    assert_eq!(stage.spans().await, []);
}

#[tokio::test]
async fn health_checks_pass_and_have_no_span_but_are_counted() {
    let stage = Stage::set(&[("spans.health_check_paths", "/healthz")]).await;
    let mut client = stage.client().await;
    let probe = "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: kube-probe/1.33\r\n\r\n";
    let path = "GET /healthz?verbose HTTP/1.1\r\nHost: h\r\n\r\n";
    let other = "GET /healthz/x HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut server = None;
    for request in [probe, path, other] {
        client.send(request).await;
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(stage.origin.accept().await),
        };
        server.head().await;
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        client.head().await;
    }
    drop(client);
    assert_eq!(stage.app.number(HEALTH_CHECKS, &[]), 2);
    assert_eq!(stage.span().await.attribute("url.path"), "/healthz/x");
}

#[tokio::test]
async fn every_request_on_a_connection_has_its_own_span() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(GET.repeat(20)).await;
    let mut server = stage.origin.accept().await;
    for _ in 0..20 {
        server.head().await;
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        client.head().await;
    }
    drop(client);
    let spans = stage.spans().await;
    let mut ids: Vec<_> = spans.iter().map(|s| (&s.trace_id, &s.span_id)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((spans.len(), ids.len()), (20, 20));
}
