//! A client of ordinary HTTP, and what it was answered.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::soon;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }
}

/// Sends a request over a connection of its own.
pub(crate) async fn send(request: Request<Full<Bytes>>) -> Answer {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = soon("an answer", client.request(request)).await;
    let (head, body) = answer.expect("it answers").into_parts();
    #[expect(clippy::disallowed_methods, reason = "the body is limited")]
    let body = soon("the body", Limited::new(body, 64 << 20).collect()).await;
    let body = body.expect("the body is whole");
    Answer { status: head.status, headers: head.headers, body: body.to_bytes() }
}

/// Bytes, compressed.
pub(crate) fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
