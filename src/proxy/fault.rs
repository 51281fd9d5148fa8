//! What failed, whose fault it was, and the one table that turns it into an answer.
//!
//! This is the only file that invents a reply. Everything else passes on what the other side said.

use h2::Reason;

use crate::direction::Direction;
use crate::trace::semconv::Failure;

/// A request or connection that failed in or around us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose fault it was.
    pub side: Side,
    /// What happened.
    pub kind: Kind,
}

/// The side that is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who called.
    Downstream,
    /// Who was called.
    Upstream,
    /// spandrel, or its bounds.
    Proxy,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller went away before it had its answer.
    Cancelled,
    /// The connection was closed in the middle of a message.
    ConnectionClosed,
    /// The address refused the connection or cannot be reached.
    ConnectionRefused,
    /// The connection, or the stream, was reset.
    ConnectionReset,
    /// Connecting took too long.
    ConnectTimeout,
    /// Nothing was heard for too long in the middle of a message.
    IdleTimeout,
    /// The request would come back to us.
    Loop,
    /// The name of the upstream could not be resolved.
    NameResolution,
    /// There are too many requests in flight.
    Overload,
    /// What was sent is not HTTP, or can be read in two ways.
    ProtocolError,
    /// The head took too long, or the response did not begin in time.
    ResponseTimeout,
    /// The head, or the trailers, are larger than allowed.
    TooLarge,
}

impl Side {
    /// Every side, for the metrics.
    pub const ALL: [Self; 3] = [Self::Downstream, Self::Upstream, Self::Proxy];

    /// The value of the label and attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
            Self::Proxy => "proxy",
        }
    }
}

impl Kind {
    /// Every kind, for the metrics.
    pub const ALL: [Self; 12] = [
        Self::Cancelled,
        Self::ConnectionClosed,
        Self::ConnectionRefused,
        Self::ConnectionReset,
        Self::ConnectTimeout,
        Self::IdleTimeout,
        Self::Loop,
        Self::NameResolution,
        Self::Overload,
        Self::ProtocolError,
        Self::ResponseTimeout,
        Self::TooLarge,
    ];

    /// The value of the label and attribute, and of `error.type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::ConnectionClosed => "connection_closed",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionReset => "connection_reset",
            Self::ConnectTimeout => "connect_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Loop => "loop",
            Self::NameResolution => "name_resolution",
            Self::Overload => "overload",
            Self::ProtocolError => "protocol_error",
            Self::ResponseTimeout => "response_timeout",
            Self::TooLarge => "too_large",
        }
    }
}

/// What a caller is told: an HTTP status and its phrase, a gRPC code, and a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status code.
    pub status: u16,
    /// The HTTP reason phrase.
    pub phrase: &'static str,
    /// The gRPC status code.
    pub grpc: u32,
    /// What happened and what to do, in ASCII.
    pub message: &'static str,
}

const fn reply(status: u16, phrase: &'static str, grpc: u32, message: &'static str) -> Reply {
    Reply { status, phrase, grpc, message }
}

const DEADLINE_EXCEEDED: u32 = 4;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;

impl Fault {
    /// A fault of the caller's.
    #[must_use]
    pub const fn downstream(kind: Kind) -> Self {
        Self { side: Side::Downstream, kind }
    }

    /// A fault of the callee's.
    #[must_use]
    pub const fn upstream(kind: Kind) -> Self {
        Self { side: Side::Upstream, kind }
    }

    /// A fault of spandrel's, or of its bounds.
    #[must_use]
    pub const fn proxy(kind: Kind) -> Self {
        Self { side: Side::Proxy, kind }
    }

