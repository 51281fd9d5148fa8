//! Where a request goes, and the connection that takes it there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::Conn;
use super::fault::{Fault, Kind};
use super::{Authority, Inbound};
use crate::direction::Direction;
use crate::net;
use crate::trace::semconv;

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// The port of `http` where none is written.
const HTTP_PORT: u16 = 80;

/// Where a request of this connection goes: inbound always to the application, outbound to the
/// authority it names. (A redirected connection will go to its `OriginalDst`.)
///
/// # Errors
/// When an outbound request names no authority that one could connect to.
pub fn target(conn: &Conn, authority: Option<&[u8]>) -> Result<Authority, Fault> {
    let inbound = conn.worker.config.inbound.as_ref();
    if let (Direction::Inbound, Some(app)) = (conn.direction, inbound.and_then(Inbound::app)) {
        return Ok(app.clone());
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
pub async fn connect(conn: &Conn, target: &Authority) -> Result<(TcpStream, SocketAddr), Fault> {
    let limit = conn.worker.config.limits.connect_timeout;
    let late = Fault::upstream(Kind::ConnectTimeout);
    timeout(limit, connect_any(conn, target)).await.unwrap_or(Err(late))
}

async fn connect_any(conn: &Conn, target: &Authority) -> Result<(TcpStream, SocketAddr), Fault> {
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

async fn connect_one(conn: &Conn, address: SocketAddr) -> Result<(TcpStream, SocketAddr), Fault> {
    let address = reachable(address);
    if conn.is_loop(address, conn.local.ip()) {
        return Err(Fault::proxy(Kind::Loop));
    }
    let stream = TcpStream::connect(address).await.map_err(|error| connect_fault(&error))?;
    // By another of this machine's addresses one comes to oneself as well.
    match stream.local_addr() {
        Ok(local) if conn.is_loop(address, local.ip()) => Err(Fault::proxy(Kind::Loop)),
        _ => Ok((stream, address)),
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

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
