//! Stand-ins for the tests: spans without meaning, and a collector that answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{Protocol, Sink};
use crate::metrics::{Registry, SPANS_CREATED};
use crate::trace::span::{Attributes, Kind, Span, Status};
use crate::trace::{Flags, IdGenerator};

/// A span like any other.
pub(crate) fn span() -> Span {
    let mut ids = IdGenerator::from_seed([9; 32]);
    Span {
        trace_id: ids.trace_id(),
        span_id: ids.span_id(),
        parent: None,
        flags: Flags::SAMPLED,
        kind: Kind::Server,
        status: Status::Unset,
        start: 1,
        end: 2,
    }
}

/// Finishes `count` spans.
pub(crate) fn finish(sink: &mut Sink, count: usize) {
    for _ in 0..count {
        sink.finish(span(), &[b"GET"], b"", &Attributes::default());
    }
}

/// The sum of `spandrel_spans_{name}` over all series one of whose labels is `label`.
pub(crate) fn number(registry: &Registry, name: &str, label: &str) -> u64 {
    let name = format!("spandrel_spans_{name}");
    let is_wanted = |labels: &[(&str, &str)]| {
        label.is_empty() || labels.iter().any(|(_, value)| *value == label)
    };
    let samples = registry.samples();
    samples.iter().filter(|s| s.metric.name == name && is_wanted(&s.labels)).map(|s| s.value).sum()
}

/// The books as one array: created, exported, and dropped as `queue_full`, `rejected`,
/// `unreachable` and `shutdown`; they must balance with what is queued.
pub(crate) fn books(registry: &Registry) -> [u64; 6] {
    let dropped = |reason| number(registry, "dropped_total", reason);
    let created = number(registry, "created_total", "");
    assert_eq!(SPANS_CREATED.name, "spandrel_spans_created_total");
    let exported = number(registry, "exported_total", "");
    let all = dropped("");
    assert_eq!(created, exported + all + number(registry, "queued", ""), "the books balance");
    let of = ["queue_full", "rejected", "unreachable", "shutdown"].map(dropped);
    let [queue_full, rejected, unreachable, shutdown] = of;
    [created, exported, queue_full, rejected, unreachable, shutdown]
}

/// What a collector does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Answers, with the trailers after the body.
    Answer { status: u16, headers: HeaderMap, body: Bytes, trailers: HeaderMap },
    /// Never answers.
    Hang,
    /// Closes the connection.
    Close,
}

impl Script {
    /// An answer over HTTP.
    pub(crate) fn http(status: u16, headers: &[(&'static str, &str)], body: Vec<u8>) -> Self {
        let (headers, trailers) = (map(headers), HeaderMap::new());
        Self::Answer { status, headers, body: body.into(), trailers }
    }

    /// An answer over gRPC.
    pub(crate) fn grpc(response: &[u8], trailers: &[(&'static str, &str)]) -> Self {
        let length = u32::try_from(response.len()).expect("a short response");
        let body = [&[0][..], &length.to_be_bytes(), response].concat();
        let headers = map(&[("content-type", "application/grpc")]);
        Self::Answer { status: 200, headers, body: body.into(), trailers: map(trailers) }
    }
}

fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        let value = http::HeaderValue::from_str(value).expect("a header value");
        (http::HeaderName::from_static(name), value)
    };
    pairs.iter().map(pair).collect()
}

/// A request as a collector saw it.
pub(crate) type Seen = Request<Bytes>;

/// A collector on a loopback socket, which follows its script and then says yes to everything.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
}

/// What all connections of a collector share.
#[derive(Clone)]
struct Play {
    protocol: Protocol,
    script: Arc<Mutex<VecDeque<Script>>>,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Collector {
    pub(crate) async fn start(protocol: Protocol, script: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
        let address = listener.local_addr().expect("it is bound");
        let (sender, seen) = mpsc::unbounded_channel();
        let script = Arc::new(Mutex::new(script.into()));
        let play = Play { protocol, script, seen: sender };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(TokioIo::new(stream), play.clone()));
            }
        });
        Self { address, seen }
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Seen {
        self.seen.recv().await.expect("the collector runs as long as the test")
    }

    /// How many requests came that nobody has looked at.
    pub(crate) fn waiting(&self) -> usize {
        self.seen.len()
    }
}

async fn serve(stream: TokioIo<tokio::net::TcpStream>, play: Play) {
    let protocol = play.protocol;
    let service = service_fn(move |request| respond(request, play.clone()));
    // A client that goes away is part of the play.
    let _ended = match protocol {
        Protocol::Grpc => {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(stream, service).await
        }
        Protocol::HttpProtobuf => {
            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
        }
    };
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn respond(request: Request<Incoming>, play: Play) -> Result<Response<Body>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let next = play.script.lock().expect("no test panics here").pop_front();
    play.seen.send(Request::from_parts(head, body)).map_err(std::io::Error::other)?;
    let script = next.unwrap_or_else(|| match play.protocol {
        Protocol::Grpc => Script::grpc(b"", &[("grpc-status", "0")]),
        Protocol::HttpProtobuf => Script::http(200, &[], Vec::new()),
    });
    match script {
        Script::Answer { status, headers, body, trailers } => {
            let trailers = async move { (!trailers.is_empty()).then_some(Ok(trailers)) };
            let mut response = Response::new(Full::new(body).with_trailers(trailers).boxed());
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            *response.headers_mut() = headers;
            Ok(response)
        }
        Script::Hang => std::future::pending().await,
        Script::Close => Err(std::io::Error::other("closed on purpose")),
    }
}
