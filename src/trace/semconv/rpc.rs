//! gRPC spans: the conventions of "RPC" and "gRPC", a release candidate in v1.44.

use super::super::Headers;
use super::super::span::{Attributes, Kind, Status};
use super::{Key, Outcome, Request, status};

/// The status codes of gRPC, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const OK: u32 = 0;
const UNKNOWN: u32 = 2;
const UNIMPLEMENTED: u32 = 12;

/// The codes that are an error of the server's: the others tell the caller of its own mistake.
const SERVER_ERRORS: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// The name of a status code; a number that is no code is `UNKNOWN`, as every client treats it.
#[must_use]
pub fn code_name(code: u32) -> &'static str {
    usize::try_from(code).ok().and_then(|at| CODES.get(at)).copied().unwrap_or("UNKNOWN")
}

/// The number in a `grpc-status` value.
#[must_use]
pub fn parse_status(value: &[u8]) -> u32 {
    let digits = value.iter().try_fold(0u32, |code, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        code.checked_mul(10)?.checked_add(digit)
    });
    digits.filter(|_| !value.is_empty()).unwrap_or(UNKNOWN)
}

/// The code that callers read from an HTTP status where there is no `grpc-status`
/// (gRPC, "HTTP to gRPC status code mapping").
#[must_use]
pub const fn status_of_http(status: u16) -> u32 {
    match status {
        400 | 431 => 13, // INTERNAL
        401 => 16,       // UNAUTHENTICATED
        403 => 7,        // PERMISSION_DENIED
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => 14, // UNAVAILABLE
        _ => UNKNOWN,
    }
}

/// The method a path names, `package.Service/Method`, if the path has that shape.
#[must_use]
pub fn method(path: &[u8]) -> Option<&[u8]> {
    let name = path.strip_prefix(b"/")?;
    let mut parts = name.split(|b| *b == b'/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(service), Some(method), None) if !service.is_empty() && !method.is_empty() => {
            Some(name)
        }
        _ => None,
    }
}

/// Adds what is known when the request's head has been read.
pub fn begin<H: Headers>(attributes: &mut Attributes, request: &Request<'_, H>) {
    attributes.text(Key::RpcSystemName, "grpc");
    if let Some(authority) = request.authority {
        request.servers.add(attributes, request.kind, authority, 80);
    }
    if request.kind == Kind::Server {
        request.downstream.add(attributes);
    }
}

/// Adds how the call ended; gives the span's status and whether the method is known to exist,
/// which it is not when the callee answered `UNIMPLEMENTED`.
pub fn end(
    attributes: &mut Attributes,
    kind: Kind,
    path: &[u8],
    outcome: &Outcome,
) -> (Status, bool) {
    let name = method(path).filter(|_| outcome.grpc_status != Some(UNIMPLEMENTED));
    match name {
        Some(name) => attributes.raw(Key::RpcMethod, name),
        None => {
            attributes.text(Key::RpcMethod, "_OTHER");
            attributes.raw(Key::RpcMethodOriginal, path.strip_prefix(b"/").unwrap_or(path));
        }
    }
    let code = outcome.grpc_status.map(code_name);
    if let Some(code) = code {
        attributes.text(Key::RpcResponseStatusCode, code);
    }
    let failure = outcome.failure.filter(|f| !f.is_cancellation).map(|f| f.error_type);
    let code_is_error = match kind {
        Kind::Server => code.is_some_and(|code| SERVER_ERRORS.contains(&code)),
        Kind::Client => outcome.grpc_status.is_some_and(|code| code != OK),
    };
    let error_type = failure.or_else(|| code.filter(|_| code_is_error));
    if let Some(error_type) = error_type {
        attributes.text(Key::ErrorType, error_type);
    }
    (status(error_type.is_some()), name.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::super::span::{Pairs, Value};
    use super::super::Failure;
    use super::*;

    fn ended(kind: Kind, path: &[u8], outcome: Outcome) -> (Status, Vec<(&'static str, String)>) {
        let mut attributes = Attributes::default();
        let (status, _) = end(&mut attributes, kind, path, &outcome);
        let pairs = Pairs::new(attributes.as_bytes()).map(|(name, value)| {
            let (Some(key), Value::Text(text)) = (Key::of(name), value) else { panic!("text") };
            (key.as_str(), String::from_utf8_lossy(text).into_owned())
        });
        (status, pairs.collect())
    }

    fn code(code: u32) -> Outcome {
        Outcome { status_code: Some(200), grpc_status: Some(code), failure: None }
    }

    #[test]
    fn the_side_of_the_hop_decides_which_codes_are_errors() {
        for number in 0..17 {
            let name = code_name(number);
            let is_error = |kind| ended(kind, b"/p.S/M", code(number)).0 == Status::Error;
            assert_eq!(is_error(Kind::Client), number != 0, "{name}");
            assert_eq!(is_error(Kind::Server), SERVER_ERRORS.contains(&name), "{name}");
        }
    }

    #[test]
    fn a_method_that_is_not_implemented_gives_no_name() {
        let (_, found) = ended(Kind::Server, b"/p.S/Scan1234", code(UNIMPLEMENTED));
        assert_eq!(found[0], ("rpc.method", "_OTHER".to_owned()));
        assert_eq!(found[1], ("rpc.method_original", "p.S/Scan1234".to_owned()));
        let (_, found) = ended(Kind::Server, b"/p.S/M", code(0));
        assert_eq!(
            found,
            [("rpc.method", "p.S/M".to_owned()), ("rpc.response.status_code", "OK".to_owned()),]
        );
    }

    #[test]
    fn a_failure_in_between_names_itself() {
        let failure = Some(Failure { error_type: "connection_refused", is_cancellation: false });
        let outcome = Outcome { status_code: Some(200), grpc_status: Some(14), failure };
        let (status, found) = ended(Kind::Server, b"/p.S/M", outcome);
        assert_eq!(status, Status::Error);
        assert_eq!(found.last(), Some(&("error.type", "connection_refused".to_owned())));
    }

    #[test]
    fn an_http_status_stands_in_for_a_missing_code() {
        for (status, code) in [
            (200, "UNKNOWN"),
            (404, "UNIMPLEMENTED"),
            (401, "UNAUTHENTICATED"),
            (503, "UNAVAILABLE"),
        ] {
            assert_eq!(code_name(status_of_http(status)), code);
        }
    }

    #[test]
    fn odd_statuses_and_paths_are_read_without_harm() {
        for (value, expected) in [("0", 0), ("16", 16), ("", 2), ("x", 2), ("99999999999", 2)] {
            assert_eq!(parse_status(value.as_bytes()), expected);
        }
        assert_eq!(code_name(99), "UNKNOWN");
        for path in ["", "/", "/S", "/S/", "//M", "/a/b/c", "S/M"] {
            assert_eq!(method(path.as_bytes()), None, "{path}");
        }
    }
}
