//! What the services share as HTTP programs: accepting, reading and answering.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Connections that a service has at a time; others wait.
const MAX_CONNECTIONS: usize = 256;
/// The longest body that is read as a whole, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How long accepting pauses when the system has nothing left to give.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Whatever a body can fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A service that answers over HTTP/1.1.
pub trait Site: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves a site; its connections end when this is dropped.
pub async fn serve(listener: TcpListener, site: impl Site) {
    let site = Arc::new(site);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    // Failing to set the option costs latency, never correctness.
                    stream.set_nodelay(true).ok();
                    let site = Arc::clone(&site);
                    let service = service_fn(move |request| {
                        let site = Arc::clone(&site);
                        async move { Ok::<_, Infallible>(site.answer(request).await) }
                    });
                    let io = TokioIo::new(stream);
                    connections.spawn(http1::Builder::new().serve_connection(io, service));
                }
                Err(_exhausted) => tokio::time::sleep(EXHAUSTED_PAUSE).await,
            },
            // A connection that failed is the business of who made it.
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// Reads a body whole.
///
/// # Errors
/// When it breaks off, or is too long.
pub async fn read(body: Incoming) -> Result<Bytes, BoxError> {
    #[expect(clippy::disallowed_methods, reason = "the body is limited")]
    let body = Limited::new(body, MAX_BODY).collect().await?;
    Ok(body.to_bytes())
}

/// An answer in JSON.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    answer(status, "application/json", whole(value.to_string()))
}

/// An answer in words.
pub fn words(status: StatusCode, text: &'static str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", whole(text))
}

/// An answer.
pub fn answer(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
