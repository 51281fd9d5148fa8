//! WebSocket's frames: two bytes, a length and a mask as these say, and the payload (RFC 6455,
//! section 5.2).

use super::Close;

/// The longest head of a frame: two bytes, eight of length, four of mask.
const MAX_HEAD: usize = 14;
/// In the first byte: this frame is the last of its message.
const FINAL: u8 = 0x80;
/// In the second byte: the payload is masked.
const MASKED: u8 = 0x80;
const CLOSE: u8 = 8;
/// The bytes of a status code, at the front of a Close frame's payload.
const CODE_LENGTH: usize = 2;

/// The frames of one direction.
#[derive(Debug, Default)]
pub(super) struct Socket {
    state: State,
    count: u64,
    close: Option<Close>,
}

#[derive(Debug)]
enum State {
    /// In a frame's head, of which so many bytes have come.
    Head { bytes: [u8; MAX_HEAD], seen: usize },
    /// In a frame's payload.
    Payload { frame: Frame, left: u64 },
    /// These are no frames.
    Lost,
}

impl Default for State {
    fn default() -> Self {
        Self::Head { bytes: [0; MAX_HEAD], seen: 0 }
    }
}

/// What a frame's head says, and the front of its payload.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    is_final: bool,
    length: u64,
    mask: [u8; 4],
    front: [u8; CODE_LENGTH],
}

impl Frame {
    /// Reads a head; `None` when it needs more bytes than these.
    fn parse(head: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = head.split_first_chunk()?;
        let (length, rest) = match second & !MASKED {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            length => (u64::from(length), rest),
        };
        let mask = if second & MASKED == 0 { [0; 4] } else { *rest.first_chunk()? };
        let (opcode, is_final) = (first & 0x0f, first & FINAL != 0);
        Some(Self { opcode, is_final, length, mask, front: [0; CODE_LENGTH] })
    }

    /// The status code at the front of the payload.
    fn code(&self) -> Option<u16> {
        let [a, b] = self.front;
        let [mask_a, mask_b, ..] = self.mask;
        (self.length >= CODE_LENGTH as u64).then(|| u16::from_be_bytes([a ^ mask_a, b ^ mask_b]))
    }
}

impl Socket {
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) const fn close(&self) -> Option<Close> {
        self.close
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((byte, after)) = bytes.split_first() {
            match &mut self.state {
                State::Lost => return,
                State::Head { bytes: head, seen } => {
                    if let Some(place) = head.get_mut(*seen) {
                        *place = *byte;
                        *seen += 1;
                    }
                    if let Some(frame) = head.get(..*seen).and_then(Frame::parse) {
                        self.begin(frame);
                    }
                    bytes = after;
                }
                State::Payload { frame, left } => {
                    let count = usize::try_from(*left).map_or(bytes.len(), |l| l.min(bytes.len()));
                    let passed = usize::try_from(frame.length - *left).unwrap_or(usize::MAX);
                    for (place, byte) in frame.front.iter_mut().skip(passed).zip(bytes) {
                        *place = *byte;
                    }
                    *left -= count as u64;
                    bytes = bytes.get(count..).unwrap_or_default();
                    if *left == 0 {
                        let frame = *frame;
                        self.end(frame);
                    }
                }
            }
        }
    }

    fn begin(&mut self, frame: Frame) {
        // The highest bit of a length must not be set, and the opcodes between are not given out.
        if frame.length > i64::MAX as u64 || !matches!(frame.opcode, 0..=2 | 8..=10) {
            self.state = State::Lost;
        } else if frame.length == 0 {
            self.end(frame);
        } else {
            self.state = State::Payload { frame, left: frame.length };
        }
    }

    fn end(&mut self, frame: Frame) {
        self.state = State::default();
        if frame.opcode == CLOSE {
            self.close = Some(Close { code: frame.code() });
        } else if frame.opcode < CLOSE && frame.is_final {
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 9;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let head = match payload.len() {
            length @ ..126 => vec![first, u8::try_from(length).unwrap()],
            length @ ..65_536 => {
                [&[first, 126], &u16::try_from(length).unwrap().to_be_bytes()[..]].concat()
            }
            length => [&[first, 127], &(length as u64).to_be_bytes()[..]].concat(),
        };
        [&head, payload].concat()
    }

    fn read(bytes: &[u8]) -> Socket {
        let mut socket = Socket::default();
        socket.read(bytes);
        socket
    }

    #[test]
    fn messages_are_counted_whatever_their_length_and_fragments() {
        let bytes = [
            frame(FINAL | 1, b"text"),
            frame(2, &[1; 200]), // a fragment
            frame(FINAL | PING, b"in between"),
            frame(0, &vec![2; 70_000]),
            frame(FINAL, b""),
        ]
        .concat();
        assert_eq!(read(&bytes).count(), 2);
        assert_eq!(read(&bytes[..bytes.len() - 1]).count(), 1);
    }

    #[test]
    fn a_close_frame_tells_its_code_masked_or_not() {
        let plain = read(&frame(FINAL | CLOSE, &[0x03, 0xf3, b'!']));
        assert_eq!(plain.close(), Some(Close { code: Some(1011) }));
        let masked = read(&[FINAL | CLOSE, MASKED | 2, 1, 2, 3, 4, 0x03 ^ 1, 0xe8 ^ 2]);
        assert_eq!(masked.close(), Some(Close { code: Some(1000) }));
        assert_eq!(read(&frame(FINAL | CLOSE, b"")).close(), Some(Close { code: None }));
        assert_eq!(read(&frame(FINAL | 1, b"hello")).close(), None);
    }

    #[test]
    fn what_is_no_frame_ends_the_reading() {
        let good = frame(FINAL | 1, b"text");
        for bad in [vec![FINAL | 3, 0], [&[FINAL | 2, 127], &[0xff; 8][..]].concat()] {
            assert_eq!(read(&[&good, &bad, &good[..]].concat()).count(), 1, "{bad:?}");
        }
    }
}
