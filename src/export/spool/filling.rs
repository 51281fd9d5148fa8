//! How records get into a spool: room is made, a segment begun, and what failed is taken back.

use super::Ticket;
use super::error::SpoolError;
use super::format::{HEAD_BYTES, Head};
use super::segment::{self, Segment, State};
use super::store::{Loss, Spool};
use super::writer::{Unwritten, Writer};

impl Spool {
    pub(super) fn is_written(&self, number: u64) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.number == number)
    }

    /// Gives up the oldest segments until there is room for so many bytes.
    pub(super) fn make_room(&mut self, needed: u64, now: u64) -> Result<(), SpoolError> {
        let records = |spool: &Self| spool.segments.iter().map(|s| s.len() as u64).sum::<u64>();
        while !self.segments.is_empty()
            && (self.bytes().saturating_add(needed) > self.bounds.bytes
                || records(self) >= self.bounds.records)
        {
            self.give_up_oldest(now)?;
        }
        Ok(())
    }

    fn give_up_oldest(&mut self, now: u64) -> Result<(), SpoolError> {
        let Some(segment) = self.remove(0, now)? else { return Ok(()) };
        for (_, entry) in segment.open() {
            if entry.state == State::Out {
                let ticket = Ticket { segment: segment.number, offset: entry.offset };
                self.adrift.insert(ticket, (entry.signal, entry.items));
            } else {
                self.held.take(entry.signal, entry.items);
                self.lost(Loss::Full).add(entry.signal, entry.items);
            }
        }
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        head: &Head,
        message: &[u8],
        now: u64,
    ) -> Result<(), SpoolError> {
        let mut writer = self.writer_for(HEAD_BYTES + message.len())?;
        let number = writer.number;
        let to_disk = self.bounds.sync == 0;
        let mut result = writer.write(head, message, to_disk);
        if let (true, Ok(entry)) = (to_disk && self.unsynced.directory, &result) {
            // A file is on the disk when its name is, too.
            let entry = *entry;
            let (whole, bytes) = (entry.offset as usize, writer.bytes());
            let named = self.disk.sync_directory(&self.directory);
            self.unsynced.directory = named.is_err();
            result = named.map(|()| entry).map_err(|error| Unwritten {
                error,
                bytes,
                whole,
                entry: Some(entry),
            });
        }
        match result {
            Ok(mut entry) => {
                let newest = self.segments.iter().rev().find_map(Segment::newest);
                entry.written_at = entry.written_at.max(newest.unwrap_or_default());
                if let Some(segment) = self.segments.back_mut() {
                    segment.bytes = writer.bytes() as u64;
                    segment.push(entry);
                }
                self.held.add(entry.signal, entry.items);
                self.writer = Some(writer);
                if !to_disk {
                    self.unsynced.since.get_or_insert(now);
                }
                Ok(())
            }
            Err(unwritten) => Err(self.abandon(number, unwritten, now)),
        }
    }

    /// The end of the segment that takes a record of so many bytes.
    fn writer_for(&mut self, bytes: usize) -> Result<Writer, SpoolError> {
        if let Some(writer) = self
            .writer
            .take_if(|writer| (writer.bytes() + bytes) as u64 <= self.bounds.segment_bytes)
        {
            return Ok(writer);
        }
        if self.writer.is_some() {
            let synced = self.sync();
            self.writer = None;
            if let Err(error) = synced {
                self.complain(&error);
            }
        }
        let number = self.next_number;
        self.next_number += 1;
        let path = segment::path(&self.directory, number);
        let writer = Writer::begin(self.disk.as_ref(), &self.directory, number)
            .map_err(SpoolError::failed("create", &path))?;
        self.segments.push_back(Segment::new(number, writer.bytes() as u64));
        self.unsynced.directory = true;
        Ok(writer)
    }

    /// Takes back what was written of a record that could not be written: nothing is appended to its
    /// segment any more.
    fn abandon(&mut self, number: u64, unwritten: Unwritten, now: u64) -> SpoolError {
        let Unwritten { error, bytes, whole, entry } = unwritten;
        let path = segment::path(&self.directory, number);
        // What was written before it must be brought to the disk all the same.
        self.unsynced.segments.insert(number);
        self.unsynced.since.get_or_insert(now);
        let is_cut = self.disk.truncate(&path, whole as u64).is_ok();
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes = if is_cut { whole } else { bytes } as u64;
            // It may be there as a whole: then the note says that it is not ours to send.
            segment.unnoted.extend(entry.filter(|_| !is_cut).map(|entry| entry.note()));
        }
        self.tidy(self.segments.len().saturating_sub(1), now);
        SpoolError::failed("write", &path)(error)
    }
}
