//! What an earlier process left in the folder: found again, or told apart from what cannot be.
//!
//! One segment is in memory at a time. Nothing is changed but what was certainly never a record: the
//! end of a segment where writing broke off, files in which nothing was ever written, and notes on
//! segments that are gone.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use super::error::SpoolError;
use super::file_system::{FileSystem, Listed};
use super::format::{
    HEAD_BYTES, HEADER_BYTES, Header, Note, Piece, Pieces, read_header, read_notes,
};
use super::segment::{self, Entry, Segment, State};
use super::{Items, MAX_MESSAGE, SEGMENT_BYTES};

/// The most bytes of a segment that are read: as many as one may have.
const MOST_READ: u64 = {
    let largest = (HEADER_BYTES + HEAD_BYTES + MAX_MESSAGE) as u64;
    if largest > SEGMENT_BYTES { largest } else { SEGMENT_BYTES }
};
/// The most bytes of notes that are read.
const MOST_NOTES: u64 = SEGMENT_BYTES;

/// What was found when the spool was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The items of the records that wait, by signal; exact.
    pub items: Items,
    /// The records that wait.
    pub records: u64,
    /// The segments that they are in.
    pub segments: u64,
    /// The items of records whose messages were damaged; there may be more in `damaged_bytes`.
    pub damaged: Items,
    /// The bytes that were skipped because they are no record.
    pub damaged_bytes: u64,
    /// The bytes at the ends of segments that were cut off because writing broke off there.
    pub torn_bytes: u64,
    /// The files that could be ours and were not touched, and why: the first few of them.
    pub left_alone: Vec<(String, LeftAlone)>,
}

/// Why a segment was not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// It was written by another version.
    OtherVersion,
    /// It is a copy: the number in it is not that of its name.
    Copy,
    /// It is damaged, and no record was found in it.
    Damaged,
    /// The system cannot read it.
    Unreadable,
}

impl LeftAlone {
    /// Why, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherVersion => "it was written by another version",
            Self::Copy => "it is a copy of another file",
            Self::Damaged => "it is damaged, and no record is left in it",
            Self::Unreadable => "it cannot be read",
        }
    }
}

/// What the spool goes on from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) segments: VecDeque<Segment>,
    pub(super) next_number: u64,
    /// Notes on segments that were deleted, with their lengths.
    pub(super) left_notes: BTreeMap<u64, u64>,
    pub(super) recovered: Recovered,
}

/// Reads the folder. `now` is in milliseconds since the Unix epoch.
///
/// # Errors
/// When the folder cannot be listed; a file that cannot be read is left alone.
pub(super) fn recover(
    disk: &dyn FileSystem,
    directory: &Path,
    now: u64,
) -> Result<Found, SpoolError> {
    let listed = disk.list(directory).map_err(SpoolError::failed("list", directory))?;
    let mut files: Vec<(u64, &Listed)> = listed
        .iter()
        .filter_map(|file| Some((segment::number(&file.name, ".spool")?, file)))
        .collect();
    files.sort_unstable_by_key(|(number, _)| *number);
    let notes: BTreeMap<u64, u64> = listed
        .iter()
        .filter_map(|file| Some((segment::number(&file.name, ".settled")?, file.bytes)))
        .collect();
    let last = files.iter().map(|(number, _)| number).chain(notes.keys()).max().copied();
    let is_alone = |noted: &&u64| files.binary_search_by_key(*noted, |(n, _)| *n).is_err();
    let alone: Vec<u64> = notes.keys().filter(is_alone).copied().collect();
    let mut reader = Reader {
        disk,
        directory,
        now,
        recovered: Recovered::default(),
        notes,
        left_notes: BTreeMap::new(),
        newest: 0,
    };
    // A segment that was deleted must not come back without its notes. Where they stay, their number
    // is not used again, and they are notes of nothing.
    if !alone.is_empty() && disk.sync_directory(directory).is_ok() {
        for number in alone {
            disk.remove(&segment::notes_path(directory, number)).ok();
        }
    }
    let segments = files.into_iter().filter_map(|(number, file)| reader.segment(number, file));
    let segments = segments.collect();
    let next_number = last.map_or(1, |last| last + 1);
    let Reader { recovered, left_notes, .. } = reader;
    Ok(Found { segments, next_number, left_notes, recovered })
}

