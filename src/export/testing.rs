//! Stand-ins for the tests: spans without meaning, and a collector that answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{Protocol, Sink, sink};
use crate::metrics::{Registry, SPANS_CREATED};
use crate::trace::span::{Attributes, Kind, Span, SpanBatch, Status};
use crate::trace::{Flags, IdGenerator};

/// A span like any other.
pub(crate) fn span() -> Span {
    let mut ids = IdGenerator::from_seed([9; 32]);
    Span {
        trace_id: ids.trace_id(),
        span_id: ids.span_id(),
        parent: None,
        link: None,
        flags: Flags::SAMPLED,
        kind: Kind::Server,
        is_part: false,
        status: Status::Unset,
        start: 1,
        end: 2,
    }
}

/// A sink, and where the batches of its spans come out.
pub(crate) fn kept(registry: &Registry) -> (Sink, mpsc::Receiver<SpanBatch>) {
    let books = registry.books("test", crate::metrics::Kind::Spans);
    let room = sink::Room { spans: 65_536, bytes: 64 << 20 };
    let (mut sinks, intake) = sink::open(1, room, registry, &[books]);
    (sinks.remove(0), intake.only())
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
    let books = stored_books(registry);
    let on_disk = ["recovered_total", "spooled"].map(|name| number(registry, name, ""));
    assert_eq!(on_disk, [0, 0], "nothing is on disk");
    books
}

/// The same where there is a disk.
pub(crate) fn stored_books(registry: &Registry) -> [u64; 6] {
    let dropped = |reason| number(registry, "dropped_total", reason);
    let created = number(registry, "created_total", "");
    assert_eq!(SPANS_CREATED.name, "spandrel_spans_created_total");
    let exported = number(registry, "exported_total", "");
    let all = dropped("");
    let [recovered, spooled, queued] =
        ["recovered_total", "spooled", "queued"].map(|name| number(registry, name, ""));
    assert_eq!(created + recovered, exported + all + queued + spooled, "the books balance");
    let of = ["queue_full", "rejected", "unreachable", "shutdown"].map(dropped);
    let [queue_full, rejected, unreachable, shutdown] = of;
    [created, exported, queue_full, rejected, unreachable, shutdown]
}

/// What a collector does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Answers.
    Answer(Box<Answer>),
    /// Never answers.
    Hang,
    /// Closes the connection.
    Close,
}

/// An answer; the trailers come after the body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Script {
    /// An answer over HTTP.
    pub(crate) fn http(status: u16, headers: &[(&'static str, &str)], body: Vec<u8>) -> Self {
        let (headers, trailers) = (map(headers), HeaderMap::new());
        Self::Answer(Box::new(Answer { status, headers, body: body.into(), trailers }))
    }

    /// An answer over gRPC.
    pub(crate) fn grpc(response: &[u8], trailers: &[(&'static str, &str)]) -> Self {
        let length = u32::try_from(response.len()).expect("a short response");
        let body = [&[0][..], &length.to_be_bytes(), response].concat();
        let headers = map(&[("content-type", "application/grpc")]);
        let (body, trailers) = (body.into(), map(trailers));
        Self::Answer(Box::new(Answer { status: 200, headers, body, trailers }))
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
        Self::listen(protocol, script, None).await
    }

    /// One that speaks TLS as `localhost` and wants a certificate of its clients.
    pub(crate) async fn start_tls(protocol: Protocol, authority: &Authority) -> Self {
        let config = authority.server(protocol);
        Self::listen(protocol, vec![], Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(protocol: Protocol, script: Vec<Script>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
        let address = listener.local_addr().expect("it is bound");
        let (sender, seen) = mpsc::unbounded_channel();
        let script = Arc::new(Mutex::new(script.into()));
        let play = Play { protocol, script, seen: sender };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, play) = (tls.clone(), play.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, play).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, play).await;
                            }
                        }
                    }
                });
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

async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, play: Play) {
    let stream = TokioIo::new(stream);
    let protocol = play.protocol;
    let service = service_fn(move |request| respond(request, play.clone()));
    // A client that goes away is part of the play.
    let _ended = match protocol {
        Protocol::Grpc => {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(stream, service).await
        }
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
        }
    };
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn respond(request: Request<Incoming>, play: Play) -> Result<Response<Body>, std::io::Error> {
    let (head, body) = request.into_parts();
    #[expect(clippy::disallowed_methods, reason = "tests send what they mean to send")]
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let next = play.script.lock().expect("no test panics here").pop_front();
    play.seen.send(Request::from_parts(head, body)).map_err(std::io::Error::other)?;
    let script = next.unwrap_or_else(|| match play.protocol {
        Protocol::Grpc => Script::grpc(b"", &[("grpc-status", "0")]),
        Protocol::HttpProtobuf | Protocol::HttpJson => Script::http(200, &[], Vec::new()),
    });
    match script {
        Script::Answer(answer) => {
            let Answer { status, headers, body, trailers } = *answer;
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

/// A certificate authority that exists for one test, with its files in a folder that is removed
/// with it.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("randomness");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = std::env::temp_dir().join(format!("spandrel-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        Self { issuer, folder }
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.write("ca.pem", &self.issuer.pem())
    }

    /// A certificate for a client, and its key.
    pub(crate) fn client(&self) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.issue("client");
        (self.write("client.pem", &certificate.pem()), self.write("key.pem", &key.serialize_pem()))
    }

    fn server(&self, protocol: Protocol) -> ServerConfig {
        let (certificate, key) = self.issue("localhost");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::clone(self.issuer.der())).expect("our own certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .expect("there is a root");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports them")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
        if protocol == Protocol::Grpc {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        config
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("randomness");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }

    fn write(&self, name: &str, pem: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, pem).expect("a temporary file");
        path
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).expect("the folder is ours");
    }
}
