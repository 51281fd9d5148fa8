//! The admin listeners: is it alive, is it ready, what are its numbers and its settings.
//!
//! An ordinary HTTP program on the control thread. It only reads: nothing here can change or stop
//! anything, and requests to it are never traced.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::metrics::Registry;
use crate::net::accept::accept;

/// Connections that one admin listener serves at a time; others wait.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may last: one request and its answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of the admin listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where everything is served; loopback unless told otherwise.
    pub listen: SocketAddr,
    /// Where only probes and metrics are served, for what is outside the pod; `None` for nowhere.
    pub metrics_listen: Option<SocketAddr>,
}

/// What an admin listener shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Everything.
    All,
    /// Probes and metrics: nothing that says how spandrel is set up.
    Probes,
}

/// What is shown.
#[derive(Debug)]
pub struct State {
    /// The numbers.
    pub registry: Arc<Registry>,
    /// The effective configuration, as text.
    pub effective: String,
    is_ready: AtomicBool,
}

impl State {
    /// What is shown of a program that is not ready yet.
    #[must_use]
    pub const fn new(registry: Arc<Registry>, effective: String) -> Self {
        Self { registry, effective, is_ready: AtomicBool::new(false) }
    }

    /// Says whether traffic may be sent.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    fn answer(&self, surface: Surface, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        }
        match path {
            "/live" => text(StatusCode::OK, "live\n"),
            "/ready" if self.is_ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ready\n"),
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n"),
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.registry.render());
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, format);
                response
            }
            "/config" if surface == Surface::All => text(StatusCode::OK, self.effective.clone()),
            _ if surface == Surface::All => {
                text(StatusCode::NOT_FOUND, "there are /live, /ready, /metrics and /config\n")
            }
            _ => text(StatusCode::NOT_FOUND, "there are /live, /ready and /metrics\n"),
        }
    }
}

/// Serves a listener for as long as it is polled.
pub async fn serve(listener: TcpListener, surface: Surface, state: Arc<State>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let (stream, permit) = accept(&listener, &room).await;
        drop(tokio::spawn(answer(stream, surface, Arc::clone(&state), permit)));
    }
}

async fn answer(
    stream: TcpStream,
    surface: Surface,
    state: Arc<State>,
    _permit: OwnedSemaphorePermit,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = state.answer(surface, request.method(), request.uri().path());
        async { Ok::<_, Infallible>(response) }
    });
    // One request a connection, within a time: nobody can keep the others out.
    let served = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection failed"),
        Err(error) => tracing::debug!(%error, "admin connection took too long"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let format = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, format);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &State, surface: Surface, method: &Method, path: &str) -> u16 {
        state.answer(surface, method, path).status().as_u16()
    }

    #[test]
    fn readiness_follows_what_was_said_and_liveness_does_not() {
        let state = State::new(Arc::default(), String::new());
        assert_eq!(status(&state, Surface::All, &Method::GET, "/ready"), 503);
        state.set_ready(true);
        assert_eq!(status(&state, Surface::All, &Method::GET, "/ready"), 200);
        state.set_ready(false);
        assert_eq!(status(&state, Surface::All, &Method::GET, "/ready"), 503);
        assert_eq!(status(&state, Surface::All, &Method::GET, "/live"), 200);
    }

    #[test]
    fn the_settings_are_shown_on_the_admin_listener_only() {
        let state = State::new(Arc::default(), String::new());
        assert_eq!(status(&state, Surface::All, &Method::GET, "/config"), 200);
        assert_eq!(status(&state, Surface::Probes, &Method::GET, "/config"), 404);
        assert_eq!(status(&state, Surface::Probes, &Method::GET, "/metrics"), 200);
    }

    #[test]
    fn nothing_can_be_changed_from_here() {
        let state = State::new(Arc::default(), String::new());
        assert_eq!(status(&state, Surface::All, &Method::POST, "/ready"), 405);
    }
}
