//! What lies on the disk, byte by byte: segments, records and notes.
//!
//! Pure: bytes in, pieces out, whatever they hold. What is read here was written by another process,
//! at another time, and has been on a disk since; so nothing counts whose checksum is not right, and
//! a record counts only at the place it was written for. `docs/spool.md` has the tables.

use memchr::memmem;

use super::super::parcel::{Parcel, Signal};

/// The version of the format.
pub(super) const VERSION: u32 = 1;
/// Length of a segment's header.
pub(super) const HEADER_BYTES: usize = 28;
/// Length of a record's head.
pub(super) const HEAD_BYTES: usize = HEAD_LENGTH as usize;
const HEAD_LENGTH: u32 = 32;
/// Length of a note.
pub(super) const NOTE_BYTES: usize = 12;
/// The longest message of a record, in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// What a segment begins with.
const SEGMENT_MARK: [u8; 8] = *b"spandrel";
/// What a record begins with; its first byte is in no text of UTF-8.
const RECORD_MARK: [u8; 4] = [0xF5, b'S', b'P', 1];
const HAS_ERROR: u8 = 1;

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It is what it should be.
    Right,
    /// Something in it is not what was written; the records behind it may be right all the same.
    Damaged,
    /// There never was one, or no more than its beginning and zeros.
    Missing,
    /// A segment in a version that is not known here.
    OtherVersion,
    /// A segment under a name that is not its own.
    OtherNumber,
}

/// What is known of a record without its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Length of the message.
    pub(super) length: u32,
    /// Checksum of the message.
    pub(super) message_check: u32,
    /// Milliseconds since the Unix epoch.
    pub(super) written_at: u64,
    pub(super) items: u32,
    pub(super) signal: Signal,
    pub(super) has_error: bool,
}

/// A part of a segment behind its header. All of them together are the whole, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A record of which everything is right.
    Record {
        /// Where it begins in the segment.
        offset: usize,
        head: Head,
        /// The checksum of the head, by which notes name it.
        check: u32,
        message: &'a [u8],
    },
    /// Bytes that are no record.
    Damaged {
        bytes: usize,
        /// What is known of the record that they were, if its head is right.
        head: Option<Head>,
    },
    /// The end, where writing broke off.
    Torn { offset: usize },
}

/// The header of the segment of this number.
pub(super) fn header(number: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let mut rest = header.as_mut_slice();
    put(&mut rest, &SEGMENT_MARK);
    put(&mut rest, &VERSION.to_le_bytes());
    put(&mut rest, &checksum(&[&SEGMENT_MARK, &VERSION.to_le_bytes()]).to_le_bytes());
    put(&mut rest, &number.to_le_bytes());
    put(&mut rest, &checksum(&[&number.to_le_bytes()]).to_le_bytes());
    header
}

/// Reads the header of a whole segment whose name has this number.
pub(super) fn read_header(segment: &[u8], number: u64) -> Header {
    let mark = segment.first_chunk::<12>();
    let is_marked = mark.is_some_and(|mark| {
        mark.starts_with(&SEGMENT_MARK) && u32_at(segment, 12) == Some(checksum(&[mark]))
    });
    if is_marked && u32_at(segment, 8) != Some(VERSION) {
        return Header::OtherVersion;
    }
    let expected = header(number);
    let begun = segment.iter().zip(&expected).take_while(|(is, should)| is == should).count();
    let is_begun = begun < HEADER_BYTES && is_zero(segment.get(begun..).unwrap_or_default());
    if segment.len() < HEADER_BYTES || is_begun {
        return Header::Missing;
    }
    let own = u64_at(segment, 16)
        .filter(|own| u32_at(segment, 24) == Some(checksum(&[&own.to_le_bytes()])));
    match own {
        Some(own) if own != number => Header::OtherNumber,
        Some(_) if is_marked => Header::Right,
        _ => Header::Damaged,
    }
}

impl Head {
    /// The head of a record of this parcel; `None` where the parcel is too large.
    pub(super) fn of(parcel: &Parcel, written_at: u64) -> Option<Self> {
        let length = Some(parcel.message.len()).filter(|length| *length <= MAX_MESSAGE)?;
        Some(Self {
            length: u32::try_from(length).ok()?,
            message_check: checksum(&[&parcel.message]),
            written_at,
            items: u32::try_from(parcel.items).ok()?,
            signal: parcel.signal,
            has_error: parcel.has_error,
        })
    }

    /// The bytes of it at this place, and their checksum.
    pub(super) fn encode(&self, number: u64, offset: usize) -> ([u8; HEAD_BYTES], u32) {
        let mut head = [0; HEAD_BYTES];
        let mut rest = head.as_mut_slice();
        put(&mut rest, &RECORD_MARK);
        put(&mut rest, &[0; 4]);
        put(&mut rest, &self.length.to_le_bytes());
        put(&mut rest, &self.message_check.to_le_bytes());
        put(&mut rest, &self.written_at.to_le_bytes());
        put(&mut rest, &self.items.to_le_bytes());
        put(&mut rest, &[signal_byte(self.signal), u8::from(self.has_error) * HAS_ERROR]);
        let check = head_check(&head, number, offset);
        put(&mut head.get_mut(4..).unwrap_or_default(), &check.to_le_bytes());
        (head, check)
    }

