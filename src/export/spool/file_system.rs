//! What the spool asks of a file system, and the one of the system.
//!
//! Nothing more is asked than what can be made to fail in tests: what a call promises here is what
//! `docs/spool.md` builds on. In particular, bytes that were appended outlive the process, and
//! outlive the machine once they, and the folder they are named in, were synced.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::lock;

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A folder of files that are appended to, read, and removed.
pub(super) trait FileSystem: fmt::Debug + Send {
    /// Makes a folder that only we may look into, and those above it, where they are missing.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Locks a file until what is given is dropped; `None` where somebody else has.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Locked>>>;
    /// The ordinary files of a folder whose names are UTF-8, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>>;
    /// A file that was not there before.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appended>>;
    /// A file that may have been there before, to write behind what it holds.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Appended>>;
    /// The bytes from `offset` on: `most` of them, or fewer where the file ends.
    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>>;
    /// Cuts off what is behind the first `length` bytes.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Brings to the disk which files there are.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// A file that is written at its end.
pub(super) trait Appended: fmt::Debug + Send {
    /// Appends some of the bytes; how many.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Brings what was appended to the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// A lock that is held.
pub(super) trait Locked: fmt::Debug + Send {}

/// Appends all of the bytes, or says how many were before it failed.
pub(super) fn append_all(file: &mut dyn Appended, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let failed = match file.append(rest) {
            Ok(0) => io::Error::from(io::ErrorKind::WriteZero),
            Ok(taken) => {
                rest = rest.get(taken..).unwrap_or_default();
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        return Err((bytes.len() - rest.len(), failed));
    }
    Ok(())
}

/// The file system of the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk;

/// How files are opened: for us alone, and never somewhere else by a link.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

impl FileSystem for Disk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Locked>>> {
        let file = options().write(true).create(true).truncate(false).open(path)?;
        Ok(lock::take(file)?.map(|lock| Box::new(lock) as Box<dyn Locked>))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if let (true, Ok(name)) =
                (entry.file_type()?.is_file(), entry.file_name().into_string())
            {
                listed.push(Listed { name, bytes: entry.metadata()?.len() });
            }
            if listed.len() > super::MOST_FILES {
                return Err(io::Error::other("there are too many files in this folder"));
            }
        }
        Ok(listed)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Appended>> {
        Ok(Box::new(options().append(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Appended>> {
        Ok(Box::new(options().append(true).create(true).open(path)?))
    }

    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut file = options().read(true).open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let there = file.metadata()?.len().saturating_sub(offset).min(most as u64);
        let mut bytes = Vec::with_capacity(usize::try_from(there).unwrap_or_default());
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        options().write(true).open(path)?.set_len(length)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl Appended for File {
    #[expect(clippy::disallowed_methods, reason = "whoever asks wants to know how much was taken")]
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
