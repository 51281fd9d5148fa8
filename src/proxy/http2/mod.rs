//! HTTP/2 and gRPC: served stream by stream, frames coded anew on either side.
//!
//! The crate `h2` is driven directly rather than through a server framework, because a sidecar
//! must pass on what such a framework hides: reset codes, interim responses, and whether a
//! message ended with its head, its data or its trailers. Frames are checked before they reach
//! `h2`, which does not keep RFC 9113 to the letter.

mod field;
mod frame;
mod frames;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod guard;
mod hpack;
mod huffman;
mod message;
pub mod pump;
mod refusal;
mod sent;
pub mod serve;
mod settings;
pub mod stream;
mod streams;
mod transfer;
mod tunnel;
pub mod upstreams;
