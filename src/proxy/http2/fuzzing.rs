//! What reads frames and fields before `h2`, for the fuzz targets: there only when they are built.

use h2::Reason;

use super::frames::{Bounds, Frames, Peer, Step};
use super::hpack::{Block, Fields};
use super::huffman;

/// The length of the text that `coded` stands for, whether it holds a character that no value can,
/// and whether it begins or ends with white space; `None` when it stands for nothing.
#[must_use]
pub fn look(coded: &[u8]) -> Option<(usize, bool, bool)> {
    huffman::look(coded).map(|look| (look.length, look.has_control, look.is_blank))
}

/// The text that `coded` stands for; `None` when it stands for nothing.
#[must_use]
pub fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    // What the room held before does not matter.
    let mut room = vec![b'x'; 3];
    huffman::decode(coded, &mut room).map(|()| room)
}

/// The compression of a peer.
#[derive(Debug)]
pub struct Compression(Fields);

/// What was found in a block of fields.
#[derive(Debug)]
pub struct Found {
    /// The block to go on in its place.
    pub rewritten: Option<Vec<u8>>,
    /// The names of the fields that must never be indexed.
    pub sensitive: Vec<Vec<u8>>,
    /// Whether there are pseudo-fields.
    pub has_pseudo: bool,
    /// Whether there are pseudo-fields of a request.
    pub has_request: bool,
    /// The status of a response.
    pub status: Option<u16>,
}

impl Compression {
    /// That of a peer whose values may begin and end with white space, or may not.
    #[must_use]
    pub fn new(takes_blanks: bool) -> Self {
        Self(Fields::new(takes_blanks))
    }

    /// Reads a block; `None` when it cannot be read.
    pub fn read(&mut self, bytes: &[u8], is_condemned: bool) -> Option<Found> {
        let Block { rewritten, sensitive, has_pseudo, has_request, status } =
            self.0.read(bytes, |_| is_condemned).ok()?;
        let sensitive = sensitive.iter().map(|name| name.to_vec()).collect();
        Some(Found { rewritten, sensitive, has_pseudo, has_request, status })
    }
}

/// A connection whose frames are looked at.
#[derive(Debug)]
pub struct Connection {
    frames: Frames,
    held: Vec<u8>,
    passed: Vec<u8>,
    failure: Option<Reason>,
}

impl Connection {
    /// One to a client or a server, of whose blocks so many bytes, of which so many further frames
    /// and of whose streams so many are borne.
    #[must_use]
    pub fn new(is_client: bool, block: usize, continuations: usize, streams: usize) -> Self {
        let peer = if is_client { Peer::Client } else { Peer::Server };
        let frames = Frames::new(peer, Bounds { block, continuations, streams });
        Self { frames, held: Vec::new(), passed: Vec::new(), failure: None }
    }

    /// Takes the next bytes of the peer; how many are held back.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        if self.failure.is_some() {
            return 0;
        }
        self.held.extend_from_slice(bytes);
        loop {
            match self.frames.step(&self.held) {
                Ok(Step::Wait) => return self.held.len(),
                Ok(Step::Pass(count)) => self.passed.extend(self.held.drain(..count)),
                Ok(Step::Replace(count)) => {
                    self.held.drain(..count);
                    self.passed.extend(self.frames.take_instead());
                }
                Err(reason) => {
                    self.failure = Some(reason);
                    return 0;
                }
            }
        }
    }

    /// Notes what is sent to the peer.
    pub fn send(&mut self, bytes: &[u8]) {
        self.frames.sent(bytes);
    }

    /// What has gone on.
    #[must_use]
    pub fn passed(&self) -> &[u8] {
        &self.passed
    }

    /// What is to be sent to the peer.
    pub fn replies(&mut self) -> &[u8] {
        self.frames.replies()
    }

    /// Why the connection must end.
    #[must_use]
    pub const fn failure(&self) -> Option<Reason> {
        self.failure
    }

    /// How many fields of this stream must not be indexed.
    #[must_use]
    pub fn sensitive(&self, stream: u32) -> usize {
        self.frames.sensitive(stream).count()
    }

    /// How many streams are taken to have been refused.
    pub fn refused(&mut self) -> usize {
        self.frames.count_refused(None)
    }
}
