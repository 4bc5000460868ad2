//! One process at a time: an advisory lock that ends with its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::error::{Failure, Result};
use super::file::beside;
use crate::disk::private;
use crate::error::Error;

/// Holds a database for as long as it lives; the operating system lets go of it when the process dies.
///
/// The lock is on a file of its own beside the database, because SQLite locks parts of the database
/// file itself, and closing any other handle on that file would drop those locks (the SQLite
/// documentation, "How To Corrupt An SQLite Database File", 2.2). The file is left behind when
/// the lock ends: deleting it would let two processes each lock one of that name.
#[derive(Debug)]
pub(super) struct ExclusiveLock {
    _file: File,
}

impl ExclusiveLock {
    /// Takes the lock of the database at `path`.
    ///
    /// # Errors
    /// [`Error::InUse`] where somebody else has it.
    pub(super) fn acquire(path: &Path) -> Result<Self> {
        let lock_path = beside(path, ".lock");
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
