//! The receiver that both sides send to: a process of its own, so that its time is not theirs.
//!
//! It speaks HTTP/1.1 and HTTP/2 on one port, decodes what comes as OTLP does, and counts spans.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

/// Set in the process that is the receiver.
const ROLE: &str = "SPANDREL_BENCH_RECEIVER";
/// An empty message of gRPC.
const EMPTY: &[u8] = &[0; 5];

/// The receiver, as the benchmark sees it.
#[derive(Debug)]
pub(super) struct Receiver {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
}

impl Receiver {
    /// Starts this program again, as the receiver.
    pub(super) fn start() -> Self {
        let program = std::env::current_exe().expect("a program knows where it is");
        let mut child = Command::new(program)
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the receiver starts");
        let asks = child.stdin.take().expect("it is piped");
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("the receiver says its port");
        let port: u16 = line.trim().parse().expect("a port");
        Self { child, asks, answers, address: (Ipv4Addr::LOCALHOST, port).into() }
    }

    /// How many spans have come.
    pub(super) fn spans(&mut self) -> u64 {
        self.asks.write_all(b"\n").expect("the receiver runs");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the receiver answers");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().expect("the receiver runs");
        self.child.wait().expect("it was killed");
    }
}

/// Is the receiver, in the process that was started as such; else does nothing.
pub(super) fn play() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let count = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&count);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    println!("{port}");
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            println!("{}", told.load(Ordering::Relaxed));
        }
        std::process::exit(0);
    });
    runtime.block_on(serve(listener, count));
}

async fn serve(listener: tokio::net::TcpListener, count: Arc<AtomicU64>) {
    loop {
        let (stream, _) = listener.accept().await.expect("the port stays");
        let count = Arc::clone(&count);
        let service = service_fn(move |request| answer(request, Arc::clone(&count)));
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // How a connection ends is the client's affair.
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the only client is the benchmark")]
async fn answer(
    request: Request<Incoming>,
    count: Arc<AtomicU64>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let is_grpc = request.uri().path().ends_with("/Export");
    let body = request.into_body().collect().await.expect("the client sends all of it").to_bytes();
    let message = if is_grpc { body.slice(EMPTY.len()..) } else { body };
    let request = ExportTraceServiceRequest::decode(message).expect("it is OTLP");
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
    count.fetch_add(spans as u64, Ordering::Relaxed);
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    let kind = if is_grpc { "application/grpc" } else { "application/x-protobuf" };
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    if is_grpc {
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let body = Full::new(Bytes::from_static(EMPTY));
        *response.body_mut() = body.with_trailers(async { Some(Ok(trailers)) }).boxed();
    }
    Ok(response)
}
