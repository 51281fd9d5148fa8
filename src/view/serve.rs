//! What the backend answers its readers: the page and the API.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::{Backend, api, page};
use crate::intake;

/// Serves the page and the API for as long as it is polled.
pub(super) async fn page(listener: &TcpListener, backend: &Arc<Backend>) {
    let is_private = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let backend = Arc::clone(backend);
    intake::serve_all(listener, move |request| {
        let response = show(&backend, &request, is_private);
        async { Ok(response) }
    })
    .await;
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
