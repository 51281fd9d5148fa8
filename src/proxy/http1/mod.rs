//! HTTP/1.x: relayed message by message, as the bytes that came.

pub mod framing;
pub mod head;
pub mod host;
pub mod relay;
pub mod splice;
pub mod target;
mod trailer;
pub mod transfer;

use self::framing::FramingError;
use self::head::HeadError;
use super::fault::Kind;

impl From<HeadError> for Kind {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Malformed => Self::ProtocolError,
            HeadError::TooLarge => Self::TooLarge,
        }
    }
}

impl From<FramingError> for Kind {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::Chunk => Self::ProtocolError,
            FramingError::TooLarge => Self::TooLarge,
        }
    }
}
