//! Where a request goes, and the connection that takes it there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::connection::Conn;
use super::fault::{Fault, Kind};
use super::{Authority, Inbound, InboundMode};
use crate::direction::Direction;
use crate::net;
use crate::net::own::Purpose;
use crate::net::redirect::{self, OriginalDst, Source};
use crate::net::wire::Wire;
use crate::trace::semconv;

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// The port of `http` where none is written.
const HTTP_PORT: u16 = 80;

/// An upstream connection that was begun before there was a request for it.
#[derive(Debug)]
pub struct Dialled {
    /// The connection and its other end, or why there is none.
    pub result: Result<(Wire, SocketAddr), Fault>,
    /// How long connecting took.
    pub took: Duration,
}

/// Where a request of this connection goes: outbound, where we are asked as a proxy, to the
/// authority it names.
///
/// # Errors
/// When such a request names no authority that one could connect to.
pub fn target(conn: &Conn, authority: Option<&[u8]>) -> Result<Authority, Fault> {
    if let Some(fixed) = &conn.target {
        return Ok(fixed.clone());
    }
    let parsed = authority.and_then(semconv::Authority::parse);
    let host = parsed.and_then(|a| std::str::from_utf8(a.host).ok());
    match (host, parsed) {
        (Some(host), Some(parsed)) => {
            Ok(Authority { host: host.into(), port: parsed.port.unwrap_or(HTTP_PORT) })
        }
        _ => Err(Fault::downstream(Kind::ProtocolError)),
    }
}

/// Connects to `target` within the time that connecting may take, name resolution included.
///
/// # Errors
/// When no address answers in time, or when the address is our own.
pub async fn connect(conn: &Conn, target: &Authority) -> Result<(Wire, SocketAddr), Fault> {
    let limit = conn.worker.config.limits.connect_timeout;
    let late = Fault::upstream(Kind::ConnectTimeout);
    timeout(limit, connect_any(conn, target)).await.unwrap_or(Err(late))
}

async fn connect_any(conn: &Conn, target: &Authority) -> Result<(Wire, SocketAddr), Fault> {
    if let Ok(ip) = target.host.parse::<IpAddr>() {
        return connect_one(conn, SocketAddr::new(ip, target.port)).await;
    }
    let addresses = tokio::net::lookup_host((&*target.host, target.port)).await;
    let Ok(addresses) = addresses else { return Err(Fault::upstream(Kind::NameResolution)) };
    let mut failure = Fault::upstream(Kind::NameResolution);
    for address in addresses.take(MAX_ADDRESSES) {
        match connect_one(conn, address).await {
            Ok(connected) => return Ok(connected),
            Err(fault) => failure = fault,
        }
    }
    Err(failure)
}

async fn connect_one(conn: &Conn, address: SocketAddr) -> Result<(Wire, SocketAddr), Fault> {
    let address = reachable(address);
    if conn.is_loop(address, conn.local.ip()) {
        return Err(Fault::proxy(Kind::Loop));
    }
    let purpose = Purpose::Traffic(conn.direction);
    let connecting = redirect::connect(address, source(conn), &conn.worker.own_sockets, purpose);
    let (stream, registered) = connecting.await.map_err(|error| connect_fault(&error))?;
    // By another of this machine's addresses one comes to oneself as well.
    match stream.local_addr() {
        Ok(local) if conn.is_loop(address, local.ip()) => Err(Fault::proxy(Kind::Loop)),
        _ => {
            let wire = Wire::new(stream, Rc::clone(&conn.worker.pool));
            Ok((wire.registered(registered), address))
        }
    }
}

/// Where a connection to the application comes from, so that it is not redirected back to us.
fn source(conn: &Conn) -> Option<Source> {
    let OriginalDst(meant) = conn.original?;
    let Inbound { mode, .. } = conn.worker.config.inbound.as_ref()?;
    match (conn.direction, mode) {
        (Direction::Outbound, _) | (_, InboundMode::Explicit(_)) => None,
        // The application called itself: its answers would not come by way of us.
        (_, InboundMode::Tproxy { mark }) if conn.peer.ip().to_canonical() != meant.ip() => {
            Some(Source::Caller { ip: conn.peer.ip(), mark: *mark })
        }
        (_, InboundMode::Redirect | InboundMode::Tproxy { .. }) => Some(Source::Spared),
    }
}

/// The address that the system connects to when it is told this one: "unspecified" means this
/// machine to it.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn connect_fault(error: &io::Error) -> Fault {
    if net::is_exhausted(error) {
        return Fault::proxy(Kind::Overload);
    }
    Fault::upstream(match error.kind() {
        io::ErrorKind::TimedOut => Kind::ConnectTimeout,
        io::ErrorKind::ConnectionReset => Kind::ConnectionReset,
        _ => Kind::ConnectionRefused,
    })
}

impl Authority {
    /// The host and port of an address.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        Self { host: address.ip().to_canonical().to_string().into(), port: address.port() }
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
