//! Calls that carry no W3C context, joined to the requests that caused them, and those that must
//! not be. The application forwards what a test makes it forward, and nothing else.

use std::sync::Arc;

use http::{HeaderMap, Request};
use spandrel::metrics::{CONTEXT_CONFLICTS, CONTEXT_MALFORMED, CONTEXT_SEEN, JOINS};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::app::{Stage, TestApp};
use crate::support::collector::{Collector, Span};
use crate::support::http2::{self, H2Origin};
use crate::support::peer::{Closed, Origin, Peer, values};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER_TRACE: &str = "1af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A request that an application is working on, or a call that it has made.
struct Pending {
    /// The connection it was made on.
    caller: Peer,
    /// The connection it is answered on.
    callee: Peer,
    /// The head as it arrived.
    head: Vec<u8>,
}

impl Pending {
    async fn answer(mut self) {
        self.callee.send(OK).await;
        self.caller.expect(OK).await;
    }

    /// The value of a header that arrived, if it did.
    fn value(&self, name: &str) -> Option<String> {
        let mut all = values(&self.head, name);
        let value = all.pop();
        assert_eq!(all, [""; 0], "{name} is there once");
        value
    }
}

/// A sidecar beside an application, and what the application calls.
struct Scene {
    stage: Stage,
    other: Origin,
}

impl Scene {
    async fn set(settings: &[(&str, &str)]) -> Self {
        Self { stage: Stage::set(settings).await, other: Origin::start().await }
    }

    /// A request to `path` with these lines, which the application now works on.
    async fn request(&self, path: &str, lines: &str) -> Pending {
        let mut caller = self.stage.client().await;
        caller.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).await;
        let mut callee = self.stage.origin.accept().await;
        let head = callee.head().await;
        Pending { caller, callee, head }
    }

    /// A call by the application with these lines.
    async fn call(&self, path: &str, lines: &str) -> Pending {
        let mut caller = self.stage.outbound_client().await;
        let target = self.other.address;
        let head = format!("GET http://{target}{path} HTTP/1.1\r\nHost: {target}\r\n{lines}\r\n");
        caller.send(head).await;
        let mut callee = self.other.accept().await;
        let head = callee.head().await;
        Pending { caller, callee, head }
    }

    fn joins(&self, result: &'static str) -> u64 {
        self.stage.app.number(JOINS, &[("result", result)])
    }

    /// All results that were counted, in the order of their names.
    fn results(&self) -> Vec<(&'static str, u64)> {
        let results = ["ambiguous", "background", "conflict", "context", "key", "unknown"];
        let all = results.into_iter().map(|result| (result, self.joins(result)));
        all.filter(|(_, count)| *count > 0).collect()
    }

    async fn spans(self) -> Spans {
        Spans(self.stage.spans().await)
    }
}

struct Spans(Vec<Span>);

impl Spans {
    fn of(&self, kind: &str, path: &str) -> &Span {
        let is_it = |span: &&Span| {
            let url = [span.attribute("url.path"), span.attribute("url.full")];
            span.kind == kind && url.iter().any(|url| url.ends_with(path))
        };
        let found: Vec<&Span> = self.0.iter().filter(is_it).collect();
        let [span] = found.as_slice() else { panic!("one {kind} {path}: {:#?}", self.0) };
        span
    }

    /// The call must be a child of the request, joined in this way.
    fn check_joined(&self, request: &str, call: &str, join: &str, key: &str) {
        let (server, client) = (self.of("SERVER", request), self.of("CLIENT", call));
        assert_eq!((&client.trace_id, &client.parent), (&server.trace_id, &server.span_id));
        let attributes = ["spandrel.join", "spandrel.join.key"].map(|k| client.attribute(k));
        assert_eq!(attributes, [join, key]);
    }

    /// The call must be the root of a trace of its own.
    fn check_alone(&self, call: &str) {
        let client = self.of("CLIENT", call);
        assert_eq!((client.parent.as_str(), client.attribute("spandrel.join")), ("", ""));
        let servers: Vec<&Span> = self.0.iter().filter(|s| s.kind == "SERVER").collect();
        assert!(servers.iter().all(|server| server.trace_id != client.trace_id));
    }
}

