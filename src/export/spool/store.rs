//! The spool itself: records in, records out, and what becomes of them in between.
//!
//! Everything here blocks, and nothing waits for anything but the disk. A call that fails has changed
//! nothing but what it says. What is given up is held until the caller has been told, by
//! [`Spool::take_given_up`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::super::parcel::{Parcel, Signal};
use super::error::SpoolError;
use super::file_system::{FileSystem, Locked, append_all};
use super::format::{HEAD_BYTES, HEADER_BYTES, Head, MAX_MESSAGE};
use super::recovery::{Found, Recovered, recover};
use super::segment::{self, Entry, Segment, State};
use super::writer::Writer;
use super::{
    BYTES_PER_RECORD, Config, FEWEST_SEGMENTS, GivenUp, Items, SEGMENT_BYTES, Stored, Ticket,
};

/// The spool of one destination.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) disk: Box<dyn FileSystem>,
    pub(super) directory: PathBuf,
    pub(super) bounds: Bounds,
    /// By number, the oldest first.
    pub(super) segments: VecDeque<Segment>,
    /// Writes the last of them.
    pub(super) writer: Option<Writer>,
    pub(super) next_number: u64,
    /// Records that are handed out and whose segment was given up.
    pub(super) adrift: BTreeMap<Ticket, (Signal, u32)>,
    pub(super) held: Items,
    pub(super) given_up: GivenUp,
    pub(super) unsynced: Unsynced,
    /// Notes on segments that were deleted, with their lengths: they go when the disk is known to have
    /// forgotten the segment, so that it cannot come back without them.
    pub(super) left_notes: BTreeMap<u64, u64>,
    /// Whether something is left to do that the disk would not do.
    pub(super) is_untidy: bool,
    /// Whether was spoken of the trouble there is.
    pub(super) is_spoken_of: bool,
    _lock: Box<dyn Locked>,
}

/// The settings, in milliseconds and bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) segment_bytes: u64,
    pub(super) age: u64,
    pub(super) sync: u64,
}

/// What is not on the disk yet, as far as we know.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    pub(super) since: Option<u64>,
    /// Segments that nobody writes any more: of an earlier process, or given up by the writer.
    pub(super) segments: BTreeSet<u64>,
    pub(super) notes: BTreeSet<u64>,
    pub(super) directory: bool,
}

/// Why a record is settled that nobody has taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    Full,
    Expired,
    Damaged,
}

impl Spool {
    /// Opens the spool of a destination, and takes up what is there. Times are in milliseconds since
    /// the Unix epoch, here and below, and should not go back.
    ///
    /// # Errors
    /// When the folder is in use, or cannot be used.
    pub(super) fn open(
        disk: Box<dyn FileSystem>,
        config: &Config,
        destination: &str,
        now: u64,
    ) -> Result<(Self, Recovered), SpoolError> {
        let directory = config.directory_of(destination);
        disk.create_directory(&directory).map_err(SpoolError::failed("create", &directory))?;
        let path = directory.join("lock");
        let lock = disk
            .lock(&path)
            .map_err(SpoolError::failed("lock", &path))?
            .ok_or_else(|| SpoolError::Locked { directory: directory.clone() })?;
        let Found { segments, next_number, left_notes, recovered } =
            recover(disk.as_ref(), &directory, now)?;
        let unsynced = Unsynced {
            since: Some(now),
            segments: segments.iter().map(|segment| segment.number).collect(),
            notes: segments.iter().filter(|s| s.note_bytes > 0).map(|s| s.number).collect(),
            directory: true,
        };
        let spool = Self {
            disk,
            directory,
            bounds: Bounds::of(config),
            segments,
            writer: None,
            next_number,
            adrift: BTreeMap::new(),
            held: recovered.items,
            given_up: GivenUp::default(),
            unsynced,
            left_notes,
            is_untidy: false,
            is_spoken_of: false,
            _lock: lock,
        };
        Ok((spool, recovered))
    }

    /// The items that are held: those that wait, those that are handed out, and those that were given
    /// up and not told of.
    pub(super) fn held(&self) -> Items {
        let mut held = self.held;
        held.extend(&self.given_up.all());
        held
    }

