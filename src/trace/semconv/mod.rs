//! Requests and responses in the words of the OpenTelemetry semantic conventions, v1.44.
//!
//! `http.rs` and `rpc.rs` follow the conventions of their name: which attributes a span has, of
//! which type, and when it is an error. For connections there are none; `connection.rs` uses the
//! general attributes. This file holds the names, and what all share.

mod authority;
pub mod connection;
mod forwarded;
pub mod http;
mod peer;
mod redact;
pub mod rpc;
mod servers;

use std::net::SocketAddr;

pub use authority::Authority;
pub use peer::Peer;
pub use redact::QueryValues;
pub use servers::Servers;

use super::Headers;
use super::attributes::{Known, known_name};
use super::span::{Attributes, Kind, Status};

/// The schema that the names below belong to.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

macro_rules! keys {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The attribute names that spandrel writes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Key { $($(#[$doc])* $variant,)* }

        impl Key {
            /// Every name.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name as it is exported.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The name as it stands in OTLP, up to the value.
            pub(in crate::trace) const fn encoded(self) -> &'static [u8] {
                match self {
                    $(Self::$variant => {
                        const ENCODED: [u8; $name.len() + 3] = known_name($name);
                        &ENCODED
                    })*
                }
            }

            /// The key of this name.
            #[cfg(test)]
            pub(crate) fn of(name: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|key| key.as_str().as_bytes() == name)
            }
        }
    };
}

keys! {
    /// Where the request came from, as far as the forwarding headers tell.
    ClientAddress = "client.address",
    /// What went wrong, in a word of low cardinality.
    ErrorType = "error.type",
    /// Bytes of the request's body.
    HttpRequestBodySize = "http.request.body.size",
    /// The method, or `_OTHER`.
    HttpRequestMethod = "http.request.method",
    /// The method as it came, where it is not a known one.
    HttpRequestMethodOriginal = "http.request.method_original",
    /// Bytes of the response's body.
    HttpResponseBodySize = "http.response.body.size",
    /// The status code, a number.
    HttpResponseStatusCode = "http.response.status_code",
    /// The configured template that the path matches.
    HttpRoute = "http.route",
    /// The address at the other end of the socket.
    NetworkPeerAddress = "network.peer.address",
    /// The port at the other end of the socket.
    NetworkPeerPort = "network.peer.port",
    /// `tls`.
    NetworkProtocolName = "network.protocol.name",
    /// `1.0`, `1.1` or `2`.
    NetworkProtocolVersion = "network.protocol.version",
    /// `tcp`.
    NetworkTransport = "network.transport",
    /// The full name of the method, `package.Service/Method`, or `_OTHER`.
    RpcMethod = "rpc.method",
    /// The method as it came, where it is not known to exist.
    RpcMethodOriginal = "rpc.method_original",
    /// The name of the status, such as `OK`.
    RpcResponseStatusCode = "rpc.response.status_code",
    /// `grpc`.
    RpcSystemName = "rpc.system.name",
    /// The name that the request was meant for.
    ServerAddress = "server.address",
    /// The port that the request was meant for.
    ServerPort = "server.port",
    /// The whole URL, without credentials and query values.
    UrlFull = "url.full",
    /// The path.
    UrlPath = "url.path",
    /// The query, without its values.
    UrlQuery = "url.query",
    /// `http` or `https`.
    UrlScheme = "url.scheme",
    /// The user agent.
    UserAgentOriginal = "user_agent.original",
    /// Seconds spent connecting to the upstream, where a connection was made for the request.
    ConnectDuration = "spandrel.connect.duration",
    /// How a connection ended: `client` or `server`, where that side was the first to end it,
    /// `client_reset`, `server_reset`, `idle_timeout` or `shutdown`.
    ConnectionEndedBy = "spandrel.connection.ended_by",
    /// That the destination lies outside the trust zone, so that neither context nor baggage nor
    /// tenant went there.
    ContextWithheld = "spandrel.context.withheld",
    /// What failed.
    FaultKind = "spandrel.fault.kind",
    /// Who failed: `downstream`, `upstream` or `proxy`.
    FaultSide = "spandrel.fault.side",
    /// Seconds from the start to the first byte of the response.
    FirstByteDuration = "spandrel.first_byte.duration",
    /// How an outbound call was joined to its inbound request.
    Join = "spandrel.join",
    /// The header that joined it, where that is no context.
    JoinKey = "spandrel.join.key",
    /// Which part of a request that goes on and on this is, from 1.
    ProgressNumber = "spandrel.progress.number",
    /// Messages that the caller sent meanwhile.
    ProgressRequestMessages = "spandrel.progress.request.messages",
    /// Bytes of content that the caller sent meanwhile.
    ProgressRequestSize = "spandrel.progress.request.size",
    /// Messages that the callee sent meanwhile.
    ProgressResponseMessages = "spandrel.progress.response.messages",
    /// Bytes of content that the callee sent meanwhile.
    ProgressResponseSize = "spandrel.progress.response.size",
    /// Bytes of the messages sent by the caller of an RPC, framing included.
    RequestBodySize = "spandrel.request.body.size",
    /// Seconds from the start to the end of the request's body.
    RequestDuration = "spandrel.request.duration",
    /// Messages that the caller sent, where a body or a tunnel holds several.
    RequestMessages = "spandrel.request.messages",
    /// Bytes of the messages sent by the callee of an RPC, framing included.
    ResponseBodySize = "spandrel.response.body.size",
    /// Messages that the callee sent, where a body or a tunnel holds several.
    ResponseMessages = "spandrel.response.messages",
    /// Segments that were sent again, on the side of the connection that crosses the network.
    TcpRetransmits = "spandrel.tcp.retransmits",
    /// Seconds that a segment takes there and back, on the side that crosses the network.
    TcpRtt = "spandrel.tcp.rtt",
    /// The tenant.
    TenantId = "spandrel.tenant.id",
    /// Why the span was cut short, where spandrel stopped before the request did.
    Truncated = "spandrel.truncated",
    /// Bytes that the client sent through an upgraded or opaque connection.
    TunnelBytesSent = "spandrel.tunnel.request.size",
    /// Bytes that the server sent through an upgraded or opaque connection.
    TunnelBytesReceived = "spandrel.tunnel.response.size",
    /// The status code that a WebSocket was closed with.
    WebSocketCloseCode = "spandrel.websocket.close_code",
}

