//! The segment that is being written.

use std::io;
use std::path::Path;

use super::file_system::{Appended, FileSystem, append_all};
use super::format::{self, HEADER_BYTES, Head};
use super::segment::{self, Entry};

/// The end of a segment's file.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) number: u64,
    file: Box<dyn Appended>,
    /// How many bytes of the file are whole records.
    bytes: usize,
}

/// Why a record was not written.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) error: io::Error,
    /// How many bytes the file has now, of which [`Self::whole`] are worth keeping.
    pub(super) bytes: usize,
    pub(super) whole: usize,
    /// What was to be written: it may be there after all.
    pub(super) entry: Option<Entry>,
}

impl Writer {
    /// Begins the segment of this number.
    pub(super) fn begin(disk: &dyn FileSystem, directory: &Path, number: u64) -> io::Result<Self> {
        let path = segment::path(directory, number);
        let mut file = disk.create(&path)?;
        append_all(file.as_mut(), &format::header(number)).map_err(|(_, error)| {
            // What stays if this fails too is a file without a record, which the next start deletes.
            disk.remove(&path).ok();
            error
        })?;
        Ok(Self { number, file, bytes: HEADER_BYTES })
    }

    /// How many bytes there are.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a record, and brings it to the disk if asked to.
    pub(super) fn write(
        &mut self,
        head: &Head,
        message: &[u8],
        to_disk: bool,
    ) -> Result<Entry, Unwritten> {
        let whole = self.bytes;
        let unwritten = |error, more, entry| Unwritten { error, bytes: whole + more, whole, entry };
        let Ok(offset) = u32::try_from(whole) else {
            return Err(unwritten(io::ErrorKind::FileTooLarge.into(), 0, None));
        };
        let (encoded, check) = head.encode(self.number, whole);
        let entry = Entry::new(head, check, offset);
        append_all(self.file.as_mut(), &encoded)
            .map_err(|(more, error)| unwritten(error, more, None))?;
        append_all(self.file.as_mut(), message)
            .map_err(|(more, error)| unwritten(error, encoded.len() + more, Some(entry)))?;
        let length = encoded.len() + message.len();
        if to_disk {
            self.file.sync().map_err(|error| unwritten(error, length, Some(entry)))?;
        }
        self.bytes += length;
        Ok(entry)
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}
