//! Sending encoded spans by OTLP, and what the answer means.
//!
//! `http.rs` and `grpc.rs` make a request of a message and a [`Reply`] of what comes back;
//! [`classify`] is the one place that decides what a reply means for the batch. Retrying is not
//! done here.

mod grpc;
mod http;

use std::fmt::Debug;
use std::io::Write as _;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use super::transport::Transport;
use super::wire::Fields;
use super::{Compression, ExportError, Otlp, Protocol};
use crate::net::own::OwnSockets;

/// The name we give ourselves.
const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));

/// What became of one attempt to send a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The destination took the batch, but not the `rejected` spans; never to be sent again.
    Delivered {
        /// Spans that it did not take.
        rejected: u64,
        /// What it has to say; often nothing.
        message: String,
    },
    /// Another attempt may go better, not before `after` if that is given.
    Retry {
        /// The least time to wait.
        after: Option<Duration>,
        /// For people.
        reason: String,
    },
    /// The destination will never take this batch.
    Refused {
        /// For people.
        reason: String,
    },
}

/// A future that an [`Exporter`] gives.
pub(super) type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Something that batches can be sent to. Its cost is paid per batch, not per span.
pub(super) trait Exporter: Debug + Send {
    /// Makes what is sent of an encoded request; done once, however often it is sent.
    fn pack(&self, message: Vec<u8>) -> Bytes;

    /// Sends it once.
    fn send(&mut self, packed: Bytes) -> Sending<'_>;

    /// Where it goes, for people.
    fn url(&self) -> &str;
}

/// The exporter that `otlp` asks for; its connections are among `own`.
pub(super) fn connect(otlp: &Otlp, own: &OwnSockets) -> Result<Box<dyn Exporter>, ExportError> {
    let uri = super::transport::uri(&otlp.traces_url)?;
    let transport = Transport::new(otlp, &uri, own)?;
    Ok(match otlp.protocol {
        Protocol::Grpc => Box::new(grpc::Grpc::new(otlp, uri, transport)?),
        Protocol::HttpProtobuf => Box::new(http::Http::new(otlp, uri, transport)?),
    })
}

/// What came back, in the terms of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    /// Nothing: no connection, no answer in time, or the connection broke.
    None(String),
    /// An answer that is longer than an answer may be.
    TooLong,
    /// An HTTP response.
    Http { status: u16, after: Option<Duration>, body: Bytes },
    /// A gRPC status, and the response message where it is OK.
    Grpc { code: u32, retry_delay: Option<Duration>, message: String, response: Bytes },
}

/// The codes of gRPC that OTLP tells apart.
mod code {
    pub(super) const OK: u32 = 0;
    pub(super) const CANCELLED: u32 = 1;
    pub(super) const UNKNOWN: u32 = 2;
    pub(super) const DEADLINE_EXCEEDED: u32 = 4;
    pub(super) const PERMISSION_DENIED: u32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const ABORTED: u32 = 10;
    pub(super) const OUT_OF_RANGE: u32 = 11;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const INTERNAL: u32 = 13;
    pub(super) const UNAVAILABLE: u32 = 14;
    pub(super) const DATA_LOSS: u32 = 15;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

/// What a reply means: the tables of the OTLP specification, sections "OTLP/gRPC Response" and
/// "OTLP/HTTP Response".
fn classify(reply: Reply) -> Outcome {
    match reply {
        Reply::None(reason) => Outcome::Retry { after: None, reason },
        Reply::TooLong => Outcome::Refused { reason: "the answer is too long".to_owned() },
        Reply::Http { status: 200..=299, body, .. } => delivered(&body),
        Reply::Http { status: status @ (429 | 502 | 503 | 504), after, body } => {
            Outcome::Retry { after, reason: http_reason(status, &body) }
        }
        Reply::Http { status, body, .. } => Outcome::Refused { reason: http_reason(status, &body) },
        Reply::Grpc { code: code::OK, response, .. } => delivered(&response),
        Reply::Grpc { code, retry_delay, message, .. } => {
            let reason = format!("gRPC status {code}: {message}");
            if is_retryable(code, retry_delay) {
                Outcome::Retry { after: retry_delay, reason }
            } else {
                Outcome::Refused { reason }
            }
        }
    }
}

/// What an answer over gRPC means.
#[cfg(fuzzing)]
pub(super) fn read_grpc(answer: &super::transport::Answer) -> Outcome {
    classify(grpc::reply(answer))
}

/// What an answer over HTTP means.
#[cfg(fuzzing)]
pub(super) fn read_http(answer: super::transport::Answer) -> Outcome {
    classify(http::reply(answer))
}

const fn is_retryable(code: u32, retry_delay: Option<Duration>) -> bool {
    match code {
        code::CANCELLED
        | code::DEADLINE_EXCEEDED
        | code::ABORTED
        | code::OUT_OF_RANGE
        | code::UNAVAILABLE
        | code::DATA_LOSS => true,
        code::RESOURCE_EXHAUSTED => retry_delay.is_some(),
        _ => false,
    }
}

/// Reads an `ExportTraceServiceResponse`: `partial_success` is 1, and in it `rejected_spans` is 1
/// and `error_message` is 2.
fn delivered(response: &[u8]) -> Outcome {
    let partial = Fields::new(Fields::new(response).bytes(1));
    let rejected = partial.uint(1);
    // An int64 of the protocol; a negative number is nonsense and counts as none.
    let rejected = if i64::try_from(rejected).is_ok() { rejected } else { 0 };
    Outcome::Delivered { rejected, message: text(partial.bytes(2)) }
}

/// The body of an error is a `google.rpc.Status`, whose `message` is 2.
fn http_reason(status: u16, body: &[u8]) -> String {
    format!("HTTP status {status}: {}", text(Fields::new(body).bytes(2)))
}

/// The longest text of the destination's that is repeated, in bytes.
const MAX_TEXT: usize = 256;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..MAX_TEXT).unwrap_or(bytes)).into_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let out = Vec::with_capacity(bytes.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes what is written")
}

