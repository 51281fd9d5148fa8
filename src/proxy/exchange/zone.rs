//! Whether a request goes to somebody who may know of our traces and tenants.

use std::net::IpAddr;

use crate::direction::Direction;
use crate::proxy::connection::Conn;
use crate::trace::Headers;
use crate::trace::semconv::{self, Request};
use crate::trace::zone::TrustZone;

/// Where a request goes, as far as trust is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// To somebody who may know of it what there is to know.
    Inside,
    /// To where the address alone decides.
    ByAddress,
    /// To a stranger.
    Outside,
}

impl Zone {
    /// What the request's head says. Where nothing is recorded nothing is changed, and a tunnel
    /// that we are asked for has no head that would go on.
    pub(super) fn of<H: Headers>(conn: &Conn, request: &Request<'_, H>) -> Self {
        let tracing = &conn.worker.config.tracing;
        let is_tunnel = conn.is_asked_as_proxy() && request.path.is_empty();
        let is_leaving = conn.direction == Direction::Outbound && !is_tunnel && tracing.is_enabled;
        let host = request.authority.and_then(semconv::Authority::parse).map(|a| a.host);
        let is_named = || host.is_some_and(|host| tracing.trust_zone.has_name(host));
        if is_leaving && !is_named() { Self::ByAddress } else { Self::Inside }
    }

    /// What the address adds that was connected to.
    pub(super) fn decide(&mut self, zone: &TrustZone, peer: IpAddr) {
        if *self == Self::ByAddress {
            *self = if zone.has_address(peer) { Self::Inside } else { Self::Outside };
        }
    }
}
