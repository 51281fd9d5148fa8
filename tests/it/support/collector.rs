//! A collector that takes spans over OTLP/HTTP, or does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::soon;

/// A span as a backend sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    /// `SERVER`, `CLIENT` or `INTERNAL`.
    pub(crate) kind: &'static str,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    /// Empty at the root of a trace.
    pub(crate) parent: String,
    /// The W3C flags.
    pub(crate) flags: u32,
    pub(crate) trace_state: String,
    pub(crate) is_error: bool,
    pub(crate) start: u64,
    pub(crate) end: u64,
    attributes: BTreeMap<String, String>,
}

impl Span {
    /// The attribute's value as text; empty if there is none.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// The sockets of all collectors. A sidecar that a test leaves behind may still be sending when the
/// test has ended, and must not come to another test that was given the same port.
static HELD: Mutex<Vec<std::net::TcpListener>> = Mutex::new(Vec::new());

/// A collector on a loopback socket, for as long as the test runs.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    spans: Mutex<Vec<Span>>,
    changed: Notify,
    /// Requests that are never answered.
    asked: Notify,
    is_hanging: AtomicBool,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
        Self::on(listener)
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let listener = listener.into_std().expect("a listener");
        let held = listener.try_clone().expect("a listener");
        HELD.lock().unwrap_or_else(PoisonError::into_inner).push(held);
        let listener = TcpListener::from_std(listener).expect("a listener");
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, shared }
    }

    /// One that takes requests and never answers.
    pub(crate) async fn hanging() -> Self {
        let collector = Self::start().await;
        collector.shared.is_hanging.store(true, Ordering::Relaxed);
        collector
    }

    /// Waits until a hanging collector has been asked.
    pub(crate) async fn asked(&self) {
        soon("a batch of spans", self.shared.asked.notified()).await;
    }

    /// Waits until there are so many spans, and gives all there are.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Span> {
        let enough = async {
            loop {
                let changed = self.shared.changed.notified();
                let spans = self.received();
                if spans.len() >= count {
                    return spans;
                }
                changed.await;
            }
        };
        soon(&format!("the arrival of {count} spans"), enough).await
    }

    /// The spans there are.
    pub(crate) fn received(&self) -> Vec<Span> {
        self.shared.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if shared.is_hanging.load(Ordering::Relaxed) {
        shared.asked.notify_one();
        std::future::pending::<()>().await;
    }
    #[expect(clippy::disallowed_methods, reason = "the sidecar sends what a test made it send")]
    let body = request.into_body().collect().await?.to_bytes();
    let decoded = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let mut spans = shared.spans.lock().unwrap_or_else(PoisonError::into_inner);
    for resource in decoded.resource_spans {
        let about = resource.resource.map(|r| texts(&r.attributes)).unwrap_or_default();
        let service = about.get("service.name").cloned().unwrap_or_default();
        let all = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        spans.extend(all.map(|span| read(span, &service)));
    }
    drop(spans);
    shared.changed.notify_waiters();
    Ok(Response::new(Full::default()))
}

fn read(span: &proto::Span, service: &str) -> Span {
    Span {
        service: service.to_owned(),
        name: span.name.clone(),
        kind: match span.kind() {
            proto::span::SpanKind::Server => "SERVER",
            proto::span::SpanKind::Client => "CLIENT",
            proto::span::SpanKind::Internal => "INTERNAL",
            _ => "another",
        },
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        flags: span.flags & 0xff,
        trace_state: span.trace_state.clone(),
        is_error: span.status.as_ref().is_some_and(|s| s.code == 2),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        attributes: texts(&span.attributes),
    }
}

fn texts(pairs: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        other => format!("{other:?}"),
    };
    let value = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        pair.value.as_ref().and_then(|v| v.value.as_ref()).map(text).unwrap_or_default()
    };
    pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
