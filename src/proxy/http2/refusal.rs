//! Answering in the place of an upstream that cannot.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::proxy::exchange::Exchange;
use crate::proxy::fault::Fault;

/// Answers in the place of an upstream that cannot: gRPC calls by trailers alone.
pub(super) fn refuse(mut exchange: Box<Exchange>, mut respond: SendResponse<Bytes>, fault: Fault) {
    exchange.refuse(fault);
    let reply = fault.reply();
    let mut response = Response::new(());
    let headers = response.headers_mut();
    let body = if exchange.is_grpc() {
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.extend(grpc_status(fault));
        Bytes::new()
    } else {
        *response.status_mut() =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
        Bytes::from(format!("spandrel: {}\n", reply.message))
    };
    // A caller that is gone needs no answer.
    if let Ok(mut stream) = respond.send_response(response, body.is_empty())
        && !body.is_empty()
    {
        stream.send_data(body, true).ok();
    }
    exchange.end();
}

/// The lines that tell a gRPC client what failed.
pub(super) fn grpc_status(fault: Fault) -> HeaderMap {
    let reply = fault.reply();
    HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), HeaderValue::from(reply.grpc)),
        (HeaderName::from_static("grpc-message"), HeaderValue::from_static(reply.message)),
    ])
}
