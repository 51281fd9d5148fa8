//! The answers in JSON: what the page shows, and what machines ask for.
//!
//! Every answer carries the version of what is kept as its `ETag`, so that asking again costs
//! nothing while nothing has come.

mod health;
mod jaeger;
mod services;
mod tenants;
mod trace;
mod traces;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use super::{Backend, State};
use crate::trace::TraceId;

pub(super) use trace::slowest_hop;

/// An answer that refuses: the status, and a sentence.
type Refusal = (StatusCode, String);

/// Answers a request.
pub(super) fn answer<B>(backend: &Backend, request: &Request<B>) -> Response<Full<Bytes>> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return refused((StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here".to_owned()));
    }
    let mut state = backend.state();
    let tag = tag(&state, path);
    if tag.is_some() && request.headers().get(header::IF_NONE_MATCH) == tag.as_ref() {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let body = body(&mut state, backend, path, query);
    drop(state);
    match body {
        Ok(body) => {
            let mut response = response(StatusCode::OK, body);
            if let Some(tag) = tag {
                response.headers_mut().insert(header::ETAG, tag);
            }
            response
        }
        Err(refusal) => refused(refusal),
    }
}

fn body(state: &mut State, backend: &Backend, path: &str, query: &str) -> Result<Bytes, Refusal> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["api", "traces"] => json(&traces::list(&mut state.store, backend.addresses, query)?),
        ["api", "traces", id] => json(&trace::whole(&state.store, known(id)?)?),
        ["api", "traces", id, "otlp"] => json(&trace::otlp(&state.store, known(id)?)?),
        ["api", "graph"] => json(&services::graph(&mut state.store, query)?),
        ["api", "tenants"] => json(&tenants::list(&mut state.store, query)?),
        ["api", "health"] => json(&health::books(state, backend)),
        ["api", "v3", "services"] => json(&jaeger::services(&mut state.store)),
        ["api", "v3", "operations"] => json(&jaeger::operations(&state.store, query)),
        ["api", "v3", "traces"] => json(&jaeger::find(&mut state.store, query)?),
        ["api", "v3", "traces", id] => json(&jaeger::get(&state.store, known(id)?)?),
        _ => Err((StatusCode::NOT_FOUND, format!("there is nothing at {path}"))),
    }
}

/// What an answer depends on; the sidecars' books change with every moment.
fn tag(state: &State, path: &str) -> Option<HeaderValue> {
    if path == "/api/health" {
        return None;
    }
    HeaderValue::try_from(format!("\"{}\"", state.store.version())).ok()
}

fn known(id: &str) -> Result<TraceId, Refusal> {
    TraceId::from_hex(id).ok_or_else(|| {
        (StatusCode::BAD_REQUEST, "a trace's id has 32 hexadecimal digits".to_owned())
    })
}

fn not_kept(id: TraceId) -> Refusal {
    (StatusCode::NOT_FOUND, format!("trace {id} is not kept here"))
}

fn json(value: &impl Serialize) -> Result<Bytes, Refusal> {
    let text = serde_json::to_vec(value);
    text.map(Bytes::from).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn refused((status, error): Refusal) -> Response<Full<Bytes>> {
    response(status, serde_json::json!({ "error": error }).to_string().into())
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A bad filter as an answer.
fn bad(text: String) -> Refusal {
    (StatusCode::BAD_REQUEST, text)
}

/// The part of `all` that `some` are; 0 of none.
#[expect(clippy::cast_precision_loss, reason = "a share is read to three digits")]
fn share(some: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}
