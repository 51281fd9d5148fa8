//! What is written for destinations, and what a collector answers, for the fuzz targets: there only
//! when they are built.

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::answer::{self, Form};
use super::exporter::Outcome;
use super::otlp::read_grpc;
use super::parcel::Parcel;
use super::transport::Answer;
use super::{json, zipkin};

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

/// A parcel as OTLP in JSON, unless it is unfit for that.
#[must_use]
pub fn json(parcel: &Parcel) -> Option<Vec<u8>> {
    json::of(parcel).ok()
}

/// An export request of spans as Zipkin's JSON, unless it is unfit for that.
#[must_use]
pub fn zipkin(message: &[u8]) -> Option<Bytes> {
    zipkin::body(&Bytes::copy_from_slice(message)).ok()
}

/// Reads the answer of OTLP/gRPC that has this body and these trailers.
#[must_use]
pub fn grpc(body: &[u8], trailers: HeaderMap) -> Option<u64> {
    settled(read_grpc(&whole(200, HeaderMap::new(), body, trailers)))
}

/// Reads the answer of OTLP/HTTP that has this status, these headers and this body.
#[must_use]
pub fn http(status: u16, headers: HeaderMap, body: &[u8]) -> Option<u64> {
    let answer = whole(status, headers, body, HeaderMap::new());
    let now = std::time::UNIX_EPOCH;
    let [over_protobuf, over_json, over_text] = [Form::Protobuf, Form::Json, Form::Text]
        .map(|usual| settled(answer::of(&answer, usual, now)));
    assert_eq!(over_protobuf.is_none(), over_json.is_none(), "it is the status that decides");
    assert_eq!(over_protobuf.is_none(), over_text.is_none(), "it is the status that decides");
    over_protobuf
}

fn whole(status: u16, headers: HeaderMap, body: &[u8], trailers: HeaderMap) -> Answer {
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    *response.headers_mut() = headers;
    let (head, ()) = response.into_parts();
    Answer { head, body: Bytes::copy_from_slice(body), trailers }
}
