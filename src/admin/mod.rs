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
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::doctor::Doctor;
use crate::metrics::Registry;
use crate::net::accept::accept;
use crate::reach::Reach;

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
    /// What is known of trace context.
    pub doctor: Doctor,
    /// How the destinations are reached.
    pub reach: Reach,
    is_ready: AtomicBool,
}

impl State {
    /// What is shown of a program that is not ready yet.
    #[must_use]
    pub const fn new(
        registry: Arc<Registry>,
        effective: String,
        doctor: Doctor,
        reach: Reach,
    ) -> Self {
        Self { registry, effective, doctor, reach, is_ready: AtomicBool::new(false) }
    }

    /// Says whether traffic may be sent.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    fn answer<B>(&self, surface: Surface, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        }
        match request.uri().path() {
            "/live" => text(StatusCode::OK, "live\n"),
            "/ready" => self.ready(request, surface),
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.registry.render());
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, format);
                response
            }
            "/config" if surface == Surface::All => text(StatusCode::OK, self.effective.clone()),
            "/context" if surface == Surface::All => self.context(wants_json(request)),
            _ if surface == Surface::All => text(
                StatusCode::NOT_FOUND,
                "there are /live, /ready, /metrics, /config and /context\n",
            ),
            _ => text(StatusCode::NOT_FOUND, "there are /live, /ready and /metrics\n"),
        }
    }

    /// Whether traffic may be sent, and with `?verbose` or as JSON how the destinations are
    /// reached, which readiness does not depend on.
    fn ready<B>(&self, request: &Request<B>, surface: Surface) -> Response<Full<Bytes>> {
        let is_ready = self.is_ready.load(Ordering::Relaxed);
        let (status, word) = match is_ready {
            true => (StatusCode::OK, "ready"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping"),
        };
        let is_verbose = request.uri().query() == Some("verbose");
        let all = match surface {
            Surface::All => self.reach.all(),
            Surface::Probes => Vec::new(),
        };
        if wants_json(request) {
            let destinations: Vec<_> = all
                .iter()
                .map(|standing| {
                    json!({
                        "name": standing.destination,
                        "state": standing.state.as_str(),
                        "since": humantime::format_rfc3339_seconds(standing.since).to_string(),
                        "reason": standing.reason,
                    })
                })
                .collect();
            let report = json!({ "ready": is_ready, "destinations": destinations });
            return json_text(status, &report);
        }
        let lines = all.iter().filter(|_| is_verbose).map(|standing| format!("{standing}\n"));
        text(status, format!("{word}\n{}", lines.collect::<String>()))
    }

    fn context(&self, is_json: bool) -> Response<Full<Bytes>> {
        let report = self.doctor.report();
        if !is_json {
            return text(StatusCode::OK, report.to_string());
        }
        json_text(StatusCode::OK, &report.to_json())
    }
}

/// Whether the answer is for a program: by `?format=json`, or by `Accept`.
fn wants_json<B>(request: &Request<B>) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    request.uri().query() == Some("format=json")
        || accept.is_some_and(|accept| accept.contains("application/json"))
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
        let response = state.answer(surface, &request);
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

fn json_text(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = text(status, format!("{value:#}\n"));
    let format = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, format);
    response
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
    use http_body_util::BodyExt as _;

    fn state() -> State {
        let registry = Arc::default();
        let (doctor, _ledgers) = Doctor::with_ledgers(1, &registry, &[]);
        State::new(registry, String::new(), doctor, Reach::default())
    }

    fn status(state: &State, surface: Surface, method: &Method, path: &str) -> u16 {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        state.answer(surface, &request).status().as_u16()
    }

    #[test]
    fn readiness_follows_what_was_said_and_liveness_does_not() {
        let state = state();
        assert_eq!(status(&state, Surface::All, &Method::GET, "/ready"), 503);
        state.set_ready(true);
        assert_eq!(status(&state, Surface::All, &Method::GET, "/ready"), 200);
        state.set_ready(false);
        assert_eq!(status(&state, Surface::All, &Method::GET, "/ready"), 503);
        assert_eq!(status(&state, Surface::All, &Method::GET, "/live"), 200);
    }

    async fn body(state: &State, surface: Surface, path: &str) -> String {
        let request = Request::builder().uri(path).body(()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the body is our own")]
        let body = state.answer(surface, &request).into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn readiness_tells_how_destinations_are_reached_and_does_not_depend_on_it() {
        use crate::reach::State as Reached;
        let state = state();
        state.set_ready(true);
        state.reach.told("otlp", Reached::Unreachable, "connection refused");
        state.reach.told("archive", Reached::Unknown, "");
        assert_eq!(status(&state, Surface::All, &Method::GET, "/ready?verbose"), 200);
        assert_eq!(body(&state, Surface::All, "/ready").await, "ready\n");
        let text = body(&state, Surface::All, "/ready?verbose").await;
        let [ready, otlp, archive] = &text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        assert_eq!((*ready, *archive), ("ready", "archive: unknown"));
        assert!(otlp.starts_with("otlp: unreachable since 2"), "{otlp}");
        assert!(otlp.ends_with("Z, connection refused"), "{otlp}");
        let json = body(&state, Surface::All, "/ready?format=json").await;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["ready"], true);
        assert_eq!(json["destinations"][0]["state"], "unreachable");
        // Outside the pod nobody learns where spans go.
        assert_eq!(body(&state, Surface::Probes, "/ready?verbose").await, "ready\n");
        let json = body(&state, Surface::Probes, "/ready?format=json").await;
        assert!(!json.contains("connection refused"), "{json}");
    }

    #[test]
    fn the_settings_are_shown_on_the_admin_listener_only() {
        let state = state();
        assert_eq!(status(&state, Surface::All, &Method::GET, "/config"), 200);
        assert_eq!(status(&state, Surface::Probes, &Method::GET, "/config"), 404);
        assert_eq!(status(&state, Surface::All, &Method::GET, "/context"), 200);
        assert_eq!(status(&state, Surface::Probes, &Method::GET, "/context"), 404);
        assert_eq!(status(&state, Surface::Probes, &Method::GET, "/metrics"), 200);
    }

    #[test]
    fn nothing_can_be_changed_from_here() {
        let state = state();
        assert_eq!(status(&state, Surface::All, &Method::POST, "/ready"), 405);
    }
}
