//! Finished telemetry on disk, until its destination takes it.
//!
//! A spool is a folder of files that are appended to and deleted whole. What it has taken outlives
//! the process; what comes out is what was put in, or nothing; and what is given up, by bounds of
//! bytes and age or because the disk has damaged it, is counted. `docs/spool.md` says what is
//! promised and how the bytes lie. `format` reads and writes them and is pure; `recovery` finds what
//! an earlier process left; `store` is the spool itself, which blocks; `keeper` runs it on a thread
//! of its own for those who must not block. When to append, and how fast what waits is sent again,
//! is up to the caller.

#[cfg(test)]
mod corruption_tests;
mod error;
mod file_system;
mod filling;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod items;
mod keeper;
mod lock;
#[cfg(test)]
mod model_tests;
mod recovery;
mod segment;
mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod testing;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

pub use error::SpoolError;
pub use format::MAX_MESSAGE;
pub use items::{GivenUp, Items};
pub use keeper::Keeper;
pub use recovery::{LeftAlone, Recovered};

use super::parcel::Parcel;

/// The most files of a folder; one with more is not used.
const MOST_FILES: usize = 1 << 18;
/// A segment takes no more bytes than this, unless a single record has more.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// The least number of segments that a full spool consists of, where records are small.
const FEWEST_SEGMENTS: u64 = 16;
/// There may be a record for each so many bytes of the bound.
const BYTES_PER_RECORD: u64 = 1024;

/// The settings of the spools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder that holds a folder for each destination.
    pub directory: PathBuf,
    /// The most bytes on disk, of each destination; beyond, the oldest segment is given up.
    pub max_bytes: u64,
    /// How long a record is kept.
    pub max_age: Duration,
    /// How often what was written is brought to the disk; zero: at every record.
    pub sync: Duration,
    /// The most bytes a second that are sent from it, so that whoever comes back is not flooded.
    pub replay_rate: u64,
}

impl Config {
    /// The defaults, in this folder.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            max_bytes: 256 * 1024 * 1024,
            max_age: Duration::from_hours(24),
            sync: Duration::from_secs(1),
            replay_rate: 4 * 1024 * 1024,
        }
    }

    /// The folder of a destination.
    #[must_use]
    pub fn directory_of(&self, destination: &str) -> PathBuf {
        let mut name = String::new();
        for (at, byte) in destination.bytes().enumerate() {
            let is_plain = byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'_')
                || (byte == b'.' && at > 0);
            if is_plain {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("%{byte:02X}"));
            }
        }
        self.directory.join(if name.is_empty() { "%" } else { &name })
    }
}

/// What came of an append that succeeded: the record is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// What was given up since this was last told, to make room or for its age.
    pub given_up: GivenUp,
}

/// A record that was handed out. It stays on the disk until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it is acknowledged or released by.
    pub ticket: Ticket,
    /// What was put in.
    pub parcel: Parcel,
    /// When, in milliseconds since the Unix epoch.
    pub written_at: u64,
}

/// The name of a record that was handed out: where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    segment: u64,
    offset: u32,
}
