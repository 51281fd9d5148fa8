//! OTLP/gRPC: a unary call, written out by hand over HTTP/2.
//!
//! A message is preceded by one byte that tells whether it is compressed and four that tell its
//! length. The status comes in the trailers, or in the head where there is no message at all.

use std::time::Duration;

use ::http::header::{CONTENT_TYPE, TE};
use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use bytes::Bytes;

use super::{Compression, ExportError, Exporter, Otlp, Packed, Parcel, Sending, Signal, Unfit};
use crate::export::answer::{Form, delivered, text, unanswered};
use crate::export::exporter::Outcome;
use crate::export::request::{coding, compress, headers};
use crate::export::transport::{Answer, Transport};
use crate::protobuf::{Field, Fields};

/// The method that takes a signal.
const fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const GRPC_STATUS_DETAILS: &str = "grpc-status-details-bin";
const RETRY_INFO: &[u8] = b"/google.rpc.RetryInfo";

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

/// The bytes before a message.
const PREFIX: usize = 5;

/// Calls `Export` of the service that takes the signal, once for each parcel.
#[derive(Debug)]
pub(super) struct Grpc {
    url: String,
    base: Uri,
    headers: HeaderMap,
    compression: Compression,
    transport: Transport,
}

impl Grpc {
    pub(super) fn new(otlp: &Otlp, base: Uri, transport: Transport) -> Result<Self, ExportError> {
        let mut headers = headers(&otlp.client)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(GRPC_TIMEOUT, timeout(otlp.client.timeout));
        if let Some(coding) = coding(otlp.client.compression) {
            headers.insert(GRPC_ENCODING, HeaderValue::from_static(coding));
        }
        let compression = otlp.client.compression;
        Ok(Self { url: otlp.traces_url.clone(), base, headers, compression, transport })
    }

    fn uri(&self, signal: Signal) -> Uri {
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(path(signal)));
        Uri::from_parts(parts).expect("a URI with a scheme and a host takes a path")
    }
}

impl Exporter for Grpc {
    fn takes(&self, _: Signal) -> bool {
        true
    }

    fn pack(&self, parcel: &Parcel) -> Result<Packed, Unfit> {
        let message = compress(self.compression, &parcel.message);
        let length = u32::try_from(message.len()).expect("a batch is bounded far below 4 GiB");
        let mut framed = Vec::with_capacity(PREFIX + message.len());
        framed.push(u8::from(self.compression != Compression::None));
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&message);
        Ok(Packed { signal: parcel.signal, body: framed.into() })
    }

    fn send(&self, packed: Packed) -> Sending {
        let mut request = Request::new(packed.body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(packed.signal);
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers.clone();
        let transport = self.transport.clone();
        Box::pin(async move {
            match transport.send(request).await {
                Ok(answer) => outcome(&answer),
                Err(error) => unanswered(error),
            }
        })
    }

    fn url(&self) -> &str {
        &self.url
    }
}

/// The header `grpc-timeout` has at most eight digits.
fn timeout(timeout: Duration) -> HeaderValue {
    let milliseconds = timeout.as_millis().min(99_999_999);
    HeaderValue::try_from(format!("{milliseconds}m")).expect("digits are a header value")
}

/// What an answer means: the table of the OTLP specification, section "OTLP/gRPC Response".
pub(in crate::export) fn outcome(answer: &Answer) -> Outcome {
    let header = |name: &str| answer.trailers.get(name).or_else(|| answer.head.headers.get(name));
    let code = header(GRPC_STATUS).and_then(|code| code.to_str().ok()?.parse().ok());
    let code = code.unwrap_or_else(|| code_of(answer.head.status));
    if code == code::OK {
        return delivered(&unframe(&answer.body), Form::Protobuf);
    }
    let message = header(GRPC_MESSAGE)
        .map(|message| percent_encoding::percent_decode(message.as_bytes()).collect::<Vec<u8>>());
    let message = match message {
        Some(message) => text(&message),
        None => format!("HTTP status {}", answer.head.status.as_u16()),
    };
    let retry_delay =
        header(GRPC_STATUS_DETAILS).and_then(|details| retry_delay(details.as_bytes()));
    let reason = format!("gRPC status {code}: {message}{}", advice(code, answer));
    match code {
        _ if is_retryable(code, retry_delay) => Outcome::Retry { after: retry_delay, reason },
        code::RESOURCE_EXHAUSTED if is_about_size(&reason) => Outcome::TooLarge { reason },
        code::INVALID_ARGUMENT => Outcome::Malformed { reason },
        _ => Outcome::Refused { reason },
    }
}