/// The configured headers, and who we are, to be sent with every request.
///
/// # Errors
/// When a name or a value is none that can be sent.
pub fn headers(otlp: &Otlp) -> Result<::http::HeaderMap, ExportError> {
    let mut map = ::http::HeaderMap::new();
    for (name, value) in &otlp.headers {
        let invalid = || ExportError::Header { name: name.clone() };
        let key = ::http::HeaderName::try_from(name).map_err(|_| invalid())?;
        let mut value = ::http::HeaderValue::try_from(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    map.entry(::http::header::USER_AGENT).or_insert(::http::HeaderValue::from_static(USER_AGENT));
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1 as proto;
    use prost::Message as _;

    fn http(status: u16) -> Reply {
        Reply::Http { status, after: Some(Duration::from_secs(2)), body: Bytes::new() }
    }

    fn grpc(code: u32, retry_delay: Option<Duration>) -> Reply {
        Reply::Grpc { code, retry_delay, message: String::new(), response: Bytes::new() }
    }

    fn is_retry(reply: Reply) -> bool {
        matches!(classify(reply), Outcome::Retry { .. })
    }

    #[test]
    fn of_http_only_the_four_named_statuses_are_tried_again() {
        let retried: Vec<u16> = (300..600).filter(|status| is_retry(http(*status))).collect();
        assert_eq!(retried, [429, 502, 503, 504]);
        let Outcome::Retry { after, .. } = classify(http(503)) else { panic!("a retry") };
        assert_eq!(after, Some(Duration::from_secs(2)));
        let taken = Outcome::Delivered { rejected: 0, message: String::new() };
        assert_eq!((classify(http(200)), classify(http(202))), (taken.clone(), taken));
    }

    #[test]
    fn of_grpc_only_the_named_codes_are_tried_again() {
        let retried: Vec<u32> = (1..20).filter(|code| is_retry(grpc(*code, None))).collect();
        assert_eq!(retried, [1, 4, 10, 11, 14, 15]);
        let delay = Some(Duration::from_secs(1));
        let retried: Vec<u32> = (1..20).filter(|code| is_retry(grpc(*code, delay))).collect();
        assert_eq!(retried, [1, 4, 8, 10, 11, 14, 15]);
    }

    #[test]
    fn no_answer_is_tried_again_and_a_too_long_one_is_not() {
        assert!(is_retry(Reply::None("refused".to_owned())));
        assert!(!is_retry(Reply::TooLong));
    }

    #[test]
    fn partial_success_is_a_delivery() {
        let response = |rejected_spans, error_message: &str| {
            let partial = proto::ExportTracePartialSuccess {
                rejected_spans,
                error_message: error_message.to_owned(),
            };
            proto::ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        let taken =
            |rejected, message: &str| Outcome::Delivered { rejected, message: message.to_owned() };
        assert_eq!(delivered(&response(3, "too old")), taken(3, "too old"));
        assert_eq!(delivered(&response(0, "deprecated")), taken(0, "deprecated"));
        assert_eq!(delivered(&response(-1, "")), taken(0, ""));
        assert_eq!(delivered(b"\x0a\xff<html>"), taken(0, ""));
    }
}
