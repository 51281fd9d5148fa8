//! The files that lines go to: one that is begun anew when it is long enough, and standard output.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::Output;

/// A file, and the older ones beside it: `path`, `path.1` and so on, the last of which is the
/// oldest.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    max_bytes: u64,
    max_files: usize,
    open: Option<Open>,
}

/// The file that is written to.
#[derive(Debug)]
struct Open {
    file: File,
    /// How long it is, to the end of its last whole line.
    length: u64,
    /// Whether it is one on a disk, and no pipe or device.
    is_regular: bool,
}

/// Standard output, without a buffer of our own.
#[derive(Debug, Default)]
pub(super) struct Stdout {
    open: Option<File>,
    /// Whether what was written last is a part of a line.
    is_torn: bool,
}

impl Rotated {
    pub(super) fn new(path: &Path, max_bytes: u64, max_files: usize) -> Self {
        Self { path: path.to_owned(), max_bytes, max_files: max_files.max(1), open: None }
    }

    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        // Somebody else may have moved the file away, as programs that rotate logs do.
        let mut open = match self.open.take() {
            Some(open) if open.is_at(&self.path) => open,
            _ => Open::at(&self.path)?,
        };
        let is_full = open.length.saturating_add(line.len() as u64) > self.max_bytes;
        if open.is_regular && open.length > 0 && is_full {
            self.rotate()?;
            open = Open::at(&self.path)?;
        }
        open.append(line)?;
        self.open = Some(open);
        Ok(())
    }

    /// Gives every file the next number, and the oldest up.
    fn rotate(&self) -> io::Result<()> {
        let last = self.max_files - 1;
        if last == 0 {
            return std::fs::remove_file(&self.path);
        }
        for number in (0..last).rev() {
            match std::fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Output for Rotated {
    fn write(&mut self, line: &[u8]) -> Result<(), String> {
        self.try_write(line).map_err(|error| {
            let path = self.path.display();
            match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    format!("there is no room for {path}, make some on its disk: {error}")
                }
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    format!("{path} may not be written, give spandrel the right to: {error}")
                }
                ErrorKind::NotFound => {
                    format!("{path} cannot be made, make the folder that it is to be in: {error}")
                }
                _ => format!("{path} cannot be written: {error}"),
            }
        })
    }
}

impl Open {
    /// Opens the file, or makes it. Where a crash has left a part of a line, the next one begins on
    /// a line of its own.
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let metadata = file.metadata()?;
        let is_regular = metadata.is_file();
        let length = if is_regular { metadata.len() } else { 0 };
        let mut open = Self { file, length, is_regular };
        if let Some(last) = length.checked_sub(1) {
            let mut end = [0];
            open.file.read_exact_at(&mut end, last)?;
            if end != *b"\n" {
                open.append(b"\n")?;
            }
        }
        Ok(open)
    }

    fn is_at(&self, path: &Path) -> bool {
        let is_same = |(one, other): (Metadata, Metadata)| {
            (one.dev(), one.ino()) == (other.dev(), other.ino())
        };
        self.file
            .metadata()
            .and_then(|ours| Ok((ours, std::fs::metadata(path)?)))
            .is_ok_and(is_same)
    }

    /// Appends the whole of it or, on a disk, nothing.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(line);
        if written.is_ok() {
            self.length += line.len() as u64;
        } else if self.is_regular {
            // Where this fails too, the file is healed when it is opened again.
            self.file.set_len(self.length).ok();
        }
        written
    }
}

impl Stdout {
    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        let file = match &mut self.open {
            Some(file) => file,
            none => none.insert(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        };
        if self.is_torn {
            file.write_all(b"\n")?;
        }
        self.is_torn = true;
        file.write_all(line)?;
        self.is_torn = false;
        Ok(())
    }
}

impl Output for Stdout {
    fn write(&mut self, line: &[u8]) -> Result<(), String> {
        self.try_write(line).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => {
                "standard output is closed: whatever read it has ended".to_owned()
            }
            _ => format!("standard output cannot be written: {error}"),
        })
    }
}
