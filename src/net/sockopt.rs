//! What sockets can be asked and told that no crate of ours offers.

#![expect(unsafe_code, reason = "neither socket2 nor rustix offers these two options")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Lets the system choose a socket's port when it connects rather than when it is bound, so that
/// connections to different ends may share one (`IP_BIND_ADDRESS_NO_PORT`, ip(7)).
///
/// # Errors
/// On kernels before 4.2.
pub(super) fn set_bind_address_no_port(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).expect("an int is small");
    // SAFETY: the descriptor is borrowed, so it is open for the whole call, and the option is read
    // from an int that outlives the call, of the size that is told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Fills `record` with the start of what the system has measured of a connection (`TCP_INFO`,
/// tcp(7)), as far as there is something to fill in, and gives that part of it.
///
/// # Errors
/// Where the socket is no TCP connection.
pub(super) fn tcp_info<'a>(socket: &impl AsFd, record: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut length = libc::socklen_t::try_from(record.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed, so it is open for the whole call; `record` is `length`
    // bytes of writable memory, and the kernel writes no more than that many, of any value; both
    // pointers are to what outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            record.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let filled = usize::try_from(length).unwrap_or(usize::MAX).min(record.len());
    Ok(record.get(..filled).unwrap_or_default())
}
