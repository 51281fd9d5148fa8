//! The option of sockets that no crate of ours offers.

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
    // SAFETY: the descriptor is open for as long as it is borrowed, and the option is read from an
    // int that outlives the call, of the size that is told.
    #[expect(unsafe_code, reason = "neither socket2 nor rustix offers this option")]
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