/// What to do about it, where that is known.
fn advice(code: u32, answer: &Answer) -> &'static str {
    match code {
        code::UNAUTHENTICATED => {
            ": the server wants to know who sends, set its token among the headers"
        }
        code::PERMISSION_DENIED => {
            ": the server does not allow it, check the token among the headers and what it is for"
        }
        code::UNIMPLEMENTED => ": the server takes no telemetry, check host and port",
        _ if answer.head.status.is_redirection() => {
            ": redirects are not followed, set the endpoint to where this one leads"
        }
        _ => "",
    }
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

/// What a response without a status of its own means: "HTTP to gRPC Status Code Mapping".
fn code_of(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => code::INTERNAL,
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        404 => code::UNIMPLEMENTED,
        429 | 502 | 503 | 504 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    }
}

/// The message of the body, or nothing where it is compressed (which we never say we accept) or
/// cut short.
fn unframe(body: &Bytes) -> Bytes {
    let message = || {
        let (prefix, _) = body.split_first_chunk::<PREFIX>()?;
        let [0, length @ ..] = *prefix else { return None };
        let end = PREFIX.checked_add(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
        (end <= body.len()).then(|| body.slice(PREFIX..end))
    };
    message().unwrap_or_default()
}

/// The delay of a `RetryInfo` in a `google.rpc.Status`: `details` is 3, of which `type_url` is 1
/// and `value` is 2; in that, `retry_delay` is 1, of which `seconds` is 1 and `nanos` is 2.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = base64(details)?;
    let mut details = Fields::new(&status).filter_map(|field| match field {
        (3, Field::Bytes(detail)) => Some(Fields::new(detail)),
        _ => None,
    });
    let retry_info = details.find(|detail| detail.bytes(1).ends_with(RETRY_INFO))?;
    let delay = Fields::new(Fields::new(retry_info.bytes(2)).bytes(1));
    let (seconds, nanos) = (delay.uint(1), delay.uint(2));
    let is_sane = i64::try_from(seconds).is_ok() && nanos < 1_000_000_000;
    is_sane.then(|| Duration::from_secs(seconds) + Duration::from_nanos(nanos))
}

