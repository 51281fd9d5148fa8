//! The heads of the frames that go out, read as they are written.

use super::frame::{GOAWAY, HEAD};

/// How many bytes of a frame's payload are read, where any are.
const READ: usize = 4;

/// Where the frames that go out begin and end.
#[derive(Debug)]
pub(super) struct Sent {
    /// A frame's head, and the start of its payload if that matters.
    start: [u8; HEAD + READ],
    filled: usize,
    /// What is left of the payload.
    left: usize,
    /// The last stream that will be looked at, since the peer was told to go.
    last: u32,
}

impl Default for Sent {
    fn default() -> Self {
        Self { start: [0; HEAD + READ], filled: 0, left: 0, last: u32::MAX }
    }
}

impl Sent {
    /// The last stream that will be looked at.
    pub(super) const fn last(&self) -> u32 {
        self.last
    }

    /// Reads what is written, and tells of each frame that begins: its kind, flags and stream.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut begins: impl FnMut(u8, u8, u32)) {
        while !bytes.is_empty() {
            let wanted = self.wanted();
            let (count, is_start) = match wanted - self.filled {
                0 => (self.left.min(bytes.len()), false),
                missing => (missing.min(bytes.len()), true),
            };
            let (now, later) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
            bytes = later;
            if !is_start {
                self.left -= count;
            } else if let Some(room) = self.start.get_mut(self.filled..self.filled + count) {
                room.copy_from_slice(now);
                self.filled += count;
                if self.filled == self.wanted() {
                    self.begin(&mut begins);
                }
            }
            if self.filled == self.wanted() && self.left == 0 {
                self.filled = 0;
            }
        }
    }

    /// How many bytes of the frame must be there before it is told of.
    const fn wanted(&self) -> usize {
        let [_, _, _, kind, ..] = self.start;
        if self.filled >= HEAD && kind == GOAWAY { HEAD + READ } else { HEAD }
    }

    fn begin(&mut self, begins: &mut impl FnMut(u8, u8, u32)) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3, rest @ ..] = self.start;
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap_or_default();
        self.left = length.saturating_sub(self.filled - HEAD);
        if kind == GOAWAY {
            self.last = u32::from_be_bytes(rest);
        }
        begins(kind, flags, u32::from_be_bytes([s0, s1, s2, s3]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let bytes: Vec<u8> = [
            &[0, 0, 3, 0, 1, 0, 0, 0, 5][..],
            b"abc",
            &[0, 0, 0, 4, 1, 0, 0, 0, 0],
            &[0, 0, 10, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, b'h', b'i'],
            &[0, 0, 4, 3, 0, 0, 0, 0, 9, 0, 0, 0, 8],
        ]
        .concat();
        for size in 1..bytes.len() {
            let (mut sent, mut seen) = (Sent::default(), Vec::new());
            for part in bytes.chunks(size) {
                sent.read(part, |kind, flags, stream| seen.push((kind, flags, stream)));
            }
            assert_eq!(seen, [(0, 1, 5), (4, 1, 0), (GOAWAY, 0, 0), (3, 0, 9)], "by {size}");
            assert_eq!(sent.last(), 7);
        }
    }
}
