//! The commands that read traces, against a server that speaks `/api/v3/*` by rote, and against
//! the backend that speaks it for real.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use spandrel::view::{Config, View};
use tokio::task::spawn_blocking;

use crate::support::peer::{Closed, Origin, Peer};
use crate::support::soon;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "1af7651916cd43dd8448eb211c80319c";

/// What the answers of Jaeger say where there is nothing.
const NONE: &str = r#"{"error":{"httpCode":404,"message":"No traces found"}}"#;

/// What a command leaves.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Left {
    /// The output of a command that went well.
    fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// The output of a command that went well, as JSON.
    fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.good()).expect("JSON")
    }
}

/// Runs spandrel to its end, with `--from` this URL.
async fn spandrel(from: &str, line: &str) -> Left {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spandrel"));
    command.args(line.split(' ')).args(["--from", from]).env_clear().stdin(Stdio::null());
    let run = soon("the end of the command", spawn_blocking(move || command.output())).await;
    let Output { status, stdout, stderr } = run.expect("it is run").expect("it is built");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Left { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// A server that answers each request as it is told, and keeps what was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One that gives the path and query of a request to `answer`, for a status and a body.
    async fn start(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let origin = Origin::start().await;
        let url = format!("http://{}", origin.address);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let mut peer = origin.accept().await;
                let head = String::from_utf8(peer.head().await).expect("UTF-8");
                let path = head.split(' ').nth(1).expect("a request").to_owned();
                log.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
                let (status, body) = answer(&path);
                let length = body.len();
                peer.send(format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n\
                     {body}"
                ))
                .await;
            }
        });
        Self { url, asked }
    }

    /// One that gives the same to everybody.
    async fn always(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| (status, body.clone())).await
    }

    /// One that has the two traces of the shop.
    async fn shop() -> Self {
        Self::start(|path| match path.split('?').next() {
            Some("/api/v3/services") => (200, r#"{"services":["orders","gateway"]}"#.to_owned()),
            Some("/api/v3/traces") => (200, checkout() + &tick()),
            Some(path) if path.ends_with(TRACE) => (200, checkout()),
            _ => (404, NONE.to_owned()),
        })
        .await
    }

    async fn run(&self, line: &str) -> Left {
        spandrel(&self.url, line).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A span as OTLP in JSON has it, under its resource: from and to are milliseconds of today.
fn span(trace: &str, id: u64, parent: u64, of: &str, kind: u8, times: (u64, u64)) -> String {
    let epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let today = epoch.expect("it is after 1970").as_secs() / 86_400 * 86_400_000;
    let time = |milliseconds: u64| (today + milliseconds) * 1_000_000;
    let (service, name) = of.split_once(' ').expect("a service and a name");
    let parent = if parent == 0 { String::new() } else { format!("{parent:016x}") };
    let code = if name.contains("orders") { 2 } else { 0 };
    format!(
        r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"
        }}}}]}},"scopeSpans":[{{"scope":{{}},"spans":[{{"traceId":"{trace}","spanId":"{id:016x}",
        "parentSpanId":"{parent}","name":"{name}","kind":{kind},"startTimeUnixNano":"{}",
        "endTimeUnixNano":"{}","attributes":[{{"key":"list","value":{{"arrayValue":{{}}}}}}],
        "status":{{"code":{code}}}}}]}}]}}"#,
        time(times.0),
        time(times.1)
    )
}

fn answer(spans: &[String]) -> String {
    format!(r#"{{"result":{{"resourceSpans":[{}]}}}}"#, spans.join(","))
}

/// A trace of two services, which fails in the second.
fn checkout() -> String {
    answer(&[
        span(TRACE, 1, 0, "gateway GET /checkout", 2, (100, 612)),
        span(TRACE, 2, 1, "gateway POST", 3, (101, 611)),
        span(TRACE, 3, 2, "orders POST /orders", 2, (131, 581)),
    ])
}

/// An older trace, of a service whose names mean harm.
fn tick() -> String {
    answer(&[span(OTHER, 9, 0, "cron\\u001b[2J tick\\n", 1, (10, 20))])
}

#[tokio::test]
async fn services_are_listed_in_both_ways() {
    let server = Server::shop().await;
    assert_eq!(server.run("trace services").await.good(), "gateway\norders\n");
    let json = server.run("trace services --json").await.json();
    assert_eq!(json, serde_json::json!({ "services": ["gateway", "orders"] }));
}

#[tokio::test]
async fn traces_are_listed_newest_first_and_do_no_harm() {
    let server = Server::shop().await;
    let out = server.run("trace list").await.good();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[1].contains("512 ms  gateway GET /checkout ") && lines[1].ends_with(TRACE));
    assert!(lines[2].contains("cron\u{fffd}[2J tick\u{fffd} ") && lines[2].ends_with(OTHER));
    assert!(!out.contains('\x1b'));
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    for part in ["query.num_traces=20", "query.start_time_min=", "query.start_time_max="] {
        assert!(asked[0].contains(part), "{asked:?}");
    }
}

