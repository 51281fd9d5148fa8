//! HTTP/1.x: relayed message by message, as the bytes that came.

pub mod framing;
pub mod head;
pub mod relay;
pub mod splice;
pub mod target;
pub mod transfer;
