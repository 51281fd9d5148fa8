//! The connections of servers that answer by one function: bounded in number and in time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tonic::Status;

use super::linger::Lingering;
use super::{Intake, Receiver, grpc, http as otlp_http};
use crate::net::accept::accept;

/// Connections that one listener serves at a time; others wait.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may be silent between two requests, and how long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a silent HTTP/2 connection is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// Streams open at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;

/// Serves every connection of a listener, each in a task of its own, for as long as it is polled.
pub async fn serve_all<A, F, B>(listener: &TcpListener, answer: A)
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

/// Takes in OTLP, over HTTP and over gRPC.
pub(super) async fn otlp<R: Receiver>(listener: &TcpListener, intake: &Intake<R>) {
    let intake = intake.clone();
    serve_all(listener, move |request| take_in(intake.clone(), request)).await;
}

async fn take_in<R: Receiver>(
    intake: Intake<R>,
    request: Request<Incoming>,
) -> Result<Response<tonic::body::Body>, Infallible> {
    let response = if grpc::is_grpc(request.headers()) {
        grpc::answer(&intake, request).await
    } else {
        otlp_http::answer(&intake, request).await.map(tonic::body::Body::new)
    };
    if is_refusal(&response) {
        intake.receiver.note_refusal();
    }
    Ok(response)
}

/// Of gRPC, only refusals have their status among the headers; it comes last otherwise.
fn is_refusal<B>(response: &Response<B>) -> bool {
    !response.status().is_success() || response.headers().contains_key(Status::GRPC_STATUS)
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
        tracing::debug!(error, "connection failed");
    }
}
