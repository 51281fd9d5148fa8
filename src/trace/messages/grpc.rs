//! gRPC's frames: a flag byte, a length of four bytes, and so many bytes of message.

/// The flag of the frame that holds the trailers of gRPC-Web.
const TRAILERS: u8 = 0x80;
/// The most bytes of trailers that are looked at.
const MAX_TRAILERS: usize = 8 * 1024;
/// The bytes of a flag and a length.
const HEAD: u8 = 5;

/// The frames of one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    state: State,
    count: u64,
    /// What the trailers hold, where they are part of the body.
    trailers: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the flag and the length; how many of their bytes there were.
    Head { seen: u8, flag: u8, length: u32 },
    /// In a message.
    Message { left: u32 },
    /// In the trailers.
    Trailers { left: u32 },
}

impl Default for State {
    fn default() -> Self {
        Self::Head { seen: 0, flag: 0, length: 0 }
    }
}

impl Frames {
    /// The frames of gRPC-Web, whose last one may hold trailers.
    pub(super) fn of_web() -> Self {
        Self { trailers: Some(Vec::new()), ..Self::default() }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// The value of `grpc-status` in the trailers.
    pub(super) fn status(&self) -> Option<&[u8]> {
        let lines = self.trailers.as_ref()?.split(|b| *b == b'\n');
        lines.into_iter().find_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            let (name, value) = line.split_at_checked(at)?;
            let is_status = name.trim_ascii().eq_ignore_ascii_case(b"grpc-status");
            is_status.then(|| value.get(1..).unwrap_or_default().trim_ascii())
        })
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((first, after)) = bytes.split_first() {
            match &mut self.state {
                State::Head { seen, flag, length } => {
                    match seen {
                        0 => *flag = *first,
                        _ => *length = *length << 8 | u32::from(*first),
                    }
                    *seen += 1;
                    bytes = after;
                }
                State::Message { left } => {
                    let (_, rest) = take(bytes, left);
                    bytes = rest;
                }
                State::Trailers { left } => {
                    let (part, rest) = take(bytes, left);
                    if let Some(trailers) = &mut self.trailers {
                        let room = MAX_TRAILERS.saturating_sub(trailers.len());
                        trailers.extend_from_slice(part.get(..room).unwrap_or(part));
                    }
                    bytes = rest;
                }
            }
            self.settle();
        }
    }

    /// Goes on to what follows a part that is complete.
    fn settle(&mut self) {
        if let State::Head { seen: HEAD, flag, length: left } = self.state {
            let is_trailers = self.trailers.is_some() && flag & TRAILERS != 0;
            self.state =
                if is_trailers { State::Trailers { left } } else { State::Message { left } };
        }
        match self.state {
            State::Message { left: 0 } => {
                self.count += 1;
                self.state = State::default();
            }
            State::Trailers { left: 0 } => self.state = State::default(),
            _ => {}
        }
    }
}

/// Takes up to `left` bytes.
fn take<'a>(bytes: &'a [u8], left: &mut u32) -> (&'a [u8], &'a [u8]) {
    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= u32::try_from(count).unwrap_or(*left);
    bytes.split_at_checked(count).unwrap_or((bytes, b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[flag], &length[..], content].concat()
    }

    fn read(mut frames: Frames, bytes: &[u8]) -> Frames {
        frames.read(bytes);
        frames
    }

    #[test]
    fn whole_messages_are_counted_empty_and_compressed_ones_too() {
        let bytes = [frame(0, b"hello"), frame(0, b""), frame(1, &[7; 300])].concat();
        assert_eq!(read(Frames::default(), &bytes).count(), 3);
        assert_eq!(read(Frames::default(), &bytes[..bytes.len() - 1]).count(), 2);
        assert_eq!(read(Frames::default(), b"").count(), 0);
    }

    #[test]
    fn the_status_stands_in_the_trailers_of_grpc_web() {
        for trailers in ["grpc-status: 5\r\ngrpc-message: no\r\n", "x: y\r\nGRPC-Status:5"] {
            let bytes = [frame(0, b"hello"), frame(TRAILERS, trailers.as_bytes())].concat();
            let frames = read(Frames::of_web(), &bytes);
            assert_eq!((frames.count(), frames.status()), (1, Some(&b"5"[..])), "{trailers}");
        }
    }

    #[test]
    fn only_grpc_web_has_trailers_in_its_body() {
        let bytes = frame(TRAILERS, b"grpc-status: 5");
        assert_eq!(read(Frames::default(), &bytes).status(), None);
        assert_eq!(read(Frames::of_web(), &frame(0, b"grpc-status: 5")).status(), None);
    }

    #[test]
    fn endless_trailers_are_not_held() {
        let frames = read(Frames::of_web(), &frame(TRAILERS, &b"xyz".repeat(MAX_TRAILERS)));
        assert!(frames.trailers.is_some_and(|held| held.len() == MAX_TRAILERS));
    }
}
