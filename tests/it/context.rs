//! The decision tables of W3C Trace Context Level 2, and context across hops, on real sockets.

use http::header::{HeaderName, HeaderValue};

use crate::support::app::{Stage, TestApp};
use crate::support::collector::{Collector, Span};
use crate::support::http2::{self, H2Origin};
use crate::support::peer::{Origin, Peer, values};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What comes in, and what must become of it.
struct Line {
    /// The values of the `traceparent` lines.
    parents: Vec<String>,
    /// The values of the `tracestate` lines.
    states: Vec<String>,
    /// The flags that go on where the trace continues; `None` where a new one begins.
    flags: Option<&'static str>,
    /// Whether the `tracestate` lines go on.
    keeps_state: bool,
}

fn continued(parent: &str, flags: &'static str) -> Line {
    let (parents, states) = (vec![parent.to_owned()], vec!["a=1".to_owned()]);
    Line { parents, states, flags: Some(flags), keeps_state: true }
}

fn restarted(parents: &[&str]) -> Line {
    let parents = parents.iter().map(|p| (*p).to_owned()).collect();
    Line { parents, states: vec!["a=1".to_owned()], flags: None, keeps_state: false }
}

fn state(states: &[&str], keeps_state: bool) -> Line {
    let states = states.iter().map(|s| (*s).to_owned()).collect();
    Line { parents: vec![GOOD.to_owned()], states, flags: Some("01"), keeps_state }
}

/// The decision table of `traceparent`.
fn parents() -> Vec<Line> {
    let ids = format!("{TRACE}-{PARENT}");
    let upper = TRACE.to_ascii_uppercase();
    let mut lines = vec![
        continued(GOOD, "01"),
        continued(&format!("00-{ids}-03"), "03"),
        continued(&format!("00-{ids}-09"), "01"),
        continued(&format!("00-{ids}-ff"), "03"),
        continued(&format!("01-{ids}-01"), "01"),
        continued(&format!("cc-{ids}-01-what-the-future-holds"), "01"),
        continued(&format!("fe-{ids}-01-"), "01"),
        restarted(&[]),
        restarted(&[GOOD, GOOD]),
        restarted(&[GOOD, "x"]),
        restarted(&[&format!("{GOOD},{GOOD}")]),
        restarted(&[&format!("00-{upper}-{PARENT}-01")]),
        restarted(&[&format!("00-{TRACE}-{}-01", PARENT.to_ascii_uppercase())]),
    ];
    for version in ["ff", "FF", "0", "000", "+0", "0x", ".0"] {
        lines.push(restarted(&[&format!("{version}-{ids}-01")]));
    }
    for tail in ["-", ".", "-xyz", "0"] {
        lines.push(restarted(&[&format!("{GOOD}{tail}")]));
    }
    for flags in ["", "0", "001", "0.", "0g", "0A"] {
        lines.push(restarted(&[&format!("00-{ids}-{flags}")]));
    }
    for trace in [
        "0".repeat(32),
        "0af7651916cd43dd8448eb211c80319".to_owned(),
        format!("{TRACE}0"),
        "z".repeat(32),
    ] {
        lines.push(restarted(&[&format!("00-{trace}-{PARENT}-01")]));
    }
    for parent in
        ["0".repeat(16), "b7ad6b716920333".to_owned(), format!("{PARENT}1"), "z".repeat(16)]
    {
        lines.push(restarted(&[&format!("00-{TRACE}-{parent}-01")]));
    }
    lines.push(restarted(&[&format!("01-{ids}-0")]));
    lines.push(restarted(&[&format!("01-{ids}-01.what")]));
    lines.push(restarted(&[&format!("00 {ids}-01")]));
    lines.push(restarted(&[&format!("00-{TRACE}_{PARENT}-01")]));
    lines.push(restarted(&["garbage"]));
    lines.push(restarted(&[""]));
    lines
}

