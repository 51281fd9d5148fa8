//! Connections that carry something else than HTTP.
//!
//! The conventions have attributes for them (`server.*`, `network.*`) but no spans. The name that a
//! TLS client asks for is `server.address`: `tls.client.server_name` is deprecated in its favour.

use std::net::SocketAddr;

use super::{Failure, Key, add_address, add_peer, status};
use crate::trace::span::{Attributes, Kind, Status};

/// What is known of a connection at its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Server for inbound connections, client for outbound ones.
    pub kind: Kind,
    /// Whether it begins as TLS does.
    pub is_tls: bool,
    /// The name that the client asks for, where TLS tells.
    pub server_name: Option<&'a str>,
    /// Who made the connection.
    pub caller: SocketAddr,
    /// Where the connection was made to.
    pub destination: SocketAddr,
}

impl Connection<'_> {
    /// The name of its span.
    #[must_use]
    pub const fn span_name(&self) -> &'static str {
        if self.is_tls { "TLS" } else { "TCP" }
    }

    /// Adds what is known at the beginning. The address that a client has reached is not part of
    /// it: see [`add_peer`].
    pub fn begin(&self, attributes: &mut Attributes) {
        match (self.server_name, self.kind) {
            (Some(name), _) => attributes.text(Key::ServerAddress, name),
            (None, Kind::Client) => add_address(attributes, Key::ServerAddress, self.destination),
            (None, Kind::Server) => {}
        }
        attributes.int(Key::ServerPort, i64::from(self.destination.port()));
        if self.kind == Kind::Server {
            add_peer(attributes, self.caller);
        }
        attributes.text(Key::NetworkTransport, "tcp");
        if self.is_tls {
            attributes.text(Key::NetworkProtocolName, "tls");
        }
    }
}

/// Adds how it failed, if it did, and gives the status.
pub fn end(attributes: &mut Attributes, failure: Option<Failure>) -> Status {
    let Some(failure) = failure.filter(|failure| !failure.is_cancellation) else {
        return Status::Unset;
    };
    attributes.text(Key::ErrorType, failure.error_type);
    status(true)
}