/// Decodes base64, with padding or without.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in text.trim_ascii_end().iter().filter(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf;
    use proptest::prelude::*;

    /// The opposite of [`base64`], in its plainest form.
    fn to_base64(bytes: &[u8], padding: &str) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits: Vec<u8> =
            bytes.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1)).collect();
        let digit = |six: &[u8]| {
            let value = (0..6).fold(0, |v, i| v << 1 | six.get(i).copied().unwrap_or(0));
            char::from(DIGITS[usize::from(value)])
        };
        bits.chunks(6).map(digit).chain(padding.chars()).collect()
    }

    pub(super) fn details(type_url: &str, seconds: u64, nanos: u64) -> String {
        let (mut delay, mut info, mut detail, mut status) = (vec![], vec![], vec![], vec![]);
        protobuf::uint(&mut delay, 1, seconds);
        protobuf::uint(&mut delay, 2, nanos);
        protobuf::bytes(&mut info, 1, &delay);
        protobuf::bytes(&mut detail, 1, type_url.as_bytes());
        protobuf::bytes(&mut detail, 2, &info);
        protobuf::uint(&mut status, 1, 8);
        protobuf::bytes(&mut status, 2, b"busy");
        protobuf::bytes(&mut status, 3, &detail);
        to_base64(&status, "")
    }

    fn answer(
        status: u16,
        head: &[(&'static str, &str)],
        trailers: &[(&'static str, &str)],
    ) -> Answer {
        let map = |pairs: &[(&'static str, &str)]| {
            let pair = |(name, value): &(&'static str, &str)| {
                let value = HeaderValue::from_str(value).expect("a header value");
                (HeaderName::from_static(name), value)
            };
            pairs.iter().map(pair).collect::<HeaderMap>()
        };
        let mut response = ::http::Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        *response.headers_mut() = map(head);
        let (head, ()) = response.into_parts();
        Answer { head, body: Bytes::new(), trailers: map(trailers) }
    }

    #[test]
    fn the_status_is_read_from_the_trailers_or_from_the_head() {
        let ok = answer(200, &[], &[("grpc-status", "0")]);
        assert!(matches!(outcome(&ok), Outcome::Delivered { .. }));
        let refused = answer(200, &[("grpc-status", "3"), ("grpc-message", "a%20b")], &[]);
        let Outcome::Malformed { reason } = outcome(&refused) else { panic!("malformed") };
        assert_eq!(reason, "gRPC status 3: a b");
    }

    #[test]
    fn a_response_without_a_status_is_judged_by_that_of_http() {
        for (status, is_retried) in [(503, true), (429, true), (404, false), (200, false)] {
            let is_retry = matches!(outcome(&answer(status, &[], &[])), Outcome::Retry { .. });
            assert_eq!(is_retry, is_retried, "{status}");
        }
    }

    #[test]
    fn only_the_named_codes_are_tried_again() {
        let is_retry = |code: u32, details: &str| {
            let (code, name) = (code.to_string(), "grpc-status-details-bin");
            let trailers = [("grpc-status", code.as_str()), (name, details)];
            matches!(outcome(&answer(200, &[], &trailers)), Outcome::Retry { .. })
        };
        let retried: Vec<u32> = (1..20).filter(|code| is_retry(*code, "")).collect();
        assert_eq!(retried, [1, 4, 10, 11, 14, 15]);
        let delay = details("type.googleapis.com/google.rpc.RetryInfo", 1, 0);
        let retried: Vec<u32> = (1..20).filter(|code| is_retry(*code, &delay)).collect();
        assert_eq!(retried, [1, 4, 8, 10, 11, 14, 15]);
    }

    #[test]
    fn what_is_too_large_may_pass_in_parts() {
        for (message, may_pass) in [
            ("grpc: received message larger than max (5000000 vs. 4194304)", true),
            ("gRPC message exceeds maximum size 4194304: 5000000", true),
            ("quota of spans used up", false),
        ] {
            let trailers = [("grpc-status", "8"), ("grpc-message", message)];
            let outcome = outcome(&answer(200, &[], &trailers));
            assert_eq!(matches!(outcome, Outcome::TooLarge { .. }), may_pass, "{message}");
        }
    }

    #[test]
    fn common_mistakes_are_told_with_what_to_do() {
        for (code, says) in [("16", "token"), ("7", "allow"), ("12", "port")] {
            let Outcome::Refused { reason } = outcome(&answer(200, &[], &[("grpc-status", code)]))
            else {
                panic!("refused")
            };
            assert!(reason.contains(says), "{reason}");
        }
        let Outcome::Refused { reason } = outcome(&answer(302, &[], &[])) else {
            panic!("refused")
        };
        assert!(reason.contains("redirects"), "{reason}");
    }

    #[test]
    fn an_exhausted_resource_is_tried_again_only_with_retry_info() {
        let with = |details: &str| {
            answer(200, &[], &[("grpc-status", "8"), ("grpc-status-details-bin", details)])
        };
        let good = with(&details("type.googleapis.com/google.rpc.RetryInfo", 2, 500_000_000));
        let Outcome::Retry { after, .. } = outcome(&good) else { panic!("retry") };
        assert_eq!(after, Some(Duration::from_millis(2_500)));
        let other = with(&details("type.googleapis.com/google.rpc.DebugInfo", 2, 0));
        assert!(matches!(outcome(&other), Outcome::Refused { .. }));
        assert!(matches!(outcome(&with("!")), Outcome::Refused { .. }));
        let negative = with(&details("x/google.rpc.RetryInfo", u64::MAX, 0));
        assert!(matches!(outcome(&negative), Outcome::Refused { .. }));
    }

    #[test]
    fn a_message_is_taken_out_of_its_frame_or_not_at_all() {
        assert_eq!(&unframe(&Bytes::from_static(b"\0\0\0\0\x02abc"))[..], b"ab");
        for bad in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x04abc", b"\x01\0\0\0\x01a", &[0xff; 9]] {
            assert!(unframe(&Bytes::copy_from_slice(bad)).is_empty(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn base64_is_read_with_and_without_padding(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(base64(to_base64(&bytes, "").as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(base64(to_base64(&bytes, "==").as_bytes()), Some(bytes));
        }

        #[test]
        fn no_details_whatsoever_make_reading_panic(details in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = retry_delay(&details);
            let _ = retry_delay(to_base64(&details, "").as_bytes());
        }
    }
}
