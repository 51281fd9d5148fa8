//! The program itself: its exit codes, what it says, and its signals.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use tokio::task::spawn_blocking;

use crate::support::collector::Collector;
use crate::support::peer::{Closed, Origin, Peer};
use crate::support::program::Program;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A file of settings that is removed with the test.
struct File(PathBuf);

impl File {
    fn write(name: &str, text: &str) -> Self {
        let name = format!("spandrel-it-{}-{name}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a folder for temporary files");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("the file is ours");
    }
}

#[test]
fn an_address_in_use_is_one_clear_sentence_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a loopback socket");
    let address = taken.local_addr().expect("it is bound").to_string();
    let free = "127.0.0.1:0";
    for (inbound, admin, key) in
        [(address.as_str(), free, "inbound.listen"), (free, address.as_str(), "admin.listen")]
    {
        let arguments = ["run", "--app", "9", "--inbound", inbound, "--admin", admin];
        let left = Program::start(&arguments, &[]).end();
        let sentence = format!(
            "spandrel: {key}: {address} is in use, give another address or stop what uses it"
        );
        assert_eq!((left.code, left.err, left.out.as_str()), (Some(1), vec![sentence], ""));
    }
}

#[test]
fn a_wrong_file_is_told_by_file_line_and_key_and_exit_code_2() {
    let text = "inbound:\n  app: 8080\n  lisen: 1\nlimits:\n  requests: many\n";
    let file = File::write("wrong", text);
    for command in ["run", "check"] {
        let left = Program::start(&[command, "-c", file.path()], &[]).end();
        assert_eq!((left.code, left.out.as_str()), (Some(2), ""));
        let err = left.err.join("\n");
        let (unknown, wrong) = (format!("{}:3: ", file.path()), format!("{}:5: ", file.path()));
        assert!(err.contains(&unknown) && err.contains("inbound.lisen"), "{err}");
        assert!(err.contains("inbound.listen"), "the nearest key is named: {err}");
        assert!(err.contains(&wrong) && err.contains("limits.requests"), "{err}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [&["run", "--port", "1"][..], &["walk"], &[], &["run", "--app", "x y"]] {
        let left = Program::start(arguments, &[]).end();
        assert_eq!(left.code, Some(2), "{arguments:?} {left:?}");
        assert!(!left.err.is_empty());
    }
    let left = Program::start(&["run", "-c", "/nowhere/spandrel.yaml"], &[]).end();
    assert_eq!(left.code, Some(2));
    assert!(left.err.join("\n").contains("/nowhere/spandrel.yaml"), "{left:?}");
}

#[test]
fn check_prints_every_value_with_its_origin() {
    let file = File::write("check", "inbound.app: 8080\nlimits:\n  requests: 7\nworkers: 3\n");
    let variables = [("OTEL_SERVICE_NAME", "orders"), ("SPANDREL_WORKERS", "2")];
    let arguments = ["check", "-c", file.path(), "--otlp", "http://c:4318"];
    let left = Program::start(&arguments, &variables).end();
    assert_eq!((left.code, left.err.as_slice()), (Some(0), &[][..]));
    let at = |line: usize| format!("{}:{line}", file.path());
    for (key, value, origin) in [
        ("workers", "2", "SPANDREL_WORKERS"),
        ("name", "orders", "OTEL_SERVICE_NAME"),
        ("endpoint", "http://c:4318", "--otlp"),
        ("requests", "7", &at(3)),
        ("head_timeout", "15s", "default"),
    ] {
        let start = format!("{key}: {value}");
        let found = left.out.lines().any(|line| {
            let line = line.trim_start();
            let line = line.rsplit_once('.').filter(|_| line.contains(": ")).map_or(line, |_| line);
            line.contains(&start) && line.ends_with(origin)
        });
        assert!(found, "{start} # {origin} is missing from\n{}", left.out);
    }
}

/// The address behind `key=` in a line of the log.
fn address(line: &str, key: &str) -> SocketAddr {
    let start = line.find(&format!("{key}=")).map(|at| at + key.len() + 1);
    let rest = start.and_then(|at| line.get(at..)).expect("the line tells it");
    let rest = rest.trim_start_matches('"');
    let end = rest.find([' ', '"']).unwrap_or(rest.len());
    rest.get(..end).and_then(|text| text.parse().ok()).expect("an address")
}

/// A program in front of `app`, ready.
async fn running(app: SocketAddr, otlp: SocketAddr) -> (Program, SocketAddr) {
    let starting = spawn_blocking(move || {
        let (app, otlp) = (app.to_string(), format!("http://{otlp}"));
        let free = "127.0.0.1:0";
        let program = Program::start(
            &["run", "--inbound", free, "--admin", free, "--app", &app, "--otlp", &otlp],
            &[("OTEL_BSP_SCHEDULE_DELAY", "50")],
        );
        let line = program.line("listening");
        (program, address(&line, "inbound"), address(&line, "admin"))
    });
    let (program, inbound, admin) = starting.await.expect("it listens");
    let mut probe = Peer::connect(admin).await;
    probe.send(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(probe.head().await.starts_with(b"HTTP/1.1 200 OK\r\n"));
    (program, inbound)
}

#[test]
fn a_signal_is_honoured_from_the_moment_that_it_listens() {
    // A moment is short: one attempt alone would seldom find it unguarded.
    for _ in 0..30 {
        let free = "127.0.0.1:0";
        let arguments = ["run", "--inbound", free, "--admin", free, "--app", "9"];
        let program = Program::start(&arguments, &[]);
        program.line("listening");
        program.signal("-TERM");
        assert_eq!(program.end().code, Some(0));
    }
}

#[tokio::test]
async fn sigterm_finishes_what_runs_sends_the_spans_and_is_exit_code_0() {
    let (origin, collector) = (Origin::start().await, Collector::start().await);
    for signal in ["-TERM", "-INT"] {
        let (program, inbound) = running(origin.address, collector.address).await;
        let mut client = Peer::connect(inbound).await;
        client.send(GET).await;
        let mut server = origin.accept().await;
        server.head().await;
        program.signal(signal);
        let ending = spawn_blocking(move || {
            program.line("draining");
            program
        });
        let program = ending.await.expect("it drains");
        server.send(OK).await;
        client.expect(OK).await;
        client.expect_end().await;
        drop(client);
        let left = spawn_blocking(move || program.end()).await.expect("it ends");
        assert_eq!((left.code, left.out.as_str()), (Some(0), ""), "{left:?}");
    }
    assert_eq!(collector.received().len(), 2);
}

#[tokio::test]
async fn a_failure_of_the_upstream_is_one_log_line_with_where_to_and_which_trace() {
    let (closed, collector) = (Closed::hold(), Collector::start().await);
    let (program, inbound) = running(closed.address, collector.address).await;
    let mut client = Peer::connect(inbound).await;
    client.send(GET).await;
    assert!(client.rest().await.starts_with(b"HTTP/1.1 502 "));
    let trace_id = collector.spans(1).await[0].trace_id.clone();
    let upstream = closed.address.to_string();
    let told = spawn_blocking(move || {
        let line = program.line("request failed");
        program.signal("-TERM");
        (line, program.end())
    });
    let (line, left) = told.await.expect("it ends");
    for part in ["inbound", "upstream", "connection_refused", &upstream, &trace_id] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!left.err.iter().any(|line| line.contains("request failed")), "{left:?}");
}

#[tokio::test]
async fn a_second_signal_means_now_and_is_an_end_that_was_asked_for() {
    let (origin, collector) = (Origin::start().await, Collector::start().await);
    let (program, inbound) = running(origin.address, collector.address).await;
    let mut client = Peer::connect(inbound).await;
    client.send(GET).await;
    let mut server = origin.accept().await;
    server.head().await;
    let left = spawn_blocking(move || {
        program.signal("-TERM");
        program.line("draining");
        program.signal("-TERM");
        program.end()
    });
    let left = left.await.expect("it ends");
    assert_eq!(left.code, Some(0), "{left:?}");
    let spans = collector.received();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].attribute("spandrel.truncated"), "shutdown");
}

#[tokio::test]
async fn a_signal_while_the_last_spans_are_sent_ends_that_too() {
    let (origin, collector) = (Origin::start().await, Collector::hanging().await);
    let (program, inbound) = running(origin.address, collector.address).await;
    let mut client = Peer::connect(inbound).await;
    client.send(GET).await;
    let mut server = origin.accept().await;
    server.head().await;
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.head().await;
    collector.asked().await;
    let left = spawn_blocking(move || {
        program.signal("-TERM");
        program.line("sending the last spans");
        program.signal("-TERM");
        program.end()
    });
    let left = left.await.expect("it ends");
    assert_eq!(left.code, Some(0), "{left:?}");
    assert!(left.err.iter().any(|line| line.contains("the last spans are lost")), "{left:?}");
}
