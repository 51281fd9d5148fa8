//! How `h2` is set up on either side: every bound on what a peer can make grow.

use crate::proxy::Limits;

/// How many bytes of one stream may be on their way to us. A connection has room for all of its
/// streams at once: one that is not read must not hold up the others.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The largest window that HTTP/2 knows (RFC 9113, section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// How many bytes of one stream may wait to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// The side that clients talk to.
pub(super) fn server(limits: &Limits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits))
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(Some(limits.error_resets))
        .max_header_list_size(header_bytes(limits));
    builder
}

/// The side that talks to servers.
pub(super) fn client(limits: &Limits) -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits))
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(limits.error_resets))
        .max_header_list_size(header_bytes(limits))
        .enable_push(false);
    builder
}

/// The bytes of a header list that h2 takes. What is longer it answers by itself, or cuts in
/// trailers, so it takes far more than may be passed on: what is too large is then seen here,
/// answered, and told by a span.
pub(super) fn header_bytes(limits: &Limits) -> u32 {
    u32::try_from(limits.header_bytes.saturating_mul(16)).unwrap_or(u32::MAX)
}

fn connection_window(limits: &Limits) -> u32 {
    limits.streams.saturating_mul(STREAM_WINDOW).clamp(STREAM_WINDOW, MAX_WINDOW)
}