/// The rules of `tracestate` beside a good `traceparent`.
fn states() -> Vec<Line> {
    let list = |n: usize| (0..n).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
    let (most, too_many, half) = (list(32), list(33), list(17));
    let (longest, too_long) = ("k".repeat(256), "k".repeat(257));
    vec![
        state(&["foo=1,bar=2"], true),
        state(&["foo=1", "bar=2"], true),
        state(&["foo=1 \t , \tbar=2"], true),
        state(&["foo=1,,bar=2,"], true),
        state(&["foo@=1,bar=2"], true),
        state(&["foo@@bar=1"], true),
        state(&["t@abcdefghijklmno=1"], true),
        state(&["0a-_*/@9= x !~"], true),
        state(&["foo=1,foo=1"], true),
        state(&["foo=1", "foo=2"], true),
        state(&[&most], true),
        state(&[&format!("{longest}=1")], true),
        state(&[&format!("a={longest}")], true),
        state(&[&too_many], false),
        state(&[&half, &half], false),
        state(&[&format!("{too_long}=1")], false),
        state(&[&format!("a={too_long}")], false),
        state(&["foo=bar=baz,a=1"], false),
        state(&["foo=,a=1"], false),
        state(&["@foo=1"], false),
        state(&["FOO=1"], false),
        state(&["foo.bar=1"], false),
        state(&["foo =1"], false),
        state(&["foo"], false),
        state(&["a=1", "b"], false),
        state(&["=1"], false),
    ]
}

impl Line {
    fn head(&self) -> String {
        let line = |name: &str, value: &String| format!("{name}: {value}\r\n");
        let parents: String = self.parents.iter().map(|v| line("traceparent", v)).collect();
        let states: String = self.states.iter().map(|v| line("tracestate", v)).collect();
        format!("GET / HTTP/1.1\r\nHost: h\r\n{parents}{states}\r\n")
    }

    /// Compares with what went on; gives the `traceparent`.
    fn check(&self, parents: &[String], states: &[String]) -> String {
        let shown = format!("{:?} {:?} became {parents:?} {states:?}", self.parents, self.states);
        let [parent] = parents else { panic!("one traceparent is expected: {shown}") };
        let parts: Vec<&str> = parent.split('-').collect();
        let [version, trace, span, flags] = parts.as_slice() else { panic!("malformed: {shown}") };
        assert_eq!((*version, span.len()), ("00", 16), "{shown}");
        assert_ne!(*span, PARENT, "{shown}");
        assert_eq!(*trace == TRACE, self.flags.is_some(), "{shown}");
        assert_eq!(*flags, self.flags.unwrap_or("01"), "{shown}");
        let kept = if self.keeps_state { self.states.as_slice() } else { &[] };
        let trimmed: Vec<&str> = kept.iter().map(|s| s.trim()).collect();
        assert_eq!(states, trimmed, "{shown}");
        parent.clone()
    }
}

/// Each span must say what its request's headers said.
fn check_spans(lines: &[Line], sent: &[String], spans: &[Span]) {
    assert_eq!(spans.len(), lines.len());
    for (line, parent) in lines.iter().zip(sent) {
        let ids = |s: &Span| format!("00-{}-{}-{:02x}", s.trace_id, s.span_id, s.flags);
        let span = spans.iter().find(|s| ids(s) == *parent).expect("a span for each header");
        assert_eq!(span.parent, if line.flags.is_some() { PARENT } else { "" });
        let state = if line.keeps_state { line.states.join(",") } else { String::new() };
        assert_eq!(span.trace_state, state.trim());
    }
}

#[tokio::test]
async fn every_line_of_the_decision_tables_holds_over_http_1() {
    let stage = Stage::set(&[]).await;
    let lines: Vec<Line> = parents().into_iter().chain(states()).collect();
    let mut client = stage.client().await;
    client.send(lines[0].head()).await;
    let mut server = stage.origin.accept().await;
    let mut sent = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            client.send(line.head()).await;
        }
        let head = server.head().await;
        sent.push(line.check(&values(&head, "traceparent"), &values(&head, "tracestate")));
        server.send(OK).await;
        client.expect(OK).await;
    }
    check_spans(&lines, &sent, &stage.spans().await);
}

