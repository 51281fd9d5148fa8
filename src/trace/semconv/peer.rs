//! The other end of a connection as spans tell of it, put together once for all its requests.

use std::net::SocketAddr;

use super::super::span::Attributes;
use super::{Key, add_peer};

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    as_client: Attributes,
    as_peer: Attributes,
}

impl Peer {
    /// Who is at this address.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        let (mut as_client, mut as_peer) = (Attributes::default(), Attributes::default());
        add_peer(&mut as_peer, address);
        // One of v4 that is mapped into v6 is written as what it is in v4.
        as_client.text(Key::ClientAddress, &address.ip().to_canonical().to_string());
        Self { as_client, as_peer }
    }

    /// Adds who connected.
    pub(super) fn add(&self, attributes: &mut Attributes) {
        attributes.extend(&self.as_peer);
    }

    /// Adds who connected, where that is who asks.
    pub(super) fn add_as_client(&self, attributes: &mut Attributes) {
        attributes.extend(&self.as_client);
        attributes.extend(&self.as_peer);
    }
}