#[tokio::test]
async fn what_is_listed_can_be_chosen() {
    let server = Server::shop().await;
    let ids = |left: Left| -> Vec<String> {
        let json = left.json();
        let traces = json["traces"].as_array().expect("a list").iter();
        traces.map(|trace| trace["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(server.run("trace list --json").await), [TRACE, OTHER]);
    assert_eq!(ids(server.run("trace list --json --limit 1").await), [TRACE]);
    assert_eq!(ids(server.run("trace list --json --errors").await), [TRACE]);
    assert_eq!(ids(server.run("trace list --json --min 500ms").await), [TRACE]);
    assert_eq!(ids(server.run("trace list --json --min 513ms").await), [""; 0]);
    server.run("trace list --service a&b --min 500ms").await.good();
    let asked = server.asked();
    assert!(asked[3].contains("&query.duration_min=500ms"), "{asked:?}");
    let last = asked.last().expect("it was asked");
    assert!(last.contains("query.service_name=a%26b&") && !last.contains("duration"), "{last}");
}

#[tokio::test]
async fn a_trace_is_drawn_with_the_hop_to_look_at() {
    let server = Server::shop().await;
    let out = server.run(&format!("trace show {TRACE}")).await.good();
    for part in [
        format!("Trace {TRACE}\n").as_str(),
        "  512 ms  3 spans  2 services  1 error\n",
        "\n└ gateway POST ",
        "\n  └ orders POST /orders ",
        "\norders is the bottleneck: ",
    ] {
        assert!(out.contains(part), "{part} is missing from\n{out}");
    }
    let json = server.run(&format!("trace show --json {TRACE}")).await.json();
    assert_eq!((&json["id"], &json["verdict"]["service"]), (&TRACE.into(), &"orders".into()));
    assert_eq!(json["spans"][2]["self_us"], 450_000.0);
}

#[tokio::test]
async fn the_graph_is_drawn_in_both_languages() {
    let server = Server::shop().await;
    let out = server.run("graph").await.good();
    assert!(out.starts_with("flowchart LR\n") && !out.contains('\x1b'), "{out}");
    assert!(server.run("graph --format dot").await.good().starts_with("digraph "));
    let json = server.run("graph --json --limit 7").await.json();
    let edges = json["edges"].as_array().expect("a list");
    assert_eq!(edges.len(), 1, "{json}");
    assert_eq!((&edges[0]["from"], &edges[0]["to"]), (&"gateway".into(), &"orders".into()));
    assert_eq!((&edges[0]["calls"], &edges[0]["errors"]), (&1.into(), &0.into()));
    assert!(server.asked()[2].contains("query.num_traces=7&") || server.asked()[2].ends_with("=7"));
}

/// Some stores of Jaeger refuse a search without a service, and others find nothing.
#[tokio::test]
async fn who_wants_a_service_is_asked_for_each() {
    for (status, body) in
        [(400, r#"{"error":{"message":"service name is required"}}"#), (404, NONE)]
    {
        let server = Server::start(move |path| match path {
            "/api/v3/services" => (200, r#"{"services":["gateway","orders","cron"]}"#.to_owned()),
            path if path.contains("service_name=cron") => (200, tick()),
            path if path.contains("service_name=") => (200, checkout()),
            _ => (status, body.to_owned()),
        })
        .await;
        let json = server.run("trace list --json").await.json();
        let traces = json["traces"].as_array().expect("a list");
        assert_eq!(traces.len(), 2, "each trace is there once: {json}");
        assert_eq!(traces[0]["spans"], 3, "and whole");
        assert_eq!(server.asked().len(), 5);
    }
}

#[tokio::test]
async fn nothing_to_list_is_said() {
    let server = Server::always(404, NONE).await;
    let left = server.run("trace list").await.good();
    assert_eq!(left, format!("No such traces of the last 7 days at {}.\n", server.url));
    let json = server.run("trace list --json").await.json();
    assert_eq!(json, serde_json::json!({ "traces": [] }));
}

#[tokio::test]
async fn failures_are_one_sentence_and_exit_code_1() {
    let refused = r#"{"error":"too\u001b[2J many"}"#;
    for (status, body, parts) in [
        (404, NONE, [TRACE, "is not kept at"]),
        (200, r#"{"result":{}}"#, [TRACE, "is not kept at"]),
        (404, "404 page not found", ["neither `spandrel view` nor Jaeger", "--from"]),
        (200, "<!DOCTYPE html>", ["neither `spandrel view` nor Jaeger", "--from"]),
        (503, refused, ["status 503: too\u{fffd}[2J many", "refuses"]),
        (302, "", ["status 302", "refuses"]),
    ] {
        let server = Server::always(status, body).await;
        let left = server.run(&format!("trace show {TRACE}")).await;
        assert_eq!((left.code, left.out.as_str()), (Some(1), ""), "{left:?}");
        assert_eq!(left.err.lines().count(), 1, "{left:?}");
        for part in parts {
            assert!(left.err.contains(part), "{part} is not in {left:?}");
        }
        assert!(left.err.contains(&server.url), "{left:?}");
    }
}

#[tokio::test]
async fn an_address_that_nobody_listens_on_is_told_with_what_to_do() {
    let closed = Closed::hold();
    let url = format!("http://{}", closed.address);
    for line in ["trace services", "trace list", "graph"] {
        let left = spandrel(&url, line).await;
        assert_eq!((left.code, left.out.as_str()), (Some(1), ""), "{left:?}");
        let start = format!("spandrel: nothing answers at {url}: start `spandrel view`, or name ");
        assert!(left.err.starts_with(&start), "{left:?}");
    }
}

#[tokio::test]
async fn questions_that_are_wrong_are_exit_code_2_and_ask_nobody() {
    let server = Server::shop().await;
    for line in ["trace show abc123", "trace list --limit 0", "trace list --min soon", "trace"] {
        let left = server.run(line).await;
        assert_eq!((left.code, left.out.as_str()), (Some(2), ""), "{line}: {left:?}");
    }
    for url in ["jaeger:16686", "ftp://jaeger", "http://user:password@jaeger", ""] {
        let left = spandrel(url, "trace services").await;
        assert_eq!(left.code, Some(2), "{url}: {left:?}");
    }
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn an_url_may_have_a_path() {
    let server = Server::start(|path| match path {
        "/jaeger/ui/api/v3/services" => (200, r#"{"services":["a"]}"#.to_owned()),
        _ => (404, "nothing".to_owned()),
    })
    .await;
    for end in ["", "/"] {
        let url = format!("{}/jaeger/ui{end}", server.url);
        assert_eq!(spandrel(&url, "trace services").await.good(), "a\n");
    }
}

#[tokio::test]
async fn the_backend_of_our_own_is_read_as_jaeger_is() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config { page: Some(any), grpc: any, http: any, memory: 64 << 20 };
    let view = View::bind(config).expect("loopback sockets");
    let addresses = view.addresses();
    tokio::spawn(view.run(std::future::pending()));
    let shop = checkout();
    let body = shop.strip_prefix(r#"{"result":"#).and_then(|b| b.strip_suffix('}')).expect("so");
    let body = body.replace("{\"arrayValue\":{}}", "{\"intValue\":\"7\"}");
    let mut peer = Peer::connect(addresses.http).await;
    let length = body.len();
    peer.send(format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    assert!(peer.head().await.starts_with(b"HTTP/1.1 200 "));
    let url = format!("http://{}", addresses.page.expect("it is served"));
    assert_eq!(spandrel(&url, "trace services").await.good(), "gateway\norders\n");
    assert!(spandrel(&url, "trace list").await.good().contains(TRACE));
    let drawn = spandrel(&url, &format!("trace show {TRACE}")).await.good();
    assert!(drawn.contains("orders is the bottleneck"), "{drawn}");
    let left = spandrel(&url, &format!("trace show {OTHER}")).await;
    assert_eq!(left.code, Some(1), "{left:?}");
    let graph = spandrel(&url, "graph").await.good();
    assert!(graph.contains(" s0 -->|\"1 call"), "{graph}");
    for line in ["trace list --limit 2000", "trace list --service x --min 1s --errors"] {
        spandrel(&url, line).await.good();
    }
}
