//! What a collector answers, for the fuzz targets: there only when they are built.

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::exporter::Outcome;
use super::otlp::{read_grpc, read_http};
use super::transport::Answer;

/// Whether a batch is to be sent again (`None`), or how many of its spans were not taken.
fn settled(outcome: Outcome) -> Option<u64> {
    match outcome {
        Outcome::Delivered { rejected, message } => {
            assert!(message.len() <= 3 * 256, "what is repeated is bounded");
            Some(rejected)
        }
        Outcome::Refused { .. } | Outcome::TooLarge { .. } | Outcome::Malformed { .. } => {
            Some(u64::MAX)
        }
        Outcome::Retry { .. } => None,
    }
}

/// Reads the answer of OTLP/gRPC that has this body and these trailers.
#[must_use]
pub fn grpc(body: &[u8], trailers: HeaderMap) -> Option<u64> {
    settled(read_grpc(&answer(200, HeaderMap::new(), body, trailers)))
}

/// Reads the answer of OTLP/HTTP that has this status, these headers and this body.
#[must_use]
pub fn http(status: u16, headers: HeaderMap, body: &[u8]) -> Option<u64> {
    settled(read_http(answer(status, headers, body, HeaderMap::new())))
}

fn answer(status: u16, headers: HeaderMap, body: &[u8], trailers: HeaderMap) -> Answer {
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    *response.headers_mut() = headers;
    let (head, ()) = response.into_parts();
    Answer { head, body: Bytes::copy_from_slice(body), trailers }
}
