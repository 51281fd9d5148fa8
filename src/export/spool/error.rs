//! What may go wrong with a spool.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a spool did not do what it was asked to.
#[derive(Debug)]
pub enum SpoolError {
    /// Another process uses the folder, or another destination of this one.
    Locked {
        /// The folder.
        directory: PathBuf,
    },
    /// The system does not let us; it may at another time.
    Failed {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The parcel is larger than a record may be, now and later.
    TooLarge {
        /// Its length, in bytes.
        bytes: usize,
        /// The most that there may be.
        most: u64,
    },
    /// The thread of the spool has ended.
    Ended,
}

impl SpoolError {
    /// For `map_err`, where `action` failed on `path`.
    pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Failed { action, path, error }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { directory } => write!(
                f,
                "the spool {} is in use by another process: give each sidecar a directory of its \
                 own, or end the other one",
                directory.display()
            ),
            Self::Failed { action, path, error } => write!(
                f,
                "the spool cannot {action} {}: {error}; see to it that the directory can be \
                 written and has room",
                path.display()
            ),
            Self::TooLarge { bytes, most } => {
                write!(f, "a message of {bytes} bytes does not fit into the spool, {most} do")
            }
            Self::Ended => f.write_str("the spool has been closed: nothing more can be put in"),
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::Locked { .. } | Self::TooLarge { .. } | Self::Ended => None,
        }
    }
}
