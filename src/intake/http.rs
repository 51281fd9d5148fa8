//! OTLP over HTTP: a message is the body of a POST to `/v1/traces`, `/v1/metrics` or `/v1/logs`.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use prost::Message as _;
use tokio::sync::Semaphore;

use super::body::{Bounded, Broken};
use super::grpc;
use super::{FULL, Intake, MAX_BODY, Outcome, RETRY_AFTER, Receiver, Refusal};
use crate::otlp::{Encoding, Signal};

/// An answer that refuses: the status, and a sentence.
type Refused = (StatusCode, String);

/// Answers a request.
pub(super) async fn answer<R: Receiver>(
    intake: &Intake<R>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let encoding = encoding(request.headers());
    let outcome = match (request.method(), signal(request.uri().path()), encoding) {
        (_, None, _) => {
            let places = "OTLP is received at /v1/traces, /v1/metrics and /v1/logs";
            Err((StatusCode::NOT_FOUND, places.to_owned()))
        }
        (&Method::POST, Some(signal), Some(encoding)) => {
            let body = body(request, &intake.room, intake.max_message).await;
            body.and_then(|body| match intake.receiver.take(signal, encoding, &body) {
                Ok(outcome) => Ok((signal, outcome)),
                Err(Refusal::Malformed(text)) => Err((StatusCode::BAD_REQUEST, text)),
                Err(Refusal::Full) => Err((StatusCode::SERVICE_UNAVAILABLE, FULL.to_owned())),
            })
        }
        (&Method::POST, Some(_), None) => {
            let types = "send application/x-protobuf or application/json";
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, types.to_owned()))
        }
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, "send OTLP by POST".to_owned())),
    };
    let encoding = encoding.unwrap_or(Encoding::Json);
    match outcome {
        Ok((signal, outcome)) => {
            response(StatusCode::OK, encoding, accepted(encoding, signal, outcome))
        }
        Err((status, text)) => response(status, encoding, refused(encoding, status, text)),
    }
}

fn signal(path: &str) -> Option<Signal> {
    match path {
        "/v1/traces" => Some(Signal::Traces),
        "/v1/metrics" => Some(Signal::Metrics),
        "/v1/logs" => Some(Signal::Logs),
        _ => None,
    }
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match value.split(';').next()?.trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

/// The body, whole and as it was before it was compressed.
async fn body(
    request: Request<Incoming>,
    room: &Arc<Semaphore>,
    max_message: usize,
) -> Result<Bytes, Refused> {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    #[expect(clippy::disallowed_methods, reason = "the body is limited")]
    let collected = Limited::new(Bounded::new(body, room), MAX_BODY).collect().await;
    let sent = collected.map_err(|error| unread(&*error))?.to_bytes();
    match head.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") if sent.len() <= max_message => Ok(sent),
        None | Some(b"" | b"identity") => Err(too_long(max_message)),
        Some(b"gzip") => unzip(&sent, max_message),
        Some(_) => {
            let text = "compress with gzip, or not at all";
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text.to_owned()))
        }
    }
}

fn too_large() -> Refused {
    let text = format!("send at most {} MiB at a time", MAX_BODY >> 20);
    (StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// Why a body was not read to its end.
fn unread(error: &(dyn std::error::Error + 'static)) -> Refused {
    let status = match error.downcast_ref::<Broken>() {
        None => return too_large(),
        Some(Broken::Late) => StatusCode::REQUEST_TIMEOUT,
        Some(Broken::NoRoom) => StatusCode::SERVICE_UNAVAILABLE,
        Some(Broken::Aborted(_)) => StatusCode::BAD_REQUEST,
    };
    (status, error.to_string())
}

fn unzip(sent: &[u8], max_message: usize) -> Result<Bytes, Refused> {
    let mut plain = Vec::new();
    let most = max_message as u64 + 1;
    match MultiGzDecoder::new(sent).take(most).read_to_end(&mut plain) {
        Ok(_) if plain.len() <= max_message => Ok(plain.into()),
        Ok(_) => Err(too_long(max_message)),
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("the body is no gzip: {error}"))),
    }
}

fn too_long(max_message: usize) -> Refused {
    let text = format!("send at most {} MiB of OTLP at a time", max_message >> 20);
    (StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// The message that says what was taken (OTLP, "Full Success" and "Partial Success").
pub(super) fn accepted(encoding: Encoding, signal: Signal, outcome: Outcome) -> Bytes {
    let refused = i64::try_from(outcome.refused).unwrap_or(i64::MAX);
    let text = if refused == 0 { "" } else { "some have no valid ids, or cannot be read" };
    if encoding == Encoding::Protobuf {
        let partial = Partial { refused, text: text.to_owned() };
        let answer = Answer { partial: (refused > 0).then_some(partial) };
        return answer.encode_to_vec().into();
    }
    let name = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    if refused == 0 {
        return Bytes::from_static(b"{}");
    }
    let partial = serde_json::json!({ name: refused.to_string(), "errorMessage": text });
    serde_json::json!({ "partialSuccess": partial }).to_string().into()
}

/// The answers of the three services of OTLP, which have one form.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    refused: i64,
    #[prost(string, tag = "2")]
    text: String,
}

/// The body of a refusal (OTLP, "Failures").
fn refused(encoding: Encoding, status: StatusCode, message: String) -> Bytes {
    const INVALID_ARGUMENT: i32 = 3;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const UNAVAILABLE: i32 = 14;
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => RESOURCE_EXHAUSTED,
        StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        _ => INVALID_ARGUMENT,
    };
    match encoding {
        Encoding::Protobuf => {
            grpc::Refused { code, message, details: Vec::new() }.encode_to_vec().into()
        }
        Encoding::Json => {
            serde_json::json!({ "code": code, "message": message }).to_string().into()
        }
    }
}

/// Whether a refusal comes before the end of the body.
fn is_cut_off(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::SERVICE_UNAVAILABLE
    )
}

fn response(status: StatusCode, encoding: Encoding, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let format = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
    }
    if is_cut_off(status) {
        // What is left of the body is not worth reading.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
