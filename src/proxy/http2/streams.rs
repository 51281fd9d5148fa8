//! Which streams of a connection are open, and how those that are not have ended.

use std::collections::{BTreeMap, VecDeque};

/// How many streams that have ended are remembered, to tell them from those that never were.
const MAX_CLOSED: usize = 1_024;

/// The streams that a peer has opened, or that were opened to it.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Ends>,
    last: u32,
    closed: VecDeque<(u32, Closed)>,
}

/// Which sides of a stream have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    /// The peer's.
    pub(super) theirs: bool,
    /// Ours.
    pub(super) ours: bool,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// By us, before the peer could know: what it sends meanwhile is nobody's fault.
    Reset,
    Otherwise,
}

impl Streams {
    /// Notes that a stream was opened.
    pub(super) fn open(&mut self, stream: u32) {
        self.last = self.last.max(stream);
        self.open.insert(stream, Ends::default());
    }

    /// Notes the number of a stream that is not looked at.
    pub(super) const fn skip(&mut self, stream: u32) {
        self.last = stream;
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Which sides of an open stream have ended.
    pub(super) fn ends(&self, stream: u32) -> Option<Ends> {
        self.open.get(&stream).copied()
    }

    /// Whether a client could still open this stream.
    pub(super) const fn is_new(&self, stream: u32) -> bool {
        stream > self.last && !stream.is_multiple_of(2)
    }

    /// Notes that one side has ended.
    pub(super) fn end(&mut self, stream: u32, mark: impl FnOnce(&mut Ends)) {
        let Some(ends) = self.open.get_mut(&stream) else { return };
        mark(ends);
        if ends.theirs && ends.ours {
            self.close(stream, Closed::Otherwise);
        }
    }

    /// Notes that a stream is over.
    pub(super) fn close(&mut self, stream: u32, how: Closed) {
        if self.open.remove(&stream).is_some() {
            if self.closed.len() >= MAX_CLOSED {
                self.closed.pop_front();
            }
            self.closed.push_back((stream, how));
        }
    }

    /// How a stream ended, if that is remembered.
    pub(super) fn how_closed(&self, stream: u32) -> Option<Closed> {
        self.closed.iter().rev().find(|closed| closed.0 == stream).map(|closed| closed.1)
    }

    /// Whether nobody has opened this stream; those of even numbers are ours to open, and we never do.
    pub(super) const fn is_idle(&self, stream: u32) -> bool {
        stream > self.last || stream.is_multiple_of(2)
    }
}
