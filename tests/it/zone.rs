//! What leaves the trust zone goes without context, baggage and tenant; what stays keeps them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::support::app::{Stage, TestApp};
use crate::support::collector::{Collector, Span};
use crate::support::http2::{self, H2Origin};
use crate::support::peer::{Origin, Peer, show, values};
use crate::support::soon;

/// A zone that the addresses of the tests are not in.
const ELSEWHERE: (&str, &str) = ("propagation.trust_zone", "203.0.113.0/24, .example");
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Lines of an application that forwards all it knows, among others of its own. Every other one
/// tells a stranger something.
const LINES: [(&str, &str); 19] = [
    ("ACCEPT", "*/*"),
    ("TraceParent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("x-Request-ID", "7"),
    ("Tracestate", "a=1,b=2"),
    ("X-Repeated", "1"),
    ("baggage", "customer=acme"),
    ("x-repeated", "2"),
    ("B3", "0"),
    ("X-Correlation-Id", "8"),
    ("X-B3-TraceId", TRACE),
    ("Cookie", "a=b"),
    ("uberctx-user", "u1"),
    ("X-Odd", "a:b"),
    ("X-Tenant-ID", "acme"),
    ("Authorization", "Basic eA=="),
    ("grpc-trace-bin", "AAA="),
    ("User-Agent", "test"),
    ("x-datadog-trace-id", "1"),
    ("x-last", "9"),
];

fn lines(is_wanted: impl Fn(usize) -> bool) -> String {
    let wanted = LINES.iter().enumerate().filter(|(at, _)| is_wanted(*at));
    wanted.map(|(_, (name, value))| format!("{name}: {value}\r\n")).collect()
}

/// All lines.
fn all() -> String {
    lines(|_| true)
}

/// Those that tell nothing.
fn harmless() -> String {
    lines(|at| at % 2 == 0)
}

/// All lines as a sidecar writes them on.
fn traced() -> String {
    all().replace(LINES[1].1, "TRACE")
}

/// A call of the application's by the outbound listener, to `host` at the port of `origin`, after
/// which the origin must have seen `expected` behind the line of the host.
async fn call(client: &mut Peer, origin: &Origin, host: &str, expected: &str) -> Peer {
    let authority = format!("{host}:{}", origin.address.port());
    let sent = all();
    client
        .send(format!("GET http://{authority}/x HTTP/1.1\r\nHost: {authority}\r\n{sent}\r\n"))
        .await;
    let mut server = origin.accept().await;
    server.expect(format!("GET /x HTTP/1.1\r\nHost: {authority}\r\n{expected}\r\n")).await;
    server.send(OK).await;
    client.expect(OK).await;
    server
}

/// The one call of a sidecar with these settings to `host`, and its spans.
async fn one_call(settings: &[(&str, &str)], host: &str, expected: &str) -> Vec<Span> {
    let (stage, other) = (Stage::set(settings).await, Origin::start().await);
    let mut client = stage.outbound_client().await;
    let server = call(&mut client, &other, host, expected).await;
    drop((client, server));
    stage.spans().await
}

#[tokio::test]
async fn a_call_to_a_stranger_keeps_every_byte_but_what_is_withheld() {
    let spans = one_call(&[ELSEWHERE], "127.0.0.1", &harmless()).await;
    let [span] = spans.as_slice() else { panic!("one span is expected: {spans:#?}") };
    assert_eq!((span.kind, span.attribute("spandrel.context.withheld")), ("CLIENT", "true"));
    assert_eq!((span.trace_id.as_str(), span.parent.as_str()), (TRACE, PARENT));
    assert_eq!(span.attribute("spandrel.tenant.id"), "acme");
}

#[tokio::test]
async fn a_call_within_the_zone_goes_with_all_of_it() {
    for settings in [&[][..], &[("propagation.trust_zone", "*")]] {
        let spans = one_call(settings, "127.0.0.1", &traced()).await;
        let [span] = spans.as_slice() else { panic!("one span is expected: {spans:#?}") };
        assert_eq!(span.attribute("spandrel.context.withheld"), "");
        assert_eq!(span.parent, PARENT);
    }
}

#[tokio::test]
async fn a_name_that_is_inside_is_enough_and_one_that_is_not_is_not() {
    for (zone, expected) in [
        ("LOCALhost", traced()),
        ("203.0.113.0/24, localhost", traced()),
        (".localhost", harmless()),
        ("host", harmless()),
    ] {
        one_call(&[("propagation.trust_zone", zone)], "localhost", &expected).await;
    }
    // An address is no name, whatever it looks like.
    one_call(&[("propagation.trust_zone", "localhost")], "127.0.0.1", &harmless()).await;
}

#[tokio::test]
async fn each_request_of_a_connection_is_looked_at_by_itself() {
    let settings = [("propagation.trust_zone", "localhost")];
    let (stage, other) = (Stage::set(&settings).await, Origin::start().await);
    let mut client = stage.outbound_client().await;
    let first = call(&mut client, &other, "127.0.0.1", &harmless()).await;
    let second = call(&mut client, &other, "localhost", &traced()).await;
    drop((client, first, second));
    let spans = stage.spans().await;
    let said: Vec<_> = spans.iter().map(|s| s.attribute("spandrel.context.withheld")).collect();
    assert_eq!(said, ["true", ""]);
}

#[tokio::test]
async fn nothing_is_added_for_a_stranger() {
    let settings = [ELSEWHERE, ("tenants.default", "public")];
    let (stage, other) = (Stage::set(&settings).await, Origin::start().await);
    let mut client = stage.outbound_client().await;
    let target = other.address;
    client.send(format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    let mut server = other.accept().await;
    server.expect(format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    server.send(OK).await;
    client.expect(OK).await;
    drop(client);
    let span = stage.span().await;
    assert_eq!(span.attribute("spandrel.tenant.id"), "public");
    assert_eq!(span.attribute("spandrel.context.withheld"), "true");
}

#[tokio::test]
async fn a_call_to_a_stranger_is_joined_and_tells_nothing_of_it() {
    let joined_by = "x-request-id: 7\r\n";
    let context = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=1\r\n");
    for (settings, is_inside) in [(&[ELSEWHERE][..], false), (&[], true)] {
        let (stage, other) = (Stage::set(settings).await, Origin::start().await);
        let (mut caller, mut client) = (stage.client().await, stage.outbound_client().await);
        let brought = format!("{context}{joined_by}x-tenant-id: acme\r\n");
        caller.send(format!("GET /in HTTP/1.1\r\nHost: h\r\n{brought}\r\n")).await;
        let mut server = stage.origin.accept().await;
        server.head().await;
        let target = other.address;
        let head = format!("Host: {target}\r\n{joined_by}\r\n");
        client.send(format!("GET http://{target}/ HTTP/1.1\r\n{head}")).await;
        let mut stranger = other.accept().await;
        let seen = stranger.head().await;
        if is_inside {
            for name in ["traceparent", "tracestate", "x-tenant-id"] {
                assert_eq!(values(&seen, name).len(), 1, "{name}: {}", show(&seen));
            }
        } else {
            assert_eq!(show(&seen), show(format!("GET / HTTP/1.1\r\n{head}").as_bytes()));
        }
        for (peer, from) in [(&mut stranger, &mut client), (&mut server, &mut caller)] {
            peer.send(OK).await;
            from.expect(OK).await;
        }
        drop((caller, client));
        let spans = stage.spans().await;
        let of = |kind: &str| spans.iter().find(|s| s.kind == kind).expect("a span of this kind");
        let (request, call) = (of("SERVER"), of("CLIENT"));
        assert_eq!((&call.trace_id, &call.parent), (&request.trace_id, &request.span_id));
        let told = ["spandrel.join", "spandrel.tenant.id", "spandrel.context.withheld"];
        let withheld = if is_inside { "" } else { "true" };
        assert_eq!(told.map(|key| call.attribute(key)), ["key", "acme", withheld]);
    }
}

#[tokio::test]
async fn what_is_not_recorded_is_withheld_as_well() {
    let settings = [ELSEWHERE, ("sampling.sampler", "always_off")];
    assert_eq!(one_call(&settings, "127.0.0.1", &harmless()).await, []);
    let health = [ELSEWHERE, ("spans.health_check_user_agents", "test")];
    assert_eq!(one_call(&health, "127.0.0.1", &harmless()).await, []);
    let unread = [ELSEWHERE, ("propagation.propagators", "none")];
    assert_eq!(one_call(&unread, "127.0.0.1", &harmless()).await.len(), 1);
}

#[tokio::test]
async fn with_exporting_switched_off_nothing_is_changed() {
    let settings = [ELSEWHERE, ("export.enabled", "false"), ("tenants.default", "public")];
    let (stage, other) = (Stage::set(&settings).await, Origin::start().await);
    let mut client = stage.outbound_client().await;
    let (target, sent) = (other.address, lines(|at| LINES[at].0 != "X-Tenant-ID"));
    client.send(format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n{sent}\r\n")).await;
    let seen = other.accept().await.head().await;
    let expected = format!("GET / HTTP/1.1\r\nHost: {target}\r\n{sent}\r\n");
    assert_eq!(show(&seen), show(expected.as_bytes()));
    drop(client);
    assert_eq!(stage.spans().await, []);
}

#[tokio::test]
async fn what_comes_in_keeps_its_context_wherever_the_application_is() {
    let stage = Stage::set(&[ELSEWHERE]).await;
    let mut client = stage.client().await;
    client.send(format!("GET /x HTTP/1.1\r\nHost: h\r\n{}\r\n", all())).await;
    let mut server = stage.origin.accept().await;
    server.expect(format!("GET /x HTTP/1.1\r\nHost: h\r\n{}\r\n", traced())).await;
    server.send(OK).await;
    client.expect(OK).await;
    assert_eq!(stage.span().await.attribute("spandrel.context.withheld"), "");
}

#[tokio::test]
async fn what_passes_through_a_tunnel_is_not_looked_at() {
    let (stage, other) = (Stage::set(&[ELSEWHERE]).await, Origin::start().await);
    let mut client = stage.outbound_client().await;
    let target = other.address;
    client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    client.expect(b"HTTP/1.1 200 Connection Established\r\n\r\n").await;
    let inside =
        format!("GET / HTTP/1.1\r\nHost: {target}\r\ntracestate: a=1\r\nbaggage: a=b\r\n\r\n");
    client.send(&inside).await;
    let mut server = other.accept().await;
    server.expect(&inside).await;
    drop((client, server));
    assert_eq!(stage.span().await.attribute("spandrel.context.withheld"), "");
}

/// The header list of an HTTP/2 request to the origin, pseudo-headers left out.
fn list(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// What an HTTP/2 origin sees of a call with all lines, and what the sidecar tells of it.
async fn call_over_http2(settings: &[(&str, &str)], is_grpc: bool) -> (HeaderMap, HeaderMap, Span) {
    let (mut origin, collector) = (H2Origin::start().await, Collector::start().await);
    let app = TestApp::beside(origin.address, collector.address, settings);
    let uri = format!("http://{}/shop.Orders/Place", origin.address);
    let mut request = Request::post(uri).body(()).expect("a request");
    let name = |name: &str| http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
    for (at, value) in LINES {
        request.headers_mut().append(name(at), HeaderValue::from_static(value));
    }
    if is_grpc {
        let grpc = HeaderValue::from_static("application/grpc");
        request.headers_mut().insert("content-type", grpc);
    }
    let sent = request.headers().clone();
    let client = http2::connect(app.outbound()).await;
    let mut ready = soon("a free stream", client.ready()).await.expect("it lives");
    let (response, mut body) = ready.send_request(request, false).expect("a request");
    let trailers: HeaderMap =
        [(name("baggage"), HeaderValue::from_static("a=b"))].into_iter().collect();
    body.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), false).expect("a stream");
    body.send_trailers(trailers.clone()).expect("a stream");
    let mut stream = origin.next().await;
    let seen = stream.request.headers().clone();
    let (_, ended) = http2::read(stream.request.into_body()).await.expect("a whole body");
    assert_eq!(ended, Some(trailers), "trailers carry no context, whatever they are called");
    let mut answer = Response::new(());
    answer.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
    stream.respond.send_response(answer, true).expect("a stream");
    soon("a response", response).await.expect("a response");
    drop(ready);
    app.stop().await;
    let spans = collector.received();
    let [span] = spans.as_slice() else { panic!("one span is expected: {spans:#?}") };
    (sent, seen, span.clone())
}

#[tokio::test]
async fn over_http2_and_grpc_what_is_left_keeps_its_order() {
    for is_grpc in [false, true] {
        let (sent, seen, span) = call_over_http2(&[ELSEWHERE], is_grpc).await;
        let told: Vec<String> =
            LINES.iter().skip(1).step_by(2).map(|(name, _)| name.to_ascii_lowercase()).collect();
        let mut expected = list(&sent);
        expected.retain(|(name, _)| !told.contains(name));
        assert_eq!(list(&seen), expected);
        assert_eq!(span.attribute("spandrel.context.withheld"), "true");
        assert_eq!((span.kind, span.parent.as_str()), ("CLIENT", PARENT));
        assert_eq!(span.attribute("rpc.system.name"), if is_grpc { "grpc" } else { "" });
    }
}

#[tokio::test]
async fn over_http2_what_stays_in_the_zone_keeps_its_context() {
    let (sent, seen, span) = call_over_http2(&[], true).await;
    let (mut sent, mut seen) = (list(&sent), list(&seen));
    for all in [&mut sent, &mut seen] {
        let lines = all.iter_mut().filter(|(name, _)| name == "traceparent");
        lines.for_each(|(_, value)| value.truncate(36));
    }
    assert_eq!(seen, sent);
    assert_eq!(span.attribute("spandrel.context.withheld"), "");
}
