//! gRPC-Web in base64: frames behind groups of four characters, any of which may be padded.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use super::grpc::Frames;

/// Decodes one group.
const GROUP: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The frames behind a body in base64.
#[derive(Debug)]
pub(super) struct Text {
    frames: Frames,
    /// The characters of a group, and how many of them have come.
    group: [u8; 4],
    seen: usize,
    /// Whether this is not base64 after all.
    is_lost: bool,
}

impl Default for Text {
    fn default() -> Self {
        Self { frames: Frames::of_web(), group: [0; 4], seen: 0, is_lost: false }
    }
}

impl Text {
    pub(super) const fn frames(&self) -> &Frames {
        &self.frames
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            if self.is_lost {
                return;
            }
            if let Some(place) = self.group.get_mut(self.seen) {
                *place = *byte;
                self.seen += 1;
            }
            if self.seen == self.group.len() {
                self.decode();
            }
        }
    }

    fn decode(&mut self) {
        let mut decoded = [0; 3];
        self.seen = 0;
        match GROUP.decode_slice_unchecked(self.group, &mut decoded) {
            Ok(length) => self.frames.read(decoded.get(..length).unwrap_or_default()),
            Err(_) => self.is_lost = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Text {
        let mut reader = Text::default();
        reader.read(text.as_bytes());
        reader
    }

    #[test]
    fn padding_may_stand_behind_every_frame() {
        // The message "hi", and the trailers "grpc-status:7", each padded by itself.
        let text = read("AAAAAAJoaQ==gAAAAA1ncnBjLXN0YXR1czo3");
        assert_eq!((text.frames().count(), text.frames().status()), (1, Some(&b"7"[..])));
        let broken = read("AAAAAAJoaQ==\r\ngAAAAA1n\ncnBjLXN0YXR1czo3");
        assert_eq!(broken.frames().status(), Some(&b"7"[..]));
    }

    #[test]
    fn what_is_not_base64_ends_the_reading() {
        let text = read("AAAAAAJoaQ==!AAAgAAAAA1ncnBjLXN0YXR1czo3");
        assert_eq!((text.frames().count(), text.frames().status()), (1, None));
        assert_eq!(read("====AAAAAAJoaQ==").frames().count(), 0);
    }
}
