//! What is known in memory of a segment: where its records lie, and how each stands.

use std::path::{Path, PathBuf};

use super::super::parcel::Signal;
use super::format::{Head, Note};

/// The path of the segment of this number.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.spool"))
}

/// The path of the notes on it.
pub(super) fn notes_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.settled"))
}

/// The number in the name of a file that ends so.
pub(super) fn number(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    // Half of what there is, so that the next number always exists.
    digits.parse().ok().filter(|number| is_ours && *number < u64::MAX / 2)
}

/// How a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It can be handed out.
    Waiting,
    /// The disk could not read it: it is tried again when nothing else waits.
    Unreadable,
    /// It is handed out.
    Out,
    /// It is done with.
    Settled,
}

/// A record of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Milliseconds since the Unix epoch; in the memory of one process it never goes back.
    pub(super) written_at: u64,
    pub(super) offset: u32,
    /// Length of head and message.
    pub(super) bytes: u32,
    /// The checksum of the head.
    pub(super) check: u32,
    pub(super) items: u32,
    pub(super) signal: Signal,
    pub(super) state: State,
}

impl Entry {
    /// The entry of a record that waits.
    pub(super) fn new(head: &Head, check: u32, offset: u32) -> Self {
        Self {
            written_at: head.written_at,
            offset,
            bytes: head.record_length(),
            check,
            items: head.items,
            signal: head.signal,
            state: State::Waiting,
        }
    }

    /// What is written down when it is settled.
    pub(super) const fn note(&self) -> Note {
        Note { offset: self.offset, check: self.check }
    }
}

/// A segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// How many bytes the file has.
    pub(super) bytes: u64,
    /// How many bytes its notes have.
    pub(super) note_bytes: u64,
    /// What must be noted and is not yet.
    pub(super) unnoted: Vec<Note>,
    /// In the order of the file.
    entries: Vec<Entry>,
    /// Before this one all are settled.
    first_open: usize,
    /// How many are not settled.
    open: usize,
}

impl Segment {
    /// A segment without records.
    pub(super) const fn new(number: u64, bytes: u64) -> Self {
        Self {
            number,
            bytes,
            note_bytes: 0,
            unnoted: Vec::new(),
            entries: Vec::new(),
            first_open: 0,
            open: 0,
        }
    }

    /// Adds a record that lies behind those there are.
    pub(super) fn push(&mut self, entry: Entry) {
        self.open += usize::from(entry.state != State::Settled);
        self.entries.push(entry);
        self.advance();
    }

    /// How many records it has, settled ones too.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no record in it is of any use.
    pub(super) const fn is_settled(&self) -> bool {
        self.open == 0
    }

    /// Whether there is something in it that can be done for the disk.
    pub(super) const fn is_untidy(&self) -> bool {
        self.is_settled() || !self.unnoted.is_empty()
    }

    /// The records that are not settled, with where they are in the list.
    pub(super) fn open(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let all = self.entries.iter().enumerate().skip(self.first_open);
        all.filter(|(_, entry)| entry.state != State::Settled)
    }

    /// Where in the list the record at this place of the file is.
    pub(super) fn position(&self, offset: u32) -> Option<usize> {
        self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()
    }

    /// How a record stands.
    pub(super) fn state(&self, position: usize) -> Option<State> {
        self.entries.get(position).map(|entry| entry.state)
    }

    /// Says how a record stands that is not settled.
    pub(super) fn set(&mut self, position: usize, state: State) {
        if let Some(entry) = self.entries.get_mut(position) {
            entry.state = state;
        }
    }

    /// Settles a record, which must be noted then. Gives what was in it.
    pub(super) fn settle(&mut self, position: usize) -> Option<(Signal, u32)> {
        let entry = self.entries.get_mut(position).filter(|e| e.state != State::Settled)?;
        entry.state = State::Settled;
        let settled = (entry.signal, entry.items);
        self.unnoted.push(entry.note());
        self.open -= 1;
        self.advance();
        Some(settled)
    }

    /// When its last record was written.
    pub(super) fn newest(&self) -> Option<u64> {
        self.entries.last().map(|entry| entry.written_at)
    }

    fn advance(&mut self) {
        let rest = self.entries.iter().skip(self.first_open);
        self.first_open += rest.take_while(|entry| entry.state == State::Settled).count();
    }
}