/// An attribute whose value is a literal, put together when this is compiled.
macro_rules! known {
    ($key:ident, $value:expr) => {{
        use $crate::trace::attributes::{Known, known_length, known_text};
        const KEY: Key = Key::$key;
        const BYTES: [u8; known_length(KEY, $value.as_bytes())] = known_text(KEY, $value);
        Known::new(&BYTES)
    }};
}
use known;

/// The protocol version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    const fn attribute(self) -> Known {
        match self {
            Self::Http10 => known!(NetworkProtocolVersion, "1.0"),
            Self::Http11 => known!(NetworkProtocolVersion, "1.1"),
            Self::Http2 => known!(NetworkProtocolVersion, "2"),
        }
    }
}

/// What the conventions want to know of a request's head.
#[derive(Debug)]
pub struct Request<'a, H> {
    /// Server for inbound requests, client for outbound ones.
    pub kind: Kind,
    /// The method as it came.
    pub method: &'a [u8],
    /// The path without the query; empty for `CONNECT`.
    pub path: &'a [u8],
    /// The query, without the question mark.
    pub query: Option<&'a [u8]>,
    /// `:authority`, or the host of an absolute target, or `Host`.
    pub authority: Option<&'a [u8]>,
    /// The version of the message.
    pub version: Version,
    /// Its headers.
    pub headers: &'a H,
    /// Who is at the other end of the connection that the request came on.
    pub downstream: &'a Peer,
    /// The servers that requests before it were meant for.
    pub servers: &'a Servers,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The status code that the caller was sent, if one was.
    pub status_code: Option<u16>,
    /// The `grpc-status`, if there was one.
    pub grpc_status: Option<u32>,
    /// What failed in or around spandrel.
    pub failure: Option<Failure>,
}

/// A failure in terms of the conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The value of `error.type`.
    pub error_type: &'static str,
    /// Whether the caller went away by itself, which is no error.
    pub is_cancellation: bool,
}

/// Adds the other end of a socket.
pub fn add_peer(attributes: &mut Attributes, peer: SocketAddr) {
    add_address(attributes, Key::NetworkPeerAddress, peer);
    attributes.int(Key::NetworkPeerPort, i64::from(peer.port()));
}

fn add_address(attributes: &mut Attributes, key: Key, address: SocketAddr) {
    use std::io::Write as _;
    // The longest IPv6 address is 39 bytes; a v4-mapped one is written as the IPv4 it is.
    let mut text = [0; 48];
    let mut room = &mut text[..];
    if write!(room, "{}", address.ip().to_canonical()).is_ok() {
        let unused = room.len();
        attributes.raw(key, text.get(..text.len() - unused).unwrap_or_default());
    }
}

/// The first `user-agent`.
fn add_user_agent(attributes: &mut Attributes, headers: &impl Headers) {
    if let Some(agent) = headers.first("user-agent") {
        attributes.raw(Key::UserAgentOriginal, agent);
    }
}

const fn status(is_error: bool) -> Status {
    if is_error { Status::Error } else { Status::Unset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = Key::ALL.iter().map(|k| k.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Key::ALL.len());
    }
}
