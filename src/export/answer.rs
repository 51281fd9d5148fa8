//! What an answer over HTTP means, whatever was posted.
//!
//! Which statuses are tried again is the table of the OTLP specification, section "OTLP/HTTP
//! Response"; Zipkin has none of its own. The reasons are for people, and say what to do where
//! the cause is a common mistake.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use serde::Deserialize;

use super::exporter::Outcome;
use super::transport::{Answer, SendError};
use crate::protobuf::Fields;

/// The longest text of the destination's that is repeated, in bytes.
const MAX_TEXT: usize = 256;

/// What servers say that want TLS where none is spoken, with the status 400.
const WANTS_TLS: [&str; 2] = ["HTTP request to an HTTPS server", "HTTP request was sent to HTTPS"];

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// OTLP's messages, in protobuf.
    Protobuf,
    /// The same in JSON.
    Json,
    /// Text for people.
    Text,
}

/// What came of an exchange. The body of the answer has the form that its type says, or else the
/// `usual` one.
pub(super) fn outcome(exchange: Result<Answer, SendError>, usual: Form) -> Outcome {
    match exchange {
        Ok(answer) => of(&answer, usual, SystemTime::now()),
        Err(error) => unanswered(error),
    }
}

/// What it means that there is no answer.
pub(super) fn unanswered(error: SendError) -> Outcome {
    match error {
        SendError::TooLong(_) => Outcome::Refused { reason: "the answer is too long".to_owned() },
        SendError::Failed(reason) => Outcome::Retry { after: None, reason },
    }
}

/// What an answer means that came at `now`.
pub(super) fn of(answer: &Answer, usual: Form, now: SystemTime) -> Outcome {
    let headers = &answer.head.headers;
    let form = form(headers).unwrap_or(usual);
    let status = answer.head.status.as_u16();
    if let 200..=299 = status {
        return delivered(&answer.body, form);
    }
    let said = said(&answer.body, form);
    let advice = advice(status, headers, &said);
    let reason = match (said.is_empty(), advice.is_empty()) {
        (true, true) => format!("HTTP status {status}"),
        (false, true) => format!("HTTP status {status}: {said}"),
        (true, false) => format!("HTTP status {status}: {advice}"),
        (false, false) => format!("HTTP status {status}: {said}: {advice}"),
    };
    match status {
        429 | 502 | 503 | 504 => Outcome::Retry { after: retry_after(headers, now), reason },
        413 => Outcome::TooLarge { reason },
        400 | 422 if advice.is_empty() => Outcome::Malformed { reason },
        _ => Outcome::Refused { reason },
    }
}

fn form(headers: &HeaderMap) -> Option<Form> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind {
        "application/json" => Some(Form::Json),
        "application/x-protobuf" | "application/protobuf" => Some(Form::Protobuf),
        _ if kind.starts_with("text/") => Some(Form::Text),
        _ => None,
    }
}

/// What to do about it, where that is known.
fn advice(status: u16, headers: &HeaderMap, said: &str) -> String {
    match status {
        300..=399 => {
            let to = headers.get(LOCATION).map(|to| text(to.as_bytes())).unwrap_or_default();
            format!("redirects are not followed, set the endpoint to where this one leads: `{to}`")
        }
        400 if WANTS_TLS.iter().any(|says| said.contains(says)) => {
            "the server expects TLS, use https:// in the endpoint".to_owned()
        }
        401 => "the server wants to know who sends, set its token among the headers".to_owned(),
        403 => "the server knows who sends and does not allow it, check the token among the \
                headers and what it is for"
            .to_owned(),
        404 | 405 => {
            "nothing is taken at this path, check the endpoint (OTLP over HTTP: /v1/traces, \
             Zipkin: /api/v2/spans)"
                .to_owned()
        }
        407 => "the proxy wants a name and a password, put them into its URL".to_owned(),
        415 => "the server does not take this form, try another protocol or compression".to_owned(),
        _ => String::new(),
    }
}