#[tokio::test]
async fn a_chain_that_forwards_only_the_request_id_is_one_trace() {
    let collector = Collector::start().await;
    let (front, middle, back) =
        (Origin::start().await, Origin::start().await, Origin::start().await);
    let beside = |origin: &Origin, name: &'static str| {
        TestApp::beside(origin.address, collector.address, &[("service.name", name)])
    };
    let sidecars = [beside(&front, "front"), beside(&middle, "middle"), beside(&back, "back")];
    let mut callers = Vec::new();
    let mut callees = Vec::new();
    let mut from: Option<&TestApp> = None;
    for (sidecar, origin) in sidecars.iter().zip([&front, &middle, &back]) {
        let target = sidecar.inbound();
        let entry = from.map_or(target, TestApp::outbound);
        // The customer names a tenant; the applications forward the request id and nothing else.
        let tenant = if from.is_none() { "X-Tenant-Id: acme\r\n" } else { "" };
        let mut caller = Peer::connect(entry).await;
        caller
            .send(format!(
                "GET http://{target}/buy HTTP/1.1\r\nHost: {target}\r\nX-Request-Id: r-1\r\n{tenant}\r\n"
            ))
            .await;
        let mut callee = origin.accept().await;
        let head = callee.head().await;
        assert_eq!(values(&head, "x-request-id"), ["r-1"], "it passes as it is");
        assert_eq!(values(&head, "x-tenant-id"), ["acme"]);
        callers.push(caller);
        callees.push(callee);
        from = Some(sidecar);
    }
    for (caller, callee) in callers.iter_mut().zip(&mut callees).rev() {
        callee.send(OK).await;
        caller.expect(OK).await;
    }
    drop((callers, callees));
    for sidecar in sidecars {
        sidecar.stop().await;
    }
    let mut spans = collector.received();
    spans.sort_by_key(|span| span.start);
    let path: Vec<_> = spans.iter().map(|s| (s.service.as_str(), s.kind)).collect();
    let expected = [
        ("front", "SERVER"),
        ("front", "CLIENT"),
        ("middle", "SERVER"),
        ("middle", "CLIENT"),
        ("back", "SERVER"),
    ];
    assert_eq!(path, expected);
    assert_eq!(spans[0].parent, "");
    for pair in spans.windows(2) {
        let [parent, child] = pair else { unreachable!("windows of two") };
        assert_eq!((&child.trace_id, &child.parent), (&parent.trace_id, &parent.span_id));
        assert_eq!(child.attribute("spandrel.tenant.id"), "acme");
    }
}

#[tokio::test]
async fn the_headers_that_join_are_those_that_are_configured() {
    let scene = Scene::set(&[("propagation.join_keys", "X-Order, x-call")]).await;
    let lines = "x-order: 1\r\nX-Call: 2\r\nx-request-id: 3\r\n";
    let request = scene.request("/in", lines).await;
    for line in ["X-ORDER: 1\r\n", "x-call:  2 \r\n", "x-request-id: 3\r\n", "x-order: 2\r\n"] {
        let path = format!("/{}", line.trim().replace([':', ' '], ""));
        scene.call(&path, line).await.answer().await;
    }
    assert_eq!(scene.results(), [("key", 2), ("unknown", 2)]);
    request.answer().await;
    let spans = scene.spans().await;
    spans.check_joined("/in", "/X-ORDER1", "key", "x-order");
    spans.check_joined("/in", "/x-call2", "key", "x-call");
    spans.check_alone("/x-request-id3");
    spans.check_alone("/x-order2");
}

#[tokio::test]
async fn without_keys_only_context_joins() {
    let scene = Scene::set(&[("propagation.join_keys", "")]).await;
    let lines = format!("x-request-id: 1\r\nb3: {TRACE}-{PARENT}-1\r\n");
    let request = scene.request("/in", &lines).await;
    scene.call("/by-id", "x-request-id: 1\r\n").await.answer().await;
    scene.call("/by-b3", &format!("b3: {TRACE}-{PARENT}-1\r\n")).await.answer().await;
    request.answer().await;
    let spans = scene.spans().await;
    spans.check_alone("/by-id");
    spans.check_joined("/in", "/by-b3", "context", "");
}

