//! Sockets: options, buffers and timers. Knows bytes and addresses, nothing of HTTP.

pub mod accept;
pub mod buffer;
pub mod clock;
pub mod idle;
pub mod own;
pub mod redirect;
mod sockopt;
pub mod splice;
pub mod tcp_info;
pub mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel holds for us until we accept them.
const BACKLOG: i32 = 1_024;
/// What a system without IPv6 says of its sockets (EAFNOSUPPORT).
const NO_FAMILY: i32 = 97;

/// Binds a listener that several workers may accept from. At `[::]` it takes connections of IPv4
/// as well, and those alone where the system has no IPv6.
///
/// # Errors
/// When the address is in use or not ours to bind.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_as(address, Taking::Own)
}

/// What a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// Connections to its own address.
    Own,
    /// Those too that TPROXY leads to it, which takes the capability `NET_ADMIN`.
    Tproxied,
}

/// The same for a listener that takes other connections too.
///
/// # Errors
/// As [`bind`], or when the process lacks the capability.
pub fn bind_as(address: SocketAddr, taking: Taking) -> io::Result<TcpListener> {
    let is_everywhere = address.is_ipv6() && address.ip().is_unspecified();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let socket = match socket {
        Err(error) if is_everywhere && error.raw_os_error() == Some(NO_FAMILY) => {
            return bind_as((Ipv4Addr::UNSPECIFIED, address.port()).into(), taking);
        }
        socket => socket?,
    };
    if is_everywhere {
        socket.set_only_v6(false)?;
    }
    match (taking, address.is_ipv6()) {
        (Taking::Own, _) => {}
        (Taking::Tproxied, true) => socket.set_ip_transparent_v6(true)?,
        (Taking::Tproxied, false) => socket.set_ip_transparent_v4(true)?,
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a socket for datagrams, of which the system is asked to hold so many bytes for us.
///
/// # Errors
/// When the address is in use or not ours to bind.
pub fn bind_datagrams(address: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // What the system does not grant we do without.
    socket.set_recv_buffer_size(buffer).ok();
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// An address of IPv4 as such, though a socket of IPv6 tells it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether the system has no descriptors or memory left (EMFILE, ENFILE, ENOBUFS, ENOMEM), so that
/// trying again at once would only spin.
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    const EXHAUSTED: [i32; 4] = [24, 23, 105, 12];
    error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

/// Raises the number of files that may be open to the most that the process is allowed.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // What the process may not have it does without.
    setrlimit(Resource::Nofile, raised).ok();
}