struct Reader<'a> {
    disk: &'a dyn FileSystem,
    directory: &'a Path,
    now: u64,
    recovered: Recovered,
    /// The lengths of the files of notes.
    notes: BTreeMap<u64, u64>,
    left_notes: BTreeMap<u64, u64>,
    /// When the newest record so far was written.
    newest: u64,
}

impl Reader<'_> {
    /// A segment in which records wait.
    fn segment(&mut self, number: u64, file: &Listed) -> Option<Segment> {
        let path = segment::path(self.directory, number);
        let most = usize::try_from(file.bytes.min(MOST_READ)).unwrap_or(usize::MAX);
        let Ok(bytes) = self.disk.read(&path, 0, most) else {
            return self.leave(file, LeftAlone::Unreadable);
        };
        let header = read_header(&bytes, number);
        match header {
            Header::Right | Header::Damaged => {}
            Header::Missing => return self.remove(number),
            Header::OtherVersion => return self.leave(file, LeftAlone::OtherVersion),
            Header::OtherNumber => return self.leave(file, LeftAlone::Copy),
        }
        let mut segment = Segment::new(number, file.bytes);
        // What is beyond the longest segment was not written by us.
        self.recovered.damaged_bytes += file.bytes.saturating_sub(bytes.len() as u64);
        let notes = self.notes(number, &mut segment);
        self.records(&bytes, &notes, &mut segment);
        if segment.len() == 0 && header == Header::Damaged {
            return self.leave(file, LeftAlone::Damaged);
        }
        if segment.is_settled() {
            return self.remove(number);
        }
        self.recovered.segments += 1;
        Some(segment)
    }

    /// The notes on a segment. Where they cannot be read, its records are sent again.
    fn notes(&self, number: u64, segment: &mut Segment) -> Vec<Note> {
        let path = segment::notes_path(self.directory, number);
        let most = usize::try_from(MOST_NOTES).unwrap_or(usize::MAX);
        let bytes = self.disk.read(&path, 0, most).unwrap_or_default();
        segment.note_bytes = self.notes.get(&number).copied().unwrap_or_default();
        read_notes(&bytes, number)
    }

    /// Takes up the records of a segment, and cuts off where writing broke off.
    fn records(&mut self, bytes: &[u8], notes: &[Note], segment: &mut Segment) {
        for piece in Pieces::of(bytes, segment.number) {
            match piece {
                Piece::Record { offset, head, check, .. } => {
                    let Ok(offset) = u32::try_from(offset) else { return };
                    let mut entry = Entry::new(&head, check, offset);
                    if notes.binary_search(&Note { offset, check }).is_ok() {
                        entry.state = State::Settled;
                    } else {
                        self.recovered.records += 1;
                        self.recovered.items.add(entry.signal, entry.items);
                    }
                    // When in doubt about clocks it is younger: kept for longer, not lost.
                    self.newest = entry.written_at.min(self.now).max(self.newest);
                    entry.written_at = self.newest;
                    segment.push(entry);
                }
                Piece::Damaged { bytes, head } => {
                    self.recovered.damaged_bytes += bytes as u64;
                    if let Some(head) = head {
                        self.recovered.damaged.add(head.signal, head.items);
                    }
                }
                Piece::Torn { offset } => self.cut(bytes.len(), offset, segment),
            }
        }
    }

    fn cut(&mut self, bytes: usize, offset: usize, segment: &mut Segment) {
        self.recovered.torn_bytes += (bytes - offset) as u64;
        let path = segment::path(self.directory, segment.number);
        if self.disk.truncate(&path, offset as u64).is_ok() {
            segment.bytes = offset as u64;
        }
    }

    /// Deletes a segment in which nothing waits. Where it cannot be deleted, the next start tries
    /// again: its notes stay for that.
    fn remove(&mut self, number: u64) -> Option<Segment> {
        let path = segment::path(self.directory, number);
        if self.disk.remove(&path).is_ok()
            && let Some(bytes) = self.notes.remove(&number)
        {
            self.left_notes.insert(number, bytes);
        }
        None
    }

    fn leave(&mut self, file: &Listed, why: LeftAlone) -> Option<Segment> {
        if self.recovered.left_alone.len() < Recovered::MOST_NAMED {
            self.recovered.left_alone.push((file.name.clone(), why));
        }
        None
    }
}

impl Recovered {
    /// The most files that are named among those that were left alone.
    pub const MOST_NAMED: usize = 16;

    /// Whether there was anything but records that wait.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.damaged_bytes == 0 && self.torn_bytes == 0 && self.left_alone.is_empty()
    }
}