#[tokio::test]
async fn every_line_of_the_decision_tables_holds_over_http_2() {
    let mut origin = H2Origin::start().await;
    let collector = Collector::start().await;
    let app = TestApp::beside(origin.address, collector.address, &[]);
    let lines: Vec<Line> = parents().into_iter().chain(states()).collect();
    let client = http2::connect(app.inbound()).await;
    let mut sent = Vec::new();
    for line in &lines {
        let mut request = http2::get("/");
        let all = [("traceparent", &line.parents), ("tracestate", &line.states)];
        for (name, values) in all {
            for value in values {
                let value = HeaderValue::from_str(value).expect("a header value");
                request.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        let mut client = client.clone().ready().await.expect("the connection lives");
        let (response, _) = client.send_request(request, true).expect("a request");
        let mut stream = origin.next().await;
        let values = |name| -> Vec<String> {
            let all = stream.request.headers().get_all(name);
            all.iter().map(|v| v.to_str().expect("ASCII").trim().to_owned()).collect()
        };
        sent.push(line.check(&values("traceparent"), &values("tracestate")));
        stream.respond.send_response(http::Response::new(()), true).expect("a stream");
        response.await.expect("a response");
    }
    drop(client);
    app.stop().await;
    check_spans(&lines, &sent, &collector.received());
}

#[tokio::test]
async fn white_space_around_a_traceparent_is_not_part_of_it() {
    let stage = Stage::set(&[]).await;
    let mut client = stage.client().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nTraceParent: \t {GOOD}\t \r\n\r\n")).await;
    let mut server = stage.origin.accept().await;
    server.expect(b"GET / HTTP/1.1\r\nHost: h\r\nTraceParent: \t TRACE\t \r\n\r\n").await;
    server.send(OK).await;
    client.expect(OK).await;
    assert_eq!(stage.span().await.parent, PARENT);
}

#[tokio::test]
async fn where_nothing_is_recorded_the_head_passes_byte_for_byte() {
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    let always_off = [("sampling.sampler", "always_off")];
    let disabled = [("export.enabled", "false")];
    let probe = "User-Agent: kube-probe/1.33\r\n";
    for (settings, lines) in [
        (&always_off[..], String::new()),
        (&always_off, format!("traceparent: {GOOD}\r\ntracestate: a=1\r\n")),
        (&always_off, "Traceparent:  x \r\ntraceparent: y\r\nTraceState: ,,=\r\n".to_owned()),
        (&disabled, format!("traceparent: {GOOD}\r\n")),
        (&[], format!("TRACEPARENT: {unsampled}\r\ntracestate: @bad\r\n")),
        (&[], format!("traceparent: cc-{TRACE}-{PARENT}-02-x\r\n")),
        (&[], probe.to_owned()),
        (&[], format!("{probe}traceparent: {GOOD}\r\n")),
    ] {
        let stage = Stage::set(settings).await;
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut client = stage.client().await;
        client.send(&head).await;
        let mut server = stage.origin.accept().await;
        assert_eq!(String::from_utf8_lossy(&server.head().await), head);
        server.send(OK).await;
        client.expect(OK).await;
        assert_eq!(stage.spans().await, [], "{head}");
    }
}

/// One request through `sidecar`, played by an application that forwards what it was sent.
async fn through(client: &mut Peer, origin: &Origin, head: &str) -> (String, Peer) {
    client.send(head).await;
    let mut server = origin.accept().await;
    let head = String::from_utf8(server.head().await).expect("ASCII");
    (head, server)
}

#[tokio::test]
async fn two_sidecars_make_a_chain_and_the_tenant_is_joined() {
    let (collector, front, back) =
        (Collector::start().await, Origin::start().await, Origin::start().await);
    let first = TestApp::beside(front.address, collector.address, &[("service.name", "front")]);
    let second = TestApp::beside(back.address, collector.address, &[("service.name", "back")]);

    let mut client = Peer::connect(first.inbound()).await;
    let request = "GET /buy HTTP/1.1\r\nHost: shop\r\nX-Tenant-Id: acme\r\n\r\n";
    let (seen, mut at_front) = through(&mut client, &front, request).await;
    // The application forwards the trace, as frameworks do, and forgets the tenant.
    let trace = values(seen.as_bytes(), "traceparent").remove(0);
    let target = second.inbound();
    let call = format!(
        "GET http://{target}/ship HTTP/1.1\r\nHost: {target}\r\ntraceparent: {trace}\r\n\r\n"
    );
    let mut caller = Peer::connect(first.outbound()).await;
    let (seen, mut at_back) = through(&mut caller, &back, &call).await;
    assert_eq!(values(seen.as_bytes(), "x-tenant-id"), ["acme"]);
    at_back.send(OK).await;
    caller.expect(OK).await;
    at_front.send(OK).await;
    client.expect(OK).await;
    drop((client, caller));
    first.stop().await;
    second.stop().await;

    let spans = collector.received();
    let find = |service: &str, kind: &str| -> Span {
        let mut found = spans.iter().filter(|s| (s.service.as_str(), s.kind) == (service, kind));
        let span = found.next().expect("there is one").clone();
        assert_eq!(found.next(), None);
        span
    };
    let (entry, call, exit) =
        (find("front", "SERVER"), find("front", "CLIENT"), find("back", "SERVER"));
    assert_eq!((spans.len(), entry.parent.as_str()), (3, ""));
    assert_eq!((&call.parent, &exit.parent), (&entry.span_id, &call.span_id));
    for span in [&entry, &call, &exit] {
        assert_eq!(span.trace_id, entry.trace_id);
        assert_eq!(span.attribute("spandrel.tenant.id"), "acme");
    }
    assert_eq!(call.attribute("spandrel.join"), "context");
    assert_eq!(exit.attribute("spandrel.join"), "");
    assert!(entry.start <= call.start && call.end <= entry.end, "a call lies within its cause");
}

#[tokio::test]
async fn an_outbound_call_without_context_is_joined_to_nothing() {
    let stage = Stage::set(&[]).await;
    let other = Origin::start().await;
    let mut client = stage.client().await;
    let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Tenant-Id: acme\r\n\r\n";
    let (_seen, mut server) = through(&mut client, &stage.origin, request).await;
    let mut caller = stage.outbound_client().await;
    let target = other.address;
    let call = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let (seen, mut callee) = through(&mut caller, &other, &call).await;
    assert_eq!(values(seen.as_bytes(), "x-tenant-id"), [""; 0]);
    callee.send(OK).await;
    caller.expect(OK).await;
    server.send(OK).await;
    client.expect(OK).await;
    drop((client, caller));
    let spans = stage.spans().await;
    let call = spans.iter().find(|s| s.kind == "CLIENT").expect("a span for the call");
    assert_eq!((call.parent.as_str(), call.attribute("spandrel.join")), ("", ""));
    assert_eq!(call.attribute("spandrel.tenant.id"), "");
}

#[tokio::test]
async fn a_call_after_its_request_has_ended_is_not_joined_but_keeps_its_trace() {
    let stage = Stage::set(&[]).await;
    let other = Origin::start().await;
    let mut client = stage.client().await;
    let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Tenant-Id: acme\r\n\r\n";
    let (seen, mut server) = through(&mut client, &stage.origin, request).await;
    let trace = values(seen.as_bytes(), "traceparent").remove(0);
    server.send(OK).await;
    client.expect(OK).await;
    drop(client);
    server.expect_end().await;
    let mut caller = stage.outbound_client().await;
    let target = other.address;
    let call =
        format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\ntraceparent: {trace}\r\n\r\n");
    let (seen, mut callee) = through(&mut caller, &other, &call).await;
    assert_eq!(values(seen.as_bytes(), "x-tenant-id"), [""; 0]);
    callee.send(OK).await;
    caller.expect(OK).await;
    drop(caller);
    let spans = stage.spans().await;
    let find = |kind| spans.iter().find(|s| s.kind == kind).expect("a span of each kind");
    assert_eq!(find("CLIENT").parent, find("SERVER").span_id);
    assert_eq!(find("CLIENT").attribute("spandrel.join"), "");
}

#[tokio::test]
async fn the_default_tenant_is_written_where_the_claim_is_none() {
    let stage = Stage::set(&[("tenants.default", "public")]).await;
    let mut client = stage.client().await;
    client.send(b"GET / HTTP/1.1\r\nX-Tenant-ID: a b\r\nHost: h\r\nx-tenant-id: c\r\n\r\n").await;
    let mut server = stage.origin.accept().await;
    server
        .expect(b"GET / HTTP/1.1\r\nX-Tenant-ID: public\r\nHost: h\r\ntraceparent: TRACE\r\n\r\n")
        .await;
    server.send(OK).await;
    client.expect(OK).await;
    assert_eq!(stage.span().await.attribute("spandrel.tenant.id"), "public");
}
