//! One process to a folder.

use std::fs::{File, TryLockError};
use std::io;

use super::file_system::Locked;

/// Locks the file, unless somebody else has: another process, or this one by another opening. The
/// lock goes with the file, and so with the process, however it ends.
pub(super) fn take(file: File) -> io::Result<Option<Lock>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A locked file.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Locked for Lock {}