    /// The fault behind a broken upstream connection.
    #[must_use]
    pub fn upstream_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        Self::upstream(match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                Kind::ConnectionReset
            }
            ErrorKind::TimedOut => Kind::ConnectTimeout,
            ErrorKind::UnexpectedEof => Kind::ConnectionClosed,
            _ => Kind::ConnectionRefused,
        })
    }

    /// The table: what the caller is told when no response of the upstream's can be passed on.
    #[must_use]
    pub const fn reply(self) -> Reply {
        const BAD: &str = "Bad Request";
        const GATEWAY: &str = "Bad Gateway";
        const TIMEOUT: &str = "Gateway Timeout";
        const BUSY: &str = "Service Unavailable";
        match (self.side, self.kind) {
            (Side::Downstream, Kind::ResponseTimeout | Kind::IdleTimeout) => reply(
                408,
                "Request Timeout",
                DEADLINE_EXCEEDED,
                "the request did not arrive in time",
            ),
            (Side::Downstream, Kind::TooLarge) => reply(
                431,
                "Request Header Fields Too Large",
                INTERNAL,
                "the request's head is larger than limits.header_bytes or limits.header_count",
            ),
            (Side::Downstream, _) => {
                reply(400, BAD, INTERNAL, "the request is not HTTP or can be read in two ways")
            }
            (_, Kind::Cancelled) => reply(499, "Client Closed Request", 1, "the caller went away"),
            (_, Kind::ConnectionClosed) => {
                reply(502, GATEWAY, UNAVAILABLE, "the upstream closed the connection")
            }
            (_, Kind::ConnectionRefused) => {
                reply(502, GATEWAY, UNAVAILABLE, "the upstream refused the connection")
            }
            (_, Kind::ConnectionReset) => {
                reply(502, GATEWAY, UNAVAILABLE, "the upstream reset the connection")
            }
            (_, Kind::ConnectTimeout) => {
                reply(504, TIMEOUT, UNAVAILABLE, "the upstream could not be reached in time")
            }
            (_, Kind::IdleTimeout | Kind::ResponseTimeout) => {
                reply(504, TIMEOUT, DEADLINE_EXCEEDED, "the upstream did not answer in time")
            }
            (_, Kind::Loop) => {
                reply(508, "Loop Detected", INTERNAL, "the request is for spandrel itself")
            }
            (_, Kind::NameResolution) => {
                reply(502, GATEWAY, UNAVAILABLE, "the upstream's name could not be resolved")
            }
            (_, Kind::Overload) => {
                reply(503, BUSY, UNAVAILABLE, "too many requests are in flight (limits.requests)")
            }
            (_, Kind::ProtocolError | Kind::TooLarge) => {
                reply(502, GATEWAY, INTERNAL, "the upstream's response is not valid HTTP")
            }
        }
    }

    /// The fault in the words of the semantic conventions.
    #[must_use]
    pub const fn failure(self) -> Failure {
        Failure {
            error_type: self.kind.as_str(),
            is_cancellation: matches!(self.kind, Kind::Cancelled),
        }
    }

    /// How an HTTP/2 stream is ended whose response has begun already.
    #[must_use]
    pub const fn reset_reason(self) -> Reason {
        match self.kind {
            Kind::Cancelled => Reason::CANCEL,
            Kind::ProtocolError => Reason::PROTOCOL_ERROR,
            Kind::Overload => Reason::REFUSED_STREAM,
            _ => Reason::INTERNAL_ERROR,
        }
    }

    /// Writes the fault to the log, with where the request went and which trace it is part of, as
    /// far as that is known: what the caller can cause at will is for debugging only.
    pub fn log(self, direction: Direction, upstream: &str, trace_id: &str) {
        let (direction, side, kind) = (direction.as_str(), self.side.as_str(), self.kind.as_str());
        match self.side {
            Side::Downstream => {
                tracing::debug!(direction, side, kind, upstream, trace_id, "request failed");
            }
            Side::Upstream | Side::Proxy => {
                tracing::warn!(direction, side, kind, upstream, trace_id, "request failed");
            }
        }
    }
}

impl Reply {
    /// The reply as an HTTP/1.1 message that ends the connection.
    #[must_use]
    pub fn to_http1(self, is_head: bool) -> Vec<u8> {
        let Self { status, phrase, message, .. } = self;
        let body = format!("spandrel: {message}\n");
        let shown = if is_head { "" } else { body.as_str() };
        format!(
            "HTTP/1.1 {status} {phrase}\r\n\
             content-type: text/plain; charset=utf-8\r\n\
             content-length: {}\r\n\
             connection: close\r\n\r\n{shown}",
            body.len()
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_an_answer_that_is_an_error() {
        for side in Side::ALL {
            for kind in Kind::ALL {
                let reply = Fault { side, kind }.reply();
                assert!((400..600).contains(&reply.status), "{side:?} {kind:?}");
                assert!((1..17).contains(&reply.grpc), "{side:?} {kind:?}");
                assert!(reply.message.is_ascii());
            }
        }
    }

    #[test]
    fn the_status_tells_whose_fault_it_was() {
        for kind in Kind::ALL {
            assert!(Fault::downstream(kind).reply().status < 500);
        }
        assert_eq!(Fault::upstream(Kind::ConnectionRefused).reply().status, 502);
        assert_eq!(Fault::proxy(Kind::Overload).reply().status, 503);
        assert_eq!(Fault::upstream(Kind::ResponseTimeout).reply().status, 504);
    }

    #[test]
    fn a_reply_to_head_has_no_body() {
        let reply = Fault::upstream(Kind::ConnectionRefused).reply();
        assert!(reply.to_http1(true).ends_with(b"\r\n\r\n"));
        assert!(reply.to_http1(false).ends_with(b"connection\n"));
    }
}
