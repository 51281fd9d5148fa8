//! Where a message's body ends (RFC 9112, sections 6 and 7).
//!
//! A `Body` looks at bytes as they pass and says how many of them belong to the message. It never
//! changes one. What could be read in two ways is an error.

use super::trailer::TrailerLine;

/// The longest line of chunk framing, extensions included, in bytes.
const MAX_CHUNK_LINE: u32 = 8 * 1024;
/// The most digits of a chunk's size: those of a 64-bit number.
const MAX_SIZE_DIGITS: u32 = 16;

/// A body on its way past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    state: State,
    /// The most bytes that trailers may have.
    trailer_limit: usize,
    /// Whether trailers must be fields that change nothing of the message.
    is_strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing more belongs to the message.
    Done,
    /// So many bytes are left.
    Length(u64),
    /// Chunks follow.
    Chunked(Chunk),
    /// Everything until the connection ends.
    UntilClose,
}

/// Where in the chunk framing the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In the digits of a size; how many there have been.
    Size { size: u64, digits: u32 },
    /// In white space behind the size.
    Space { size: u64, length: u32 },
    /// In what may follow the size up to the end of the line.
    Extension { size: u64, length: u32 },
    /// After the carriage return that ends a size line.
    SizeEnd { size: u64 },
    /// In the data.
    Data { left: u64 },
    /// Before the line end behind the data: how many of its two bytes were seen.
    DataEnd { seen: u8 },
    /// At the start of a trailer line, or of the empty line that ends the message.
    TrailerStart { total: usize },
    /// In a trailer line.
    Trailer { total: usize, line: TrailerLine },
    /// After the carriage return of a trailer line.
    TrailerEnd { total: usize },
    /// After the carriage return of the last line.
    LastEnd,
}

/// The body is not what its framing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// The chunk framing is broken.
    Chunk,
    /// The trailers, or a chunk's extension, are too long.
    TooLarge,
}

impl Body {
    /// No body at all.
    #[must_use]
    pub const fn none() -> Self {
        Self::new(State::Done)
    }

    /// A body of exactly `length` bytes.
    #[must_use]
    pub const fn length(length: u64) -> Self {
        Self::new(if length == 0 { State::Done } else { State::Length(length) })
    }

    /// A chunked body, whose trailers have at most `trailer_limit` bytes.
    #[must_use]
    pub const fn chunked(trailer_limit: usize) -> Self {
        let state = State::Chunked(Chunk::Size { size: 0, digits: 0 });
        Self { trailer_limit, ..Self::new(state) }
    }