    /// Reads the head that `bytes` begin with, if it is one that was written for this place, and its
    /// checksum.
    pub(super) fn parse(bytes: &[u8], number: u64, offset: usize) -> Option<(Self, u32)> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        let check = u32_at(bytes, 4)?;
        if !bytes.starts_with(&RECORD_MARK) || check != head_check(bytes, number, offset) {
            return None;
        }
        let [signal, flags, 0, 0] = *bytes.last_chunk()? else { return None };
        let head = Self {
            length: u32_at(bytes, 8)?,
            message_check: u32_at(bytes, 12)?,
            written_at: u64_at(bytes, 16)?,
            items: u32_at(bytes, 24)?,
            signal: Signal::ALL.into_iter().find(|s| signal_byte(*s) == signal)?,
            has_error: flags == HAS_ERROR,
        };
        let is_valid = flags <= HAS_ERROR && head.message_length() <= MAX_MESSAGE;
        is_valid.then_some((head, check))
    }

    /// Whether this is the message that was written.
    pub(super) fn is_of(&self, message: &[u8]) -> bool {
        message.len() == self.message_length() && checksum(&[message]) == self.message_check
    }

    /// Length of head and message.
    pub(super) const fn record_length(&self) -> u32 {
        self.length + HEAD_LENGTH
    }

    /// Length of the message.
    pub(super) const fn message_length(&self) -> usize {
        self.length as usize
    }
}

/// Takes a segment apart, from behind its header.
#[derive(Clone, Debug)]
pub(super) struct Pieces<'a> {
    segment: &'a [u8],
    number: u64,
    at: usize,
}

impl<'a> Pieces<'a> {
    /// The pieces of the whole segment of this number.
    pub(super) const fn of(segment: &'a [u8], number: u64) -> Self {
        Self { segment, number, at: HEADER_BYTES }
    }

    /// Where the first record from here on begins, by its mark and the checksum of its head.
    fn find_from(&self, from: usize) -> Option<usize> {
        let found = memmem::find_iter(self.segment.get(from..)?, &RECORD_MARK);
        let head = |at: &usize| Head::parse(self.segment.get(*at..)?, self.number, *at);
        found.map(|at| from + at).find(|at| head(at).is_some())
    }

    /// What is at the place where a record should begin and none does.
    fn skip(&mut self, rest: &[u8]) -> Piece<'a> {
        let offset = self.at;
        let next = self.find_from(offset + 1);
        self.at = next.unwrap_or(self.segment.len());
        if next.is_none() && (rest.len() < HEAD_BYTES || is_zero(rest)) {
            return Piece::Torn { offset };
        }
        Piece::Damaged { bytes: self.at - offset, head: None }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let offset = self.at;
        let rest = self.segment.get(offset..).filter(|rest| !rest.is_empty())?;
        let Some((head, check)) = Head::parse(rest, self.number, offset) else {
            return Some(self.skip(rest));
        };
        let end = HEAD_BYTES + head.message_length();
        let Some(message) = rest.get(HEAD_BYTES..end) else {
            self.at = self.segment.len();
            return Some(Piece::Torn { offset });
        };
        self.at += end;
        if head.is_of(message) {
            return Some(Piece::Record { offset, head, check, message });
        }
        Some(Piece::Damaged { bytes: end, head: Some(head) })
    }
}

/// That a record is settled: where it is, and the checksum of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    pub(super) offset: u32,
    pub(super) check: u32,
}

impl Note {
    /// The bytes of it, for the segment of this number.
    pub(super) fn encode(self, number: u64) -> [u8; NOTE_BYTES] {
        let mut note = [0; NOTE_BYTES];
        let mut rest = note.as_mut_slice();
        put(&mut rest, &self.offset.to_le_bytes());
        put(&mut rest, &self.check.to_le_bytes());
        put(&mut rest, &self.own_check(number).to_le_bytes());
        note
    }

    fn parse(bytes: &[u8], number: u64) -> Option<Self> {
        let note = Self { offset: u32_at(bytes, 0)?, check: u32_at(bytes, 4)? };
        (u32_at(bytes, 8)? == note.own_check(number)).then_some(note)
    }

    fn own_check(self, number: u64) -> u32 {
        let Self { offset, check } = self;
        checksum(&[&number.to_le_bytes(), &offset.to_le_bytes(), &check.to_le_bytes()])
    }
}

/// The notes in a file of them, in order of their records. Where one is torn, the next is looked for
/// byte by byte.
pub(super) fn read_notes(bytes: &[u8], number: u64) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut rest = bytes;
    while rest.len() >= NOTE_BYTES {
        let note = Note::parse(rest, number);
        rest = rest.get(note.map_or(1, |_| NOTE_BYTES)..).unwrap_or_default();
        notes.extend(note);
    }
    notes.sort_unstable();
    notes.dedup();
    notes
}

const fn signal_byte(signal: Signal) -> u8 {
    match signal {
        Signal::Traces => 1,
        Signal::Metrics => 2,
        Signal::Logs => 3,
    }
}

/// The checksum of a head at its place; what stands where the checksum goes is left out.
fn head_check(head: &[u8; HEAD_BYTES], number: u64, offset: usize) -> u32 {
    let fields = head.get(8..).unwrap_or_default();
    checksum(&[&number.to_le_bytes(), &(offset as u64).to_le_bytes(), fields])
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Writes a field to the front, and steps behind it. There is room: lengths are constants.
fn put(rest: &mut &mut [u8], field: &[u8]) {
    if let Some((front, behind)) = std::mem::take(rest).split_at_mut_checked(field.len()) {
        front.copy_from_slice(field);
        *rest = behind;
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