    /// The bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        let segments = self.segments.iter().map(|segment| segment.bytes + segment.note_bytes);
        segments.chain(self.left_notes.values().copied()).sum()
    }

    /// What was given up since this was asked last.
    pub(super) fn take_given_up(&mut self) -> GivenUp {
        std::mem::take(&mut self.given_up)
    }

    /// Puts a parcel in.
    ///
    /// # Errors
    /// When the parcel is not kept: because it is too large, or the disk failed.
    pub(super) fn append(&mut self, parcel: &Parcel, now: u64) -> Result<(), SpoolError> {
        self.tick(now);
        let bytes = parcel.message.len();
        let most = self.bounds.bytes.saturating_sub((HEADER_BYTES + HEAD_BYTES) as u64);
        let most = most.min(MAX_MESSAGE as u64);
        let head = Head::of(parcel, now)
            .filter(|_| bytes as u64 <= most)
            .ok_or(SpoolError::TooLarge { bytes, most })?;
        self.make_room((HEADER_BYTES + HEAD_BYTES + bytes) as u64, now)?;
        self.write(&head, &parcel.message, now)
    }

    /// Hands out the oldest record that is not handed out yet.
    ///
    /// # Errors
    /// When the disk cannot read it at the moment; the next call gives the one behind it.
    pub(super) fn oldest(&mut self, now: u64) -> Result<Option<Stored>, SpoolError> {
        self.tick(now);
        while let Some((at, position, entry)) = self.next_waiting() {
            let number = self.segments.get(at).map_or(0, |segment| segment.number);
            let path = segment::path(&self.directory, number);
            match self.read(&path, number, &entry) {
                Ok(Some(parcel)) => {
                    self.set(at, position, State::Out);
                    let ticket = Ticket { segment: number, offset: entry.offset };
                    return Ok(Some(Stored { ticket, parcel, written_at: entry.written_at }));
                }
                Ok(None) => {
                    self.settle(at, position, Some(Loss::Damaged));
                    self.tidy(at, now);
                }
                Err(error) => {
                    self.set(at, position, State::Unreadable);
                    return Err(SpoolError::failed("read", &path)(error));
                }
            }
        }
        Ok(None)
    }

    /// Settles a record that its destination has taken. One that is not handed out is left as it is.
    pub(super) fn acknowledge(&mut self, ticket: Ticket, now: u64) {
        if let Some((signal, items)) = self.adrift.remove(&ticket) {
            self.held.take(signal, items);
        } else if let Some((at, position)) = self.handed_out(ticket) {
            self.settle(at, position, None);
            self.tidy(at, now);
        }
        self.tick(now);
    }

    /// Takes a record back that its destination has not taken, to be handed out again in its turn.
    pub(super) fn release(&mut self, ticket: Ticket) {
        if let Some((signal, items)) = self.adrift.remove(&ticket) {
            self.held.take(signal, items);
            self.given_up.full.add(signal, items);
        } else if let Some((at, position)) = self.handed_out(ticket) {
            self.set(at, position, State::Waiting);
        }
    }

    /// Does what is due: gives up what is too old, brings to the disk what was written, and tries
    /// again what the disk would not do.
    pub(super) fn tick(&mut self, now: u64) {
        self.expire(now);
        if std::mem::take(&mut self.is_untidy) {
            for at in (0..self.segments.len()).rev() {
                if self.segments.get(at).is_some_and(Segment::is_untidy) {
                    self.tidy(at, now);
                }
            }
        }
        let is_due = |since: u64| since.saturating_add(self.bounds.sync) <= now;
        if self.unsynced.since.is_some_and(is_due) {
            match self.sync() {
                Ok(()) => self.is_spoken_of &= self.is_untidy,
                Err(error) => self.complain(&error),
            }
        }
    }

    /// How long the spool can be left alone.
    pub(super) fn until_due(&self, now: u64) -> Duration {
        let quiet = if self.segments.is_empty() { 60_000 } else { 1_000 };
        let sync = self.unsynced.since.map(|since| since.saturating_add(self.bounds.sync));
        let sync = sync.map_or(quiet, |due| due.saturating_sub(now));
        Duration::from_millis(quiet.min(sync).max(1))
    }

    /// Brings all that was written to the disk.
    ///
    /// # Errors
    /// When the disk fails. What was written is still there, and it is not tried again: the system
    /// might only say that it was done.
    pub(super) fn sync(&mut self) -> Result<(), SpoolError> {
        let unsynced = std::mem::take(&mut self.unsynced);
        let mut result = Ok(());
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.sync()
        {
            let path = segment::path(&self.directory, writer.number);
            result = Err(SpoolError::failed("sync", &path)(error));
            self.writer = None;
        }
        let segments = unsynced.segments.into_iter();
        let segments = segments.map(|n| (n, segment::path(&self.directory, n)));
        let notes = unsynced.notes.into_iter();
        let notes = notes.map(|n| (n, segment::notes_path(&self.directory, n)));
        for (number, path) in segments.chain(notes) {
            // What belongs to a segment that is gone is gone too.
            let is_there = self.segment(number).is_some();
            let synced = || self.disk.open(&path).and_then(|mut file| file.sync());
            if is_there && let Err(error) = synced() {
                let failed = SpoolError::failed("sync", &path)(error);
                result = result.and(Err(failed));
            }
        }
        if unsynced.directory {
            match self.disk.sync_directory(&self.directory) {
                Ok(()) => self.delete_left_notes(),
                Err(error) => {
                    let failed = SpoolError::failed("sync", &self.directory)(error);
                    result = result.and(Err(failed));
                }
            }
        }
        result
    }

    // -- what waits --

    /// The next record to hand out: the oldest that waits, or else that could not be read.
    fn next_waiting(&self) -> Option<(usize, usize, Entry)> {
        let open = || {
            let segments = self.segments.iter().enumerate();
            segments.flat_map(|(at, segment)| segment.open().map(move |(p, e)| (at, p, *e)))
        };
        let is = |state: State| move |(_, _, e): &(usize, usize, Entry)| e.state == state;
        open().find(is(State::Waiting)).or_else(|| open().find(is(State::Unreadable)))
    }

    /// Reads a record; `None` where what is there is not what was written.
    fn read(&self, path: &Path, number: u64, entry: &Entry) -> io::Result<Option<Parcel>> {
        let read = self.disk.read(path, u64::from(entry.offset), entry.bytes as usize);
        let bytes = match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => Bytes::from(read?),
        };
        let Some((head, check)) = Head::parse(&bytes, number, entry.offset as usize) else {
            return Ok(None);
        };
        let message = bytes.slice(HEAD_BYTES.min(bytes.len())..);
        let is_whole = check == entry.check && head.is_of(&message);
        Ok(is_whole.then_some(Parcel {
            signal: head.signal,
            items: head.items as usize,
            has_error: head.has_error,
            message,
        }))
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.segments.binary_search_by_key(&number, |segment| segment.number).ok()
    }

    fn segment(&self, number: u64) -> Option<&Segment> {
        self.segments.get(self.index(number)?)
    }

    /// Where a record is that is handed out.
    fn handed_out(&self, ticket: Ticket) -> Option<(usize, usize)> {
        let at = self.index(ticket.segment)?;
        let segment = self.segments.get(at)?;
        let position = segment.position(ticket.offset)?;
        (segment.state(position) == Some(State::Out)).then_some((at, position))
    }

    fn set(&mut self, at: usize, position: usize, state: State) {
        if let Some(segment) = self.segments.get_mut(at) {
            segment.set(position, state);
        }
    }

    // -- what is settled --

    /// Settles a record, as one that was taken or as a loss. Its segment must be tidied then.
    fn settle(&mut self, at: usize, position: usize, loss: Option<Loss>) {
        let settled = self.segments.get_mut(at).and_then(|segment| segment.settle(position));
        if let Some((signal, items)) = settled {
            self.held.take(signal, items);
            if let Some(loss) = loss {
                self.lost(loss).add(signal, items);
            }
        }
    }

    pub(super) const fn lost(&mut self, loss: Loss) -> &mut Items {
        match loss {
            Loss::Full => &mut self.given_up.full,
            Loss::Expired => &mut self.given_up.expired,
            Loss::Damaged => &mut self.given_up.damaged,
        }
    }

    /// Gives up what is too old, unless it is handed out.
    fn expire(&mut self, now: u64) {
        let age = self.bounds.age;
        let is_old = |entry: &Entry| entry.written_at.saturating_add(age) <= now;
        let mut at = 0;
        while let Some(segment) = self.segments.get(at) {
            let old = segment.open().take_while(|(_, entry)| is_old(entry));
            let old: Vec<usize> = old
                .filter_map(|(position, e)| (e.state != State::Out).then_some(position))
                .collect();
            let goes_on = segment.newest().is_none_or(|newest| newest.saturating_add(age) <= now);
            let before = self.segments.len();
            for position in &old {
                self.settle(at, *position, Some(Loss::Expired));
            }
            if !old.is_empty() {
                self.tidy(at, now);
            }
            if !goes_on {
                return;
            }
            // What was removed has made room for the next.
            at += usize::from(self.segments.len() == before);
        }
    }

    /// Deletes a segment in which all is settled, or else notes what is.
    pub(super) fn tidy(&mut self, at: usize, now: u64) {
        let Some(segment) = self.segments.get(at) else { return };
        if segment.is_settled() {
            match self.remove(at, now) {
                Ok(_) => return,
                Err(error) => {
                    self.is_untidy = true;
                    self.complain(&error);
                }
            }
        }
        if let Err(error) = self.write_notes(at, now) {
            self.is_untidy = true;
            self.complain(&error);
        }
    }

    /// Removes a segment. Its notes go later.
    pub(super) fn remove(&mut self, at: usize, now: u64) -> Result<Option<Segment>, SpoolError> {
        let Some(number) = self.segments.get(at).map(|segment| segment.number) else {
            return Ok(None);
        };
        if self.is_written(number) {
            self.writer = None;
        }
        let path = segment::path(&self.directory, number);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SpoolError::failed("delete", &path)(error));
            }
            _ => {}
        }
        self.unsynced.directory = true;
        self.unsynced.since.get_or_insert(now);
        let removed = self.segments.remove(at);
        self.left_notes.insert(number, removed.as_ref().map_or(0, |segment| segment.note_bytes));
        Ok(removed)
    }

    fn delete_left_notes(&mut self) {
        for number in std::mem::take(&mut self.left_notes).into_keys() {
            // Those that stay are notes of nothing; the next start deletes them.
            self.disk.remove(&segment::notes_path(&self.directory, number)).ok();
        }
    }

    fn write_notes(&mut self, at: usize, now: u64) -> Result<(), SpoolError> {
        let Some(segment) = self.segments.get_mut(at).filter(|s| !s.unnoted.is_empty()) else {
            return Ok(());
        };
        let number = segment.number;
        let bytes: Vec<u8> = segment.unnoted.iter().flat_map(|n| n.encode(number)).collect();
        let path = segment::notes_path(&self.directory, number);
        let mut notes = self.disk.open(&path).map_err(SpoolError::failed("open", &path))?;
        // The first of them makes the file, whether it can be written or not.
        self.unsynced.directory |= segment.note_bytes == 0;
        self.unsynced.since.get_or_insert(now);
        if let Err((written, error)) = append_all(notes.as_mut(), &bytes) {
            segment.note_bytes += written as u64;
            return Err(SpoolError::failed("write", &path)(error));
        }
        segment.unnoted.clear();
        segment.note_bytes += bytes.len() as u64;
        self.unsynced.notes.insert(number);
        Ok(())
    }

    /// Speaks of what went wrong and nobody is told of as an error, once until all goes right.
    pub(super) fn complain(&mut self, error: &SpoolError) {
        if !std::mem::replace(&mut self.is_spoken_of, true) {
            tracing::warn!(%error, "the spool has trouble with its disk");
        }
    }
}

impl Bounds {
    fn of(config: &Config) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            bytes: config.max_bytes,
            records: (config.max_bytes / BYTES_PER_RECORD).max(1),
            segment_bytes: (config.max_bytes / FEWEST_SEGMENTS).min(SEGMENT_BYTES),
            age: millis(config.max_age),
            sync: millis(config.sync),
        }
    }
}

#[cfg(test)]
impl Spool {
    /// Whether the segment of a record that is handed out was given up.
    pub(super) fn is_adrift(&self, ticket: Ticket) -> bool {
        self.adrift.contains_key(&ticket)
    }

    /// What was given up, which is not told by this.
    pub(super) const fn given_up_now(&self) -> &GivenUp {
        &self.given_up
    }

    /// Whether there is something to bring to the disk, and something that it would not do.
    pub(super) const fn unfinished(&self) -> (bool, bool) {
        (self.unsynced.since.is_some(), self.is_untidy)
    }
}