    /// The same body, whose trailers must be fields that change nothing of the message.
    #[must_use]
    pub const fn strictly(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// A body that ends when the connection does.
    #[must_use]
    pub const fn until_close() -> Self {
        Self::new(State::UntilClose)
    }

    const fn new(state: State) -> Self {
        Self { state, trailer_limit: 0, is_strict: false }
    }

    /// Whether all of the message has passed.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the end of the connection is the end of the message.
    #[must_use]
    pub const fn ends_with_connection(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Looks at the next bytes and gives how many of them belong to the message: all of them,
    /// unless the message ends before. `content` is shown those that are neither framing nor
    /// trailers.
    ///
    /// # Errors
    /// When the framing is broken; nothing of `bytes` may be passed on then.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        mut content: impl FnMut(&[u8]),
    ) -> Result<usize, FramingError> {
        match &mut self.state {
            State::Done => Ok(0),
            State::UntilClose => {
                content(bytes);
                Ok(bytes.len())
            }
            State::Length(left) => {
                let (taken, _) = split_up_to(bytes, *left);
                *left -= taken.len() as u64;
                content(taken);
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok(taken.len())
            }
            State::Chunked(chunk) => {
                let mut chunk = *chunk;
                let mut rest = bytes;
                loop {
                    if let Chunk::Data { left } = chunk {
                        let (taken, after) = split_up_to(rest, left);
                        rest = after;
                        content(taken);
                        chunk = match left - taken.len() as u64 {
                            0 => Chunk::DataEnd { seen: 0 },
                            left => Chunk::Data { left },
                        };
                    }
                    let Some((byte, after)) = rest.split_first() else { break };
                    rest = after;
                    match chunk.step(*byte, self.trailer_limit, self.is_strict)? {
                        Some(next) => chunk = next,
                        None => {
                            self.state = State::Done;
                            return Ok(bytes.len() - rest.len());
                        }
                    }
                }
                self.state = State::Chunked(chunk);
                Ok(bytes.len())
            }
        }
    }
}

/// The first `count` bytes, or all there are, and the rest.
fn split_up_to(bytes: &[u8], count: u64) -> (&[u8], &[u8]) {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    bytes.split_at_checked(count).unwrap_or((bytes, b""))
}

impl Chunk {
    /// The state after `byte`; `None` after the last byte of the message.
    fn step(
        self,
        byte: u8,
        trailer_limit: usize,
        is_strict: bool,
    ) -> Result<Option<Self>, FramingError> {
        let next = match (self, byte) {
            (Self::Size { digits: MAX_SIZE_DIGITS, .. }, _) if byte.is_ascii_hexdigit() => {
                return Err(FramingError::Chunk);
            }
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = size.checked_mul(16).ok_or(FramingError::Chunk)? + u64::from(digit);
                Self::Size { size, digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(FramingError::Chunk),
            (
                Self::Size { size, .. } | Self::Space { size, .. } | Self::Extension { size, .. },
                b'\r',
            ) => Self::SizeEnd { size },
            (
                Self::Space { length: MAX_CHUNK_LINE, .. }
                | Self::Extension { length: MAX_CHUNK_LINE, .. },
                _,
            ) => return Err(FramingError::TooLarge),
            (Self::Size { size, .. }, b';') => Self::Extension { size, length: 1 },
            (Self::Size { size, .. }, b' ' | b'\t') => Self::Space { size, length: 1 },
            (Self::Space { size, length }, b' ' | b'\t') => {
                Self::Space { size, length: length + 1 }
            }
            (Self::Space { size, length }, b';') => Self::Extension { size, length },
            (Self::Size { .. } | Self::Space { .. }, _) => return Err(FramingError::Chunk),
            (Self::Extension { .. } | Self::Trailer { .. } | Self::TrailerStart { .. }, 0) => {
                return Err(FramingError::Chunk);
            }
            (Self::Extension { .. }, b'\n') => return Err(FramingError::Chunk),
            (Self::Extension { size, length }, _) => Self::Extension { size, length: length + 1 },
            (Self::SizeEnd { size: 0 }, b'\n') => Self::TrailerStart { total: 0 },
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataEnd { seen: 0 }, b'\r') => Self::DataEnd { seen: 1 },
            (Self::DataEnd { seen: 1 }, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::TrailerStart { .. }, b'\r') => Self::LastEnd,
            (Self::Trailer { line, .. }, b'\r') if is_strict && !line.is_field() => {
                return Err(FramingError::Chunk);
            }
            (Self::Trailer { total, .. }, b'\r') => Self::TrailerEnd { total: total + 2 },
            (Self::TrailerStart { .. } | Self::Trailer { .. }, b'\n') => {
                return Err(FramingError::Chunk);
            }
            (Self::TrailerStart { total } | Self::Trailer { total, .. }, _) => {
                if total >= trailer_limit {
                    return Err(FramingError::TooLarge);
                }
                let line =
                    if let Self::Trailer { line, .. } = self { line } else { TrailerLine::start() };
                match line.step(byte) {
                    Some(line) => Self::Trailer { total: total + 1, line },
                    None if is_strict => return Err(FramingError::Chunk),
                    None => Self::Trailer { total: total + 1, line },
                }
            }
            (Self::TrailerEnd { total }, b'\n') => Self::TrailerStart { total },
            (Self::LastEnd, b'\n') => return Ok(None),
            // Data is handled in bulk; every other pair breaks the framing.
            _ => return Err(FramingError::Chunk),
        };
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 100;

    /// Feeds `bytes` in pieces of `step` and gives how many belong to the message, whether it is
    /// complete, and its content's length.
    fn feed(mut body: Body, bytes: &[u8], step: usize) -> Result<(usize, bool, u64), FramingError> {
        let (mut taken, mut content) = (0, 0);
        for piece in bytes.chunks(step.max(1)) {
            let n = body.advance(piece, |part| content += part.len() as u64)?;
            taken += n;
            if n < piece.len() {
                break;
            }
        }
        Ok((taken, body.is_done(), content))
    }

    fn chunked(text: &str) -> Result<(usize, bool, u64), FramingError> {
        let whole = feed(Body::chunked(LIMIT), text.as_bytes(), usize::MAX);
        let bytewise = feed(Body::chunked(LIMIT), text.as_bytes(), 1);
        assert_eq!(whole, bytewise, "the pieces must not matter: {text:?}");
        whole
    }

    #[test]
    fn a_length_is_kept_to_the_byte() {
        assert_eq!(feed(Body::length(5), b"hello, next", 3), Ok((5, true, 5)));
        assert_eq!(feed(Body::length(5), b"hel", 3), Ok((3, false, 3)));
        assert!(Body::length(0).is_done());
    }

    #[test]
    fn chunks_extensions_and_trailers_are_passed_to_the_last_byte() {
        for (text, content) in [
            ("0\r\n\r\n", 0),
            ("5\r\nhello\r\n0\r\n\r\n", 5),
            ("5;a=\"b\"\r\nhello\r\nA ;x\r\n0123456789\r\n00\r\n\r\n", 15),
            ("1\r\nx\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n", 1),
        ] {
            let next = format!("{text}GET / HTTP/1.1\r\n");
            assert_eq!(chunked(&next), Ok((text.len(), true, content)), "{text:?}");
        }
    }

    #[test]
    fn an_unfinished_body_is_not_done() {
        for text in
            ["", "5", "5\r\n", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\nx: 1\r\n", "0\r\n\r"]
        {
            assert_eq!(chunked(text).map(|(_, done, _)| done), Ok(false), "{text:?}");
        }
    }

    #[test]
    fn framing_that_can_be_read_in_two_ways_is_refused() {
        for text in [
            "\r\n",
            "g\r\n",
            "0x5\r\nhello\r\n",
            "+5\r\n",
            "-5\r\n",
            "5_0\r\n",
            " 5\r\n",
            "5\nhello\r\n",
            "5;a\nhello\r\n",
            "5\r\rhello",
            "5\r\nhello0\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n",
            "0\r\n\n",
            "0\r\nx: 1\n\r\n",
            "0\r\nx: 1\rX",
            "1 0\r\n",
            "1;\0\r\n",
            "0\r\nx: \0\r\n\r\n",
            "10000000000000000\r\n",
            ";a\r\n",
        ] {
            assert_eq!(chunked(text), Err(FramingError::Chunk), "{text:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_have_a_bound() {
        let extension = format!("5;{}\r\n", "a".repeat(9_000));
        assert_eq!(chunked(&extension), Err(FramingError::TooLarge));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(LIMIT));
        assert_eq!(chunked(&trailers), Err(FramingError::TooLarge));
    }

    #[test]
    fn trailers_of_a_request_are_fields_that_change_nothing_of_it() {
        let strictly = |trailers: &str| {
            let text = format!("0\r\n{trailers}\r\n");
            feed(Body::chunked(LIMIT).strictly(), text.as_bytes(), 1)
        };
        for trailers in ["", "X: y\r\n", "a:\r\nGrpc-Status: 0\r\n"] {
            assert!(strictly(trailers).is_ok_and(|(_, is_done, _)| is_done), "{trailers:?}");
        }
        for trailers in [
            "x\r\n",
            ": x\r\n",
            "a : x\r\n",
            " a: x\r\n",
            "a: x\r\n b\r\n",
            "Content-Length: 5\r\n",
            "a: x\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(strictly(trailers), Err(FramingError::Chunk), "{trailers:?}");
            assert!(chunked(&format!("0\r\n{trailers}\r\n")).is_ok(), "{trailers:?}");
        }
    }

    #[test]
    fn until_close_takes_everything_and_none_takes_nothing() {
        assert_eq!(feed(Body::until_close(), b"abc", 1), Ok((3, false, 3)));
        assert_eq!(feed(Body::none(), b"abc", 3), Ok((0, true, 0)));
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_it_panic_or_take_more_than_there_are(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), step in 1usize..20,
        ) {
            for body in [Body::chunked(LIMIT), Body::length(50), Body::until_close()] {
                if let Ok((taken, ..)) = feed(body, &bytes, step) {
                    prop_assert!(taken <= bytes.len());
                }
            }
        }

        #[test]
        fn well_framed_chunks_pass_whole_however_they_are_cut(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..6), step in 1usize..40,
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let content = chunks.iter().map(|c| c.len() as u64).sum();
            prop_assert_eq!(feed(Body::chunked(LIMIT), &text, step), Ok((text.len(), true, content)));
        }
    }
}