/// How long to wait, in seconds or until a date. The date is read by our own clock: where that
/// disagrees with the server's, our own waits make good for it.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Reads the response to an export request: `partial_success` is 1, and in it the number of
/// rejected items is 1 and `error_message` is 2, whatever the signal.
pub(super) fn delivered(response: &[u8], form: Form) -> Outcome {
    match form {
        Form::Json => delivered_json(response),
        Form::Text => Outcome::Delivered { rejected: 0, message: String::new() },
        Form::Protobuf => {
            let partial = Fields::new(Fields::new(response).bytes(1));
            let rejected = partial.uint(1);
            // An int64 of the protocol; a negative number is nonsense and counts as none.
            let rejected = if i64::try_from(rejected).is_ok() { rejected } else { 0 };
            Outcome::Delivered { rejected, message: text(partial.bytes(2)) }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response<'a> {
    #[serde(borrow)]
    partial_success: Option<Partial<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial<'a> {
    rejected_spans: Option<Count>,
    rejected_data_points: Option<Count>,
    rejected_log_records: Option<Count>,
    #[serde(borrow)]
    error_message: Option<Cow<'a, str>>,
}

/// A number of 64 bits is text in JSON, but not everybody writes it so.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Text(String),
    // Whatever else there is.
    Other(serde::de::IgnoredAny),
}

impl Count {
    fn value(&self) -> u64 {
        match self {
            Self::Number(value) => i64::try_from(*value).map_or(0, i64::cast_unsigned),
            Self::Text(text) => text.parse::<i64>().map_or(0, |value| value.max(0).cast_unsigned()),
            Self::Other(_) => 0,
        }
    }
}

fn delivered_json(response: &[u8]) -> Outcome {
    // What cannot be read is taken for what its status says.
    let response: Response<'_> = serde_json::from_slice(response).unwrap_or_default();
    let partial = response.partial_success.unwrap_or_default();
    let counts =
        [partial.rejected_spans, partial.rejected_data_points, partial.rejected_log_records];
    let rejected = counts.iter().flatten().map(Count::value).max().unwrap_or_default();
    let message = text(partial.error_message.unwrap_or_default().as_bytes());
    Outcome::Delivered { rejected, message }
}

/// The body of an error is a `google.rpc.Status`, whose `message` is 2.
fn said(body: &[u8], form: Form) -> String {
    #[derive(Deserialize)]
    struct Status<'a> {
        #[serde(borrow)]
        message: Cow<'a, str>,
    }
    match form {
        Form::Protobuf => text(Fields::new(body).bytes(2)),
        Form::Json => match serde_json::from_slice::<Status<'_>>(body) {
            Ok(status) => text(status.message.as_bytes()),
            Err(_) => text(body.trim_ascii()),
        },
        Form::Text => text(body.trim_ascii()),
    }
}

