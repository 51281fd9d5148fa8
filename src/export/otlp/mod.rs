//! Sending encoded spans by OTLP, and what the answer means.
//!
//! `http.rs` and `grpc.rs` make a request of a message and a [`Reply`] of what comes back;
//! [`classify`] is the one place that decides what a reply means for the batch. Retrying is not
//! done here.

mod grpc;
mod http;

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;

use super::exporter::{Exporter, Outcome, Packed, Sending, Unfit};
use super::parcel::{Parcel, Signal};
use super::transport::Transport;
use super::wire::Fields;
use super::{Compression, ExportError, Otlp, Protocol};
use crate::net::own::OwnSockets;

/// The name we give ourselves.
const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));

/// The exporter that `otlp` asks for; its connections are among `own`.
pub(super) fn connect(otlp: &Otlp, own: &OwnSockets) -> Result<Box<dyn Exporter>, ExportError> {
    let uri = super::transport::uri(&otlp.traces_url)?;
    let transport = Transport::new(otlp, &uri, own)?;
    Ok(match otlp.protocol {
        Protocol::Grpc => Box::new(grpc::Grpc::new(otlp, uri, transport)?),
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            Box::new(http::Http::new(otlp, uri, transport)?)
        }
    })
}

/// Half the size of gzip's fastest for a third of its time.
const ZSTD_LEVEL: i32 = 1;

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
    pub(super) const INVALID_ARGUMENT: u32 = 3;
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
        Reply::Http { status, after, body } => {
            let reason = http_reason(status, &body);
            match status {
                429 | 502 | 503 | 504 => Outcome::Retry { after, reason },
                413 => Outcome::TooLarge { reason },
                400 | 422 => Outcome::Malformed { reason },
                _ => Outcome::Refused { reason },
            }
        }
        Reply::Grpc { code: code::OK, response, .. } => delivered(&response),
        Reply::Grpc { code, retry_delay, message, .. } => {
            let reason = format!("gRPC status {code}: {message}");
            match code {
                _ if is_retryable(code, retry_delay) => {
                    Outcome::Retry { after: retry_delay, reason }
                }
                code::RESOURCE_EXHAUSTED if is_about_size(&reason) => Outcome::TooLarge { reason },
                code::INVALID_ARGUMENT => Outcome::Malformed { reason },
                _ => Outcome::Refused { reason },
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

/// Whether it is the size of the message that a server has no resources for. There is no code for
/// that alone; this is how the servers of Go, Java, Python and Rust put it.
fn is_about_size(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["larger than", "exceeds maximum size", "too large"].iter().any(|says| reason.contains(says))
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

/// The name of the compression in a header, where there is any.
const fn coding(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    }
}

fn compress(compression: Compression, message: &Bytes) -> Bytes {
    match compression {
        Compression::None => message.clone(),
        Compression::Gzip => gzip(message).into(),
        Compression::Zstd => {
            zstd::bulk::compress(message, ZSTD_LEVEL).expect("memory takes what is written").into()
        }
    }
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
    fn what_is_too_large_may_pass_in_parts_and_what_is_malformed_too() {
        assert!(matches!(classify(http(413)), Outcome::TooLarge { .. }));
        assert!(matches!(classify(http(400)), Outcome::Malformed { .. }));
        assert!(matches!(classify(http(401)), Outcome::Refused { .. }));
        assert!(matches!(classify(grpc(3, None)), Outcome::Malformed { .. }));
        for (message, may_pass) in [
            ("grpc: received message larger than max (5000000 vs. 4194304)", true),
            ("gRPC message exceeds maximum size 4194304: 5000000", true),
            ("quota of spans used up", false),
        ] {
            let (message, response) = (message.to_owned(), Bytes::new());
            let reply = Reply::Grpc { code: 8, retry_delay: None, message, response };
            let is_too_large = matches!(classify(reply), Outcome::TooLarge { .. });
            assert_eq!(is_too_large, may_pass);
        }
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
