//! Sockets: options, buffers and timers. Knows bytes and addresses, nothing of HTTP.

pub mod accept;
pub mod buffer;
pub mod clock;
pub mod idle;
pub mod splice;
pub mod tcp_info;
pub mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel holds for us until we accept them.
const BACKLOG: i32 = 1_024;

/// Where a peer meant to go before its traffic was redirected to us.
///
/// Connections that were made to us on purpose have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalDst(pub SocketAddr);

/// Binds a listener that several workers may accept from.
///
/// # Errors
/// When the address is in use or not ours to bind.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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
