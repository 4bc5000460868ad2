//! One process at a time: an advisory lock that ends with the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::beside;
use super::error::{Failure, Result};
use crate::disk::private;
use crate::error::Error;

/// Locks a database until it is dropped; the operating system releases the lock if the process dies.
///
/// The lock is on a separate file beside the database: SQLite locks parts of the database file itself, and closing any
/// other handle on that file would drop those locks (the SQLite documentation, "How To Corrupt An SQLite Database
/// File", 2.2). The lock file is never deleted: otherwise two processes could each lock a file of this name.
#[derive(Debug)]
pub(super) struct ExclusiveLock {
    _file: File,
}

impl ExclusiveLock {
    /// Acquires the lock of the database at `path`, without waiting.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process, or another part of this one, holds it.
    pub(super) fn acquire(path: &Path) -> Result<Self> {
        let lock_path = beside::path(path, ".lock");
        let failed = |source| Failure::Io { verb: "lock", path: lock_path.clone(), source };
        let open = private(OpenOptions::new().write(true).create(true)).open(&lock_path);
        let file = open.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { what: path.display().to_string() }.into()),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
