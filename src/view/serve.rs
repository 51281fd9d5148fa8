//! The connections of the backend: bounded in number and in time.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tonic::Status;

use super::linger::Lingering;
use super::receive::{grpc, http as otlp_http};
use super::{Backend, api, page};
use crate::net::accept::accept;

/// Connections that one listener serves at a time; others wait.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may be silent between two requests, and how long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a silent HTTP/2 connection is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// Streams open at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;

/// Serves the page and the API for as long as it is polled.
pub(super) async fn page(listener: &TcpListener, backend: &Arc<Backend>) {
    let is_private = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let backend = Arc::clone(backend);
    serve_all(listener, move |request| {
        let response = show(&backend, &request, is_private);
        async { Ok(response) }
    })
    .await;
}

/// Receives OTLP, over HTTP and over gRPC, for as long as it is polled.
pub(super) async fn otlp(listener: &TcpListener, backend: &Arc<Backend>) {
    let backend = Arc::clone(backend);
    serve_all(listener, move |request| receive(Arc::clone(&backend), request)).await;
}

/// Serves every connection of a listener, each in a task of its own.
async fn serve_all<A, F, B>(listener: &TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let (stream, permit) = accept(listener, &room).await;
        let answer = answer.clone();
        drop(tokio::spawn(async move {
            serve(stream, answer).await;
            drop(permit);
        }));
    }
}

async fn receive(
    backend: Arc<Backend>,
    request: Request<Incoming>,
) -> Result<Response<tonic::body::Body>, Infallible> {
    let response = if grpc::is_grpc(request.headers()) {
        grpc::answer(&backend, request).await
    } else {
        otlp_http::answer(&backend, request).await.map(tonic::body::Body::new)
    };
    if is_refusal(&response) {
        backend.state().refused_requests += 1;
    }
    Ok(response)
}

/// Of gRPC, only refusals have their status among the headers; it comes last otherwise.
fn is_refusal<B>(response: &Response<B>) -> bool {
    !response.status().is_success() || response.headers().contains_key(Status::GRPC_STATUS)
}

/// A page of a stranger's may not read from us by giving our address a name of its own: on
/// loopback, only names of this machine are answered.
fn show(backend: &Backend, request: &Request<Incoming>, is_private: bool) -> Response<Full<Bytes>> {
    if is_private && !is_ours(request) {
        let mut response =
            Response::new(Full::from("ask for this page at 127.0.0.1 or localhost\n"));
        *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        return response;
    }
    let mut response =
        page::file(request.uri().path()).unwrap_or_else(|| api::answer(backend, request));
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn is_ours(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(http::uri::Authority::as_str).or(host);
    let Some(Ok(authority)) = host.map(str::parse::<http::uri::Authority>) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

async fn serve<F, B>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Small answers must not wait for one another; where the option fails the answers still come.
    stream.set_nodelay(true).ok();
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL);
    let stream = TokioIo::new(Lingering::new(stream));
    if let Err(error) = server.serve_connection(stream, service_fn(answer)).await {
        tracing::debug!(error, "connection of the backend failed");
    }
}
