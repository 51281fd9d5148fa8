//! HTTP/2 and gRPC: served stream by stream, frames coded anew on either side.
//!
//! The crate `h2` is driven directly rather than through a server framework, because a sidecar
//! must pass on what such a framework hides: reset codes, interim responses, and whether a
//! message ended with its head, its data or its trailers.

pub mod pump;
pub mod serve;
pub mod stream;