#[tokio::test]
async fn of_hundreds_in_flight_at_once_not_one_has_a_wrong_parent() {
    const REQUESTS: usize = 300;
    let scene = Arc::new(Scene::set(&[("workers", "4")]).await);
    let (inbound, outbound) = (scene.stage.app.inbound(), scene.stage.app.outbound());
    let target = scene.other.address;
    let everybody = Arc::new(Barrier::new(REQUESTS));
    let mut tasks = JoinSet::new();
    for n in 0..REQUESTS {
        tasks.spawn(async move {
            let mut client = Peer::connect(inbound).await;
            client
                .send(format!("GET /in/{n} HTTP/1.1\r\nHost: h\r\nx-request-id: r{n}\r\n\r\n"))
                .await;
            client.expect(OK).await;
        });
        let (application, everybody) = (Arc::clone(&scene), Arc::clone(&everybody));
        tasks.spawn(async move {
            let mut server = application.stage.origin.accept().await;
            let head = server.head().await;
            let id = values(&head, "x-request-id").remove(0);
            everybody.wait().await;
            let mut caller = Peer::connect(outbound).await;
            let path = id.trim_start_matches('r');
            caller
                .send(format!(
                    "GET http://{target}/out/{path} HTTP/1.1\r\nHost: h\r\nx-request-id: {id}\r\n\r\n"
                ))
                .await;
            caller.expect(OK).await;
            server.send(OK).await;
            server.expect_end().await;
        });
        let other = Arc::clone(&scene);
        tasks.spawn(async move {
            let mut callee = other.other.accept().await;
            callee.head().await;
            callee.send(OK).await;
            callee.expect_end().await;
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task fails");
    }
    assert_eq!(scene.results(), [("key", u64::try_from(REQUESTS).unwrap())]);
    let scene = Arc::into_inner(scene).expect("every task has ended");
    let spans = scene.spans().await;
    assert_eq!(spans.0.len(), 2 * REQUESTS);
    for n in 0..REQUESTS {
        spans.check_joined(&format!("/in/{n}"), &format!("/out/{n}"), "key", "x-request-id");
    }
}

#[tokio::test]
async fn while_several_requests_hold_a_key_nothing_is_joined_by_it() {
    let scene = Scene::set(&[("workers", "3")]).await;
    let first = scene.request("/first", "x-request-id: same\r\n").await;
    let second = scene.request("/second", "x-request-id: same\r\n").await;
    for n in 0..10 {
        let path = format!("/ambiguous{n}");
        scene.call(&path, "x-request-id: same\r\n").await.answer().await;
    }
    assert_eq!(scene.results(), [("ambiguous", 10)]);
    first.answer().await;
    // Its span is told when its key is free.
    scene.stage.collector.spans(11).await;
    scene.call("/certain", "x-request-id: same\r\n").await.answer().await;
    second.answer().await;
    let spans = scene.spans().await;
    for n in 0..10 {
        spans.check_alone(&format!("/ambiguous{n}"));
    }
    spans.check_joined("/second", "/certain", "key", "x-request-id");
}

#[tokio::test]
async fn keys_that_point_to_different_requests_join_nothing() {
    let scene = Scene::set(&[]).await;
    let b3 = format!("b3: {TRACE}-{PARENT}\r\n");
    let first = scene.request("/first", &format!("x-request-id: 1\r\n{b3}")).await;
    let second = scene.request("/second", "x-request-id: 2\r\nx-correlation-id: c\r\n").await;
    scene.call("/ids", "x-request-id: 1\r\nx-correlation-id: c\r\n").await.answer().await;
    scene.call("/b3", &format!("x-request-id: 2\r\n{b3}")).await.answer().await;
    assert_eq!(scene.results(), [("conflict", 2)]);
    // What nobody brought says nothing: applications make ids of their own.
    scene.call("/agree", "x-request-id: new\r\nx-correlation-id: c\r\n").await.answer().await;
    first.answer().await;
    second.answer().await;
    let spans = scene.spans().await;
    spans.check_alone("/ids");
    spans.check_alone("/b3");
    spans.check_joined("/second", "/agree", "key", "x-correlation-id");
}

#[tokio::test]
async fn a_request_that_brought_a_header_twice_holds_both_of_its_values() {
    let scene = Scene::set(&[("workers", "2")]).await;
    let [one, two] = [TRACE, OTHER_TRACE].map(|trace| format!("b3: {trace}-{PARENT}-1\r\n"));
    let twice = format!("x-request-id: 1\r\nX-Request-ID: 2\r\n{one}{two}");
    let doubled = scene.request("/doubled", &twice).await;
    let single = scene.request("/single", &format!("x-request-id: 1\r\n{one}")).await;
    // Which of them an application goes on with nobody knows.
    scene.call("/id", "x-request-id: 1\r\n").await.answer().await;
    scene.call("/b3", &one).await.answer().await;
    assert_eq!(scene.results(), [("ambiguous", 2)]);
    scene.call("/other-id", "x-request-id: 2\r\n").await.answer().await;
    scene.call("/other-b3", &two).await.answer().await;
    doubled.answer().await;
    single.answer().await;
    let spans = scene.spans().await;
    spans.check_alone("/id");
    spans.check_alone("/b3");
    spans.check_joined("/doubled", "/other-id", "key", "x-request-id");
    spans.check_joined("/doubled", "/other-b3", "context", "");
}

#[tokio::test]
async fn a_value_that_stands_for_none_joins_nothing() {
    let scene = Scene::set(&[]).await;
    for value in ["undefined", "NULL", "-", "0", "00000000-0000-0000-0000-000000000000"] {
        let line = format!("x-request-id: {value}\r\n");
        let request = scene.request("/in", &line).await;
        let call = scene.call("/out", &line).await;
        assert_eq!(call.value("x-request-id").as_deref(), Some(value), "it passes as it is");
        call.answer().await;
        request.answer().await;
    }
    assert_eq!(scene.results(), [("unknown", 5)]);
}

#[tokio::test]
async fn after_a_hang_up_a_second_try_with_the_same_key_is_ambiguous() {
    let scene = Scene::set(&[]).await;
    let given_up = scene.request("/given-up", "x-request-id: same\r\n").await;
    let Pending { caller, callee: _still_working, .. } = given_up;
    caller.reset();
    scene.stage.collector.spans(1).await;
    scene.call("/late", "x-request-id: same\r\n").await.answer().await;
    let again = scene.request("/again", "x-request-id: same\r\n").await;
    scene.call("/whose", "x-request-id: same\r\n").await.answer().await;
    assert_eq!(scene.results(), [("ambiguous", 1), ("background", 1)]);
    again.answer().await;
    let spans = scene.spans().await;
    spans.check_alone("/late");
    spans.check_alone("/whose");
}

#[tokio::test]
async fn a_request_that_never_reached_the_application_takes_no_key() {
    let closed = Closed::hold();
    let (collector, other) = (Collector::start().await, Origin::start().await);
    let app = TestApp::beside(closed.address, collector.address, &[]);
    let request = b"GET /in HTTP/1.1\r\nHost: h\r\nx-request-id: 1\r\n\r\n";
    let mut refused = Peer::connect(app.inbound()).await;
    refused.send(request).await;
    assert!(refused.head().await.starts_with(b"HTTP/1.1 502"));
    let listener = closed.listen(8);
    let mut client = Peer::connect(app.inbound()).await;
    client.send(request).await;
    let mut server = Peer::of(listener.accept().await.expect("a connection").0);
    server.head().await;
    let mut caller = Peer::connect(app.outbound()).await;
    let target = other.address;
    let call = format!("GET http://{target}/ HTTP/1.1\r\nHost: h\r\nx-request-id: 1\r\n\r\n");
    caller.send(call).await;
    let mut callee = other.accept().await;
    callee.head().await;
    callee.send(OK).await;
    caller.expect(OK).await;
    server.send(OK).await;
    client.expect(OK).await;
    assert_eq!(app.number(JOINS, &[("result", "key")]), 1);
}

#[tokio::test]
async fn any_known_context_header_joins_when_it_is_forwarded() {
    let scene = Scene::set(&[]).await;
    let sw8 = "sw8: 1-VFJBQ0U=-U0VH-3-c3Zj-aW5z-L2U=-cGVlcg==";
    for (n, line) in [
        format!("b3: {TRACE}-{PARENT}-1"),
        format!("X-B3-TraceId: {TRACE}\r\nX-B3-SpanId: {PARENT}\r\nX-B3-Sampled: 1"),
        format!("uber-trace-id: {TRACE}:{PARENT}:0:1"),
        "x-datadog-trace-id: 5208512171318403364\r\nx-datadog-parent-id: 1".to_owned(),
        format!("x-cloud-trace-context: {TRACE}/74;o=1"),
        "X-Amzn-Trace-Id: Root=1-463ac35c-9f6413ad48485a3953bb6124;Sampled=1".to_owned(),
        "grpc-trace-bin: AABGOsNcn2QTrUhIWjlTu2EkAQAAAAAAAAABAgE".to_owned(),
        sw8.to_owned(),
        "x-ot-span-context: EhQJQwUbbwmQEc4RPaEuilTou4QYAQ==".to_owned(),
        format!("ot-tracer-traceid: {PARENT}\r\not-tracer-spanid: {PARENT}"),
    ]
    .into_iter()
    .enumerate()
    {
        let lines = format!("{line}\r\n");
        let request = scene.request(&format!("/in{n}"), &lines).await;
        let call = scene.call(&format!("/out{n}"), &lines).await;
        let name = line.split(':').next().expect("a name");
        assert_eq!(call.value(name), request.value(name), "foreign contexts pass as they are");
        assert!(call.value("traceparent").is_some());
        call.answer().await;
        request.answer().await;
    }
    assert_eq!(scene.results(), [("context", 10)]);
    let spans = scene.spans().await;
    for n in 0..10 {
        spans.check_joined(&format!("/in{n}"), &format!("/out{n}"), "context", "");
    }
}

#[tokio::test]
async fn a_library_that_goes_on_in_its_own_spans_is_joined_by_the_trace() {
    let scene = Scene::set(&[]).await;
    let request = scene.request("/in", &format!("b3: {TRACE}-{PARENT}-1\r\n")).await;
    let forwarded = format!("x-b3-traceid: {TRACE}\r\nx-b3-spanid: 1111111111111111\r\n");
    scene.call("/out", &forwarded).await.answer().await;
    request.answer().await;
    scene.spans().await.check_joined("/in", "/out", "context", "");
}

#[tokio::test]
async fn an_id_that_was_cut_to_64_bits_is_that_of_all_it_can_have_been() {
    let scene = Scene::set(&[]).await;
    let narrow = TRACE.get(16..).expect("32 digits");
    let [wide, cut] = [TRACE, narrow].map(|trace| format!("b3: {trace}-{PARENT}-1\r\n"));
    let decimal = u64::from_str_radix(narrow, 16).expect("digits");
    let first = scene.request("/first", &wide).await;
    scene.call("/cut", &format!("x-datadog-trace-id: {decimal}\r\n")).await.answer().await;
    // The same trace, by a caller that cuts ids.
    let second = scene.request("/second", &cut).await;
    scene.call("/whose", &cut).await.answer().await;
    scene.call("/whole", &wide).await.answer().await;
    // What shares but the lower half is another trace.
    let other = format!("b3: {OTHER_TRACE}-{PARENT}-1\r\n");
    scene.call("/other", &other).await.answer().await;
    assert_eq!(scene.results(), [("ambiguous", 1), ("context", 2), ("unknown", 1)]);
    first.answer().await;
    second.answer().await;
    let spans = scene.spans().await;
    spans.check_alone("/whose");
    spans.check_alone("/other");
    spans.check_joined("/first", "/cut", "context", "");
    spans.check_joined("/first", "/whole", "context", "");
}

#[tokio::test]
async fn a_valid_traceparent_is_never_overruled() {
    let scene = Scene::set(&[]).await;
    let first = scene.request("/first", "x-request-id: 1\r\n").await;
    let second = scene.request("/second", "x-request-id: 2\r\n").await;
    let parent = second.value("traceparent").expect("a context");
    let lines = format!("traceparent: {parent}\r\nx-request-id: 1\r\n");
    scene.call("/out", &lines).await.answer().await;
    let own = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\nx-request-id: 1\r\n");
    scene.call("/own", &own).await.answer().await;
    assert_eq!(scene.results(), [("context", 1), ("unknown", 1)]);
    first.answer().await;
    second.answer().await;
    let spans = scene.spans().await;
    spans.check_joined("/second", "/out", "context", "");
    assert_eq!(spans.of("CLIENT", "/own").trace_id, TRACE);
}

#[tokio::test]
async fn a_malformed_traceparent_does_not_keep_a_key_from_joining() {
    let scene = Scene::set(&[]).await;
    let request = scene.request("/in", "x-request-id: 1\r\n").await;
    let call = scene.call("/out", "traceparent: x\r\nx-request-id: 1\r\n").await;
    assert_ne!(call.value("traceparent").as_deref(), Some("x"));
    call.answer().await;
    request.answer().await;
    scene.spans().await.check_joined("/in", "/out", "key", "x-request-id");
}

#[tokio::test]
async fn what_is_no_key_joins_nothing() {
    let scene = Scene::set(&[]).await;
    let long = "x".repeat(257);
    for (n, lines) in [
        "x-request-id: \r\n".to_owned(),
        format!("x-request-id: {long}\r\n"),
        "x-request-id: 1\r\nX-Request-ID: 1\r\n".to_owned(),
        "b3: 1\r\n".to_owned(),
        "x-b3-traceid: 0000000000000000\r\n".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let request = scene.request(&format!("/in{n}"), lines).await;
        scene.call(&format!("/out{n}"), lines).await.answer().await;
        request.answer().await;
    }
    assert_eq!(scene.results(), [("unknown", 5)]);
    let spans = scene.spans().await;
    for n in 0..5 {
        spans.check_alone(&format!("/out{n}"));
    }
}

#[tokio::test]
async fn the_tracestate_of_the_request_goes_on_with_the_call() {
    let scene = Scene::set(&[]).await;
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let lines = format!("{parent}tracestate: a=1,,\r\nTracestate: ,\t b=2\r\nx-request-id: 1\r\n");
    let request = scene.request("/in", &lines).await;
    for (path, own) in [("/none", ""), ("/own", "TraceState: own=3\r\ntracestate: x=4\r\n")] {
        let call = scene.call(path, &format!("x-request-id: 1\r\n{own}")).await;
        assert_eq!(call.value("tracestate").as_deref(), Some("a=1,b=2"), "{path}");
        assert!(call.value("traceparent").is_some_and(|parent| parent.contains(TRACE)));
        call.answer().await;
    }
    request.answer().await;
    let spans = scene.spans().await;
    for path in ["/none", "/own"] {
        spans.check_joined("/in", path, "key", "x-request-id");
        assert_eq!(spans.of("CLIENT", path).trace_state, "a=1,b=2");
    }
}

#[tokio::test]
async fn an_unsampled_request_hands_its_context_to_its_calls() {
    let scene = Scene::set(&[]).await;
    let parent = format!("00-{TRACE}-{PARENT}-00");
    let lines = format!("traceparent: {parent}\r\ntracestate: a=1\r\nx-request-id: 1\r\n");
    let request = scene.request("/in", &lines).await;
    let call = scene.call("/out", "x-request-id: 1\r\n").await;
    assert_eq!(call.value("traceparent"), Some(parent));
    assert_eq!(call.value("tracestate").as_deref(), Some("a=1"));
    call.answer().await;
    request.answer().await;
    assert_eq!(scene.results(), [("key", 1)]);
    assert_eq!(scene.spans().await.0, []);
}

#[tokio::test]
async fn the_calls_of_a_request_that_was_decided_against_pass_byte_for_byte() {
    let scene = Scene::set(&[("sampling.sampler", "always_off")]).await;
    let request = scene.request("/in", "x-request-id: 1\r\n").await;
    let call = scene.call("/out", "x-request-id: 1\r\n").await;
    assert_eq!((call.value("traceparent"), call.value("tracestate")), (None, None));
    call.answer().await;
    request.answer().await;
    assert_eq!(scene.results(), [("key", 1)]);
    assert_eq!(scene.spans().await.0, []);
}

#[tokio::test]
async fn at_a_ratio_a_call_shares_the_fate_of_its_request() {
    let settings = [("sampling.sampler", "parentbased_traceidratio"), ("sampling.ratio", "0.5")];
    let scene = Scene::set(&settings).await;
    const REQUESTS: usize = 60;
    for n in 0..REQUESTS {
        let lines = format!("x-request-id: r{n}\r\n");
        let request = scene.request(&format!("/in/{n}"), &lines).await;
        scene.call(&format!("/out/{n}"), &lines).await.answer().await;
        request.answer().await;
    }
    let spans = scene.spans().await;
    let of = |kind| spans.0.iter().filter(|s| s.kind == kind).count();
    assert!((1..REQUESTS).contains(&of("SERVER")), "some are recorded and some are not");
    assert_eq!(of("SERVER"), of("CLIENT"));
    for span in spans.0.iter().filter(|s| s.kind == "SERVER") {
        let path = span.attribute("url.path");
        spans.check_joined(path, &path.replace("/in/", "/out/"), "key", "x-request-id");
    }
}

#[tokio::test]
async fn a_health_check_keeps_its_key_and_joins_nothing() {
    let scene = Scene::set(&[("spans.health_check_paths", "/healthz")]).await;
    let check = scene.request("/healthz", "x-request-id: 1\r\n").await;
    scene.call("/by-check", "x-request-id: 1\r\n").await.answer().await;
    let request = scene.request("/in", "x-request-id: 1\r\n").await;
    scene.call("/by-either", "x-request-id: 1\r\n").await.answer().await;
    assert_eq!(scene.results(), [("ambiguous", 1), ("unknown", 1)]);
    check.answer().await;
    request.answer().await;
    let spans = scene.spans().await;
    spans.check_alone("/by-check");
    spans.check_alone("/by-either");
}

#[tokio::test]
async fn calls_of_nobody_are_counted_as_such() {
    let scene = Scene::set(&[]).await;
    scene.call("/background", "x-request-id: 1\r\n").await.answer().await;
    let request = scene.request("/in", "").await;
    scene.call("/unknown", "").await.answer().await;
    request.answer().await;
    assert_eq!(scene.results(), [("background", 1), ("unknown", 1)]);
}

#[tokio::test]
async fn without_the_w3c_propagator_nothing_is_read_or_joined() {
    let scene = Scene::set(&[("propagation.propagators", "none")]).await;
    let request = scene.request("/in", "x-request-id: 1\r\n").await;
    let call = scene.call("/out", "x-request-id: 1\r\n").await;
    assert_eq!(call.value("traceparent"), None);
    call.answer().await;
    request.answer().await;
    scene.spans().await.check_alone("/out");
}

#[tokio::test]
async fn calls_over_http_2_and_grpc_are_joined_too() {
    let (mut origin, mut other) = (H2Origin::start().await, H2Origin::start().await);
    let collector = Collector::start().await;
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let inbound = http2::connect(app.inbound()).await;
    let outbound = http2::connect(app.outbound()).await;
    for content_type in ["text/plain", "application/grpc"] {
        let mut request = http2::get("/shop.Cart/Add");
        *request.headers_mut() = fields(&[
            ("x-request-id", "1"),
            ("traceparent", &format!("00-{TRACE}-{PARENT}-01")),
            ("tracestate", "a=1"),
            ("content-type", content_type),
        ]);
        let mut inbound = inbound.clone().ready().await.expect("the connection lives");
        let (answered, _) = inbound.send_request(request, true).expect("a request");
        let mut working = origin.next().await;

        let uri = format!("http://{}/shop.Stock/Take", other.address);
        let mut call = Request::builder().uri(uri).body(()).expect("a request");
        *call.headers_mut() = fields(&[
            ("x-request-id", "1"),
            ("tracestate", "own=2"),
            ("content-type", content_type),
        ]);
        let mut outbound = outbound.clone().ready().await.expect("the connection lives");
        let (called, _) = outbound.send_request(call, true).expect("a request");
        let mut callee = other.next().await;
        let states = callee.request.headers().get_all("tracestate");
        assert_eq!(states.iter().collect::<Vec<_>>(), ["a=1"]);
        for stream in [&mut callee, &mut working] {
            let mut response = http::Response::new(());
            *response.headers_mut() =
                fields(&[("content-type", content_type), ("grpc-status", "0")]);
            stream.respond.send_response(response, true).expect("a stream");
        }
        called.await.expect("a response");
        answered.await.expect("a response");
    }
    drop((inbound, outbound));
    app.stop().await;
    let spans = collector.received();
    assert_eq!(spans.len(), 4);
    let (servers, clients): (Vec<_>, Vec<_>) = spans.iter().partition(|s| s.kind == "SERVER");
    assert_eq!(clients.len(), 2);
    for client in clients {
        let is_cause = |server: &&Span| client.parent == server.span_id;
        let server = servers.iter().copied().find(is_cause).expect("a request of the call's");
        assert_eq!((&client.trace_id, client.trace_state.as_str()), (&server.trace_id, "a=1"));
        assert_eq!(client.attribute("spandrel.join.key"), "x-request-id");
        assert_eq!(client.attribute("rpc.system.name"), server.attribute("rpc.system.name"));
    }
}

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
}

#[tokio::test]
async fn formats_faults_and_conflicts_are_counted() {
    let scene = Scene::set(&[]).await;
    let good = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let inbound = [("direction", "inbound")];
    for (lines, format, reason) in [
        (format!("{good}{good}"), "tracecontext", "repeated"),
        ("traceparent: 00\r\n".to_owned(), "tracecontext", "length"),
        (format!("traceparent: ff-{TRACE}-{PARENT}-01\r\n"), "tracecontext", "version"),
        (format!("traceparent: 00-{TRACE}-{PARENT}-0x\r\n"), "tracecontext", "characters"),
        (format!("traceparent: 00-{TRACE}-0000000000000000-01\r\n"), "tracecontext", "zero_id"),
        (format!("{good}tracestate: a\r\n"), "tracecontext", "invalid_tracestate"),
        ("tracestate: a=1\r\n".to_owned(), "tracecontext", "lone_tracestate"),
        ("b3: \r\n".to_owned(), "b3", "length"),
        (format!("b3: {TRACE}-{PARENT}\r\nb3: 0\r\n"), "b3", "repeated"),
        ("x-b3-traceid: 000000000000000g\r\n".to_owned(), "b3multi", "characters"),
        ("x-datadog-trace-id: 0\r\n".to_owned(), "datadog", "zero_id"),
        ("x-amzn-trace-id: Root=2-1-1\r\n".to_owned(), "xray", "version"),
    ] {
        let labels = [inbound[0], ("format", format), ("reason", reason)];
        assert_eq!(scene.stage.app.number(CONTEXT_MALFORMED, &labels), 0, "{lines}");
        scene.request("/", &lines).await.answer().await;
        assert_eq!(scene.stage.app.number(CONTEXT_MALFORMED, &labels), 1, "{lines}");
    }
    assert_eq!(scene.stage.app.number(CONTEXT_MALFORMED, &[]), 12, "and nothing else");
    assert_eq!(scene.stage.app.number(CONTEXT_CONFLICTS, &[]), 0);
    scene.request("/", &format!("{good}b3: {TRACE}-{PARENT}\r\n")).await.answer().await;
    assert_eq!(scene.stage.app.number(CONTEXT_CONFLICTS, &[]), 0, "one trace in two formats");
    scene.request("/", &format!("{good}b3: {OTHER_TRACE}-{PARENT}\r\n")).await.answer().await;
    assert_eq!(scene.stage.app.number(CONTEXT_CONFLICTS, &inbound), 1);
    let b3 = [inbound[0], ("format", "b3")];
    assert_eq!(scene.stage.app.number(CONTEXT_SEEN, &b3), 4);
    assert_eq!(scene.stage.app.number(CONTEXT_SEEN, &[("direction", "outbound")]), 0);
}

/// What the admin listener says at `path`.
async fn page(scene: &Scene, path: &str) -> String {
    let mut client = Peer::connect(scene.stage.app.addresses.admin).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let reply = String::from_utf8(client.rest().await).expect("UTF-8");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a whole response");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

#[tokio::test]
async fn the_context_page_names_the_calls_that_break_traces() {
    let scene = Scene::set(&[("workers", "2")]).await;
    assert!(page(&scene, "/context").await.starts_with("nothing can be said yet"));
    let request = scene.request("/in", "x-request-id: 1\r\n").await;
    for path in ["/a?secret=1", "/b"] {
        scene.call(path, "").await.answer().await;
    }
    scene.call("/c", "x-request-id: 1\r\n").await.answer().await;
    let target = scene.other.address;
    let text = page(&scene, "/context").await;
    let verdict = format!(
        "this service does not forward trace context: 2 of 3 outbound calls (66 %) while requests \
         were in flight carried none; they are: GET {target} (2); forward traceparent, or at \
         least one of: x-request-id, x-correlation-id\n"
    );
    assert!(text.starts_with(&verdict), "{text}");
    assert!(!text.contains("secret"), "no queries are shown");
    let json: serde_json::Value =
        serde_json::from_str(&page(&scene, "/context?format=json").await).expect("JSON");
    let [call] = json["calls"].as_array().expect("a list").as_slice() else { panic!("{json}") };
    assert_eq!(call["call"], format!("GET {target}"));
    assert_eq!((&call["unjoined"], &call["joined"]), (&2.into(), &1.into()));
    assert_eq!(call["last_in_flight"], 1);
    let inbound = call["last_inbound_trace_id"].as_str().expect("an id");
    assert!(request.value("traceparent").is_some_and(|parent| parent.contains(inbound)));
    request.answer().await;
}
