//! Redirected connections: where they were meant to go, and connecting from an address that is not
//! our own, or that the rules which redirect know.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

use super::own::{OwnSockets, Purpose, Registered};
use super::{canonical, sockopt};

/// Where spandrel's connections to the application come from: no other program uses this address.
const SPARED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
/// The same for IPv6, which has no second loopback address; nothing else comes from it to an
/// address that is not loopback.
const SPARED_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The ports that connections in a caller's name are made from: below those that systems give out
/// by themselves, so that a connection of the caller's own never has the same ends.
const BORROWED_PORTS: std::ops::Range<u16> = 15_000..32_000;
/// How many of these are tried.
const ATTEMPTS: usize = 64;
/// What connecting without waiting says (EINPROGRESS).
const IN_PROGRESS: i32 = 115;

/// Where a peer meant to go before its traffic was redirected to us.
///
/// Connections that were made to us on purpose have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalDst(pub SocketAddr);

/// Where a connection comes from, in place of the address that the system would choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address that the rules spare.
    Spared,
    /// The caller's. That takes the capability `NET_ADMIN`, and the mark by which rules lead the
    /// answers back to us.
    Caller {
        /// The caller's address.
        ip: IpAddr,
        /// The mark.
        mark: u32,
    },
}

/// Where an accepted connection was meant to go; `None` if it was meant for the listener.
#[must_use]
pub fn original_dst(
    stream: &TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
) -> Option<OriginalDst> {
    let socket = SockRef::from(stream);
    let original = match peer.ip().to_canonical() {
        IpAddr::V4(_) => socket.original_dst_v4(),
        IpAddr::V6(_) => socket.original_dst_v6(),
    };
    // Without an entry in the table of connections, nothing was redirected.
    let meant = canonical(original.ok()?.as_socket()?);
    (meant != canonical(local)).then_some(OriginalDst(meant))
}

/// Where a connection was meant to go that TPROXY has led to a listener on this port.
#[must_use]
pub fn tproxied_dst(local: SocketAddr, listening: u16) -> Option<OriginalDst> {
    (local.port() != listening).then(|| OriginalDst(canonical(local)))
}

/// Connects to `address` from `source`. The connection is among `own` before its other end can be
/// told of it.
///
/// # Errors
/// When the address cannot be reached, or the source may not be used.
pub async fn connect(
    address: SocketAddr,
    source: Option<Source>,
    own: &OwnSockets,
    purpose: Purpose,
) -> io::Result<(TcpStream, Registered)> {
    let (socket, registered) = begin_noted(address, source, own, purpose)?;
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok((stream, registered)),
    }
}

/// Begins to connect, and notes the connection before anybody can ask for it.
fn begin_noted(
    address: SocketAddr,
    source: Option<Source>,
    own: &OwnSockets,
    purpose: Purpose,
) -> io::Result<(Socket, Registered)> {
    let _beginning = own.beginning();
    let mut attempts = match source {
        Some(Source::Caller { .. }) => ATTEMPTS,
        _ => 1,
    };
    let socket = loop {
        attempts -= 1;
        match begin(address, source) {
            Err(error) if attempts > 0 && is_taken(&error) => {}
            begun => break begun?,
        }
    };
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok((socket, own.register(local, address, purpose)))
}

/// Begins to connect, which goes on by itself.
fn begin(address: SocketAddr, source: Option<Source>) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    match source {
        None => {}
        Some(Source::Spared) => {
            let spared = if address.is_ipv4() { SPARED_V4 } else { SPARED_V6 };
            // Otherwise each connection would take a port for itself, whatever its other end.
            sockopt::set_bind_address_no_port(&socket).ok();
            socket.bind(&SocketAddr::new(spared, 0).into())?;
        }
        Some(Source::Caller { ip, mark }) => {
            let ip = ip.to_canonical();
            match ip {
                IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
                IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
            }
            socket.set_mark(mark)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::new(ip, borrowed_port()).into())?;
        }
    }
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// Whether another port may do.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// The ports in turn; a port may be in use with another end.
fn borrowed_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    BORROWED_PORTS.start + next % (BORROWED_PORTS.end - BORROWED_PORTS.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_that_nobody_redirected_has_no_original_destination() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, peer) = accepted.unwrap();
        assert_eq!(original_dst(&stream, peer, address), None);
    }

    #[tokio::test]
    async fn the_spared_address_is_where_a_connection_comes_from() {
        for (at, from) in [("127.0.0.1:0", "127.0.0.6"), ("[::1]:0", "::1")] {
            let listener = TcpListener::bind(at).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (own, purpose) = (OwnSockets::default(), Purpose::Telemetry);
            let connecting = connect(address, Some(Source::Spared), &own, purpose);
            let (connected, accepted) = tokio::join!(connecting, listener.accept());
            let (_, peer) = accepted.unwrap();
            assert_eq!(peer.ip(), from.parse::<IpAddr>().unwrap());
            assert_eq!(own.purpose(peer, address), Some(purpose));
            drop(connected.unwrap());
            assert_eq!(own.purpose(peer, address), None);
        }
    }

    #[tokio::test]
    async fn a_refusal_is_an_error_and_is_forgotten() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        drop(held);
        let own = OwnSockets::default();
        let refused = connect(address, None, &own, Purpose::Telemetry).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn tproxy_tells_by_the_port_what_was_meant_for_the_listener() {
        let local = "[::ffff:10.0.0.1]:8080".parse().unwrap();
        let meant = OriginalDst("10.0.0.1:8080".parse().unwrap());
        assert_eq!(tproxied_dst(local, 16_006), Some(meant));
        assert_eq!(tproxied_dst("10.0.0.1:16006".parse().unwrap(), 16_006), None);
    }
}