/// The beginning of what the destination says, in one line.
pub(super) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..MAX_TEXT).unwrap_or(bytes));
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use opentelemetry_proto::tonic::collector::trace::v1 as proto;
    use prost::Message as _;

    /// A Monday.
    const NOW: &str = "Mon, 23 Nov 2026 12:00:00 GMT";

    fn answer(status: u16, headers: &[(HeaderName, &'static str)], body: &[u8]) -> Answer {
        let mut response = http::Response::new(());
        *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let (head, ()) = response.into_parts();
        Answer { head, body: body.to_vec().into(), trailers: HeaderMap::new() }
    }

    fn read(status: u16, headers: &[(HeaderName, &'static str)], body: &[u8]) -> Outcome {
        let now = httpdate::parse_http_date(NOW).expect("a date");
        of(&answer(status, headers, body), Form::Protobuf, now)
    }

    fn taken(rejected: u64, message: &str) -> Outcome {
        Outcome::Delivered { rejected, message: message.to_owned() }
    }

    fn reason(outcome: Outcome) -> String {
        match outcome {
            Outcome::Retry { reason, .. }
            | Outcome::TooLarge { reason }
            | Outcome::Malformed { reason }
            | Outcome::Refused { reason } => reason,
            Outcome::Delivered { .. } => panic!("it was taken"),
        }
    }

    const JSON: (HeaderName, &str) = (CONTENT_TYPE, "application/json; charset=utf-8");
    const TEXT: (HeaderName, &str) = (CONTENT_TYPE, "text/plain");

    #[test]
    fn only_the_four_named_statuses_are_tried_again() {
        let is_retry = |status| matches!(read(status, &[], b""), Outcome::Retry { .. });
        let retried: Vec<u16> = (300..600).filter(|status| is_retry(*status)).collect();
        assert_eq!(retried, [429, 502, 503, 504]);
        assert_eq!((read(200, &[], b""), read(202, &[], b"")), (taken(0, ""), taken(0, "")));
    }

    #[test]
    fn what_is_too_large_may_pass_in_parts_and_what_is_malformed_too() {
        assert!(matches!(read(413, &[], b""), Outcome::TooLarge { .. }));
        for status in [400, 422] {
            assert!(matches!(read(status, &[], b""), Outcome::Malformed { .. }));
        }
        assert!(matches!(read(500, &[], b""), Outcome::Refused { .. }));
    }

    #[test]
    fn no_answer_is_tried_again_and_a_too_long_one_is_not() {
        let failed = SendError::Failed("refused".to_owned());
        assert!(matches!(unanswered(failed), Outcome::Retry { .. }));
        assert!(matches!(unanswered(SendError::TooLong(1)), Outcome::Refused { .. }));
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        for (value, wait) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("-1", None),
            ("Mon, 23 Nov 2026 12:00:07 GMT", Some(7)),
            ("Monday, 23-Nov-26 12:01:00 GMT", Some(60)),
            ("Mon, 23 Nov 2026 11:59:00 GMT", Some(0)),
            ("Mon, 23 Nov 2026", None),
            ("soon", None),
        ] {
            let Outcome::Retry { after, .. } = read(503, &[(RETRY_AFTER, value)], b"") else {
                panic!("a retry")
            };
            assert_eq!(after, wait.map(Duration::from_secs), "{value}");
        }
        assert!(matches!(read(503, &[], b""), Outcome::Retry { after: None, .. }));
    }

    #[test]
    fn partial_success_is_a_delivery() {
        let response = |rejected_spans, error_message: &str| {
            let partial = proto::ExportTracePartialSuccess {
                rejected_spans,
                error_message: error_message.to_owned(),
            };
            proto::ExportTraceServiceResponse { partial_success: Some(partial) }
        };
        for (rejected, message, expected) in [
            (3, "too old", taken(3, "too old")),
            (0, "deprecated", taken(0, "deprecated")),
            (-1, "", taken(0, "")),
        ] {
            let response = response(rejected, message);
            assert_eq!(read(200, &[], &response.encode_to_vec()), expected);
            let json = serde_json::to_vec(&response).expect("JSON");
            assert_eq!(read(200, &[JSON], &json), expected, "as its own types write it");
        }
        for (json, expected) in [
            ("{\"partialSuccess\":{\"rejectedSpans\":\"4\"}}", taken(4, "")),
            ("{\"partialSuccess\":{\"rejectedDataPoints\":\"5\"}}", taken(5, "")),
            ("{\"partialSuccess\":{\"rejectedLogRecords\":6,\"x\":[]}}", taken(6, "")),
            (
                "{\"partialSuccess\":{\"rejectedSpans\":{},\"errorMessage\":\"a\\nb\"}}",
                taken(0, "a b"),
            ),
            ("{\"partialSuccess\":null}", taken(0, "")),
            ("{\"partialSuccess\":{\"errorMessage\":null}}", taken(0, "")),
            ("{}", taken(0, "")),
            ("", taken(0, "")),
        ] {
            assert_eq!(read(200, &[JSON], json.as_bytes()), expected, "{json}");
        }
        assert_eq!(read(200, &[], b"\x0a\xff<html>"), taken(0, ""));
        assert_eq!(read(202, &[TEXT], b"thanks"), taken(0, ""));
    }

    #[test]
    fn the_server_is_quoted_in_the_form_it_speaks() {
        let status = b"\x08\x03\x12\x04busy";
        assert_eq!(reason(read(503, &[], status)), "HTTP status 503: busy");
        let json = b"{\"code\":14,\"message\":\"busy\",\"details\":[]}";
        assert_eq!(reason(read(503, &[JSON], json)), "HTTP status 503: busy");
        assert_eq!(reason(read(503, &[JSON], b"[1]")), "HTTP status 503: [1]");
        assert_eq!(reason(read(503, &[TEXT], b"try\nlater\n")), "HTTP status 503: try later");
        assert_eq!(reason(read(503, &[], b"")), "HTTP status 503");
        assert!(reason(read(500, &[TEXT], &[b'x'; 5_000])).len() < 300);
    }

    #[test]
    fn common_mistakes_are_told_with_what_to_do() {
        let to = (LOCATION, "https://b/v1/traces");
        let redirected = read(308, &[to], b"");
        assert!(matches!(redirected, Outcome::Refused { .. }), "it is not followed");
        assert!(reason(redirected).contains("`https://b/v1/traces`"));
        for (status, says) in
            [(401, "headers"), (403, "allow"), (404, "path"), (407, "proxy"), (415, "form")]
        {
            assert!(reason(read(status, &[], b"")).contains(says), "{status}");
        }
        let plain = read(400, &[TEXT], b"Client sent an HTTP request to an HTTPS server.\n");
        assert!(matches!(plain, Outcome::Refused { .. }), "no part of it is better");
        assert!(reason(plain).ends_with("the server expects TLS, use https:// in the endpoint"));
    }
}
