//! The database file: which one a path means, how it comes to be, and why it cannot be written to.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Failure, Result};
use crate::disk::{folder_of, private, probe, sync_folder};
use crate::durability::Durability;

/// The one name of the file that `path` means, whatever links lead to it: it is locked by name.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    let failed = |source| Failure::Io { verb: "find", path: path.to_owned(), source };
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or_else(|| failed(error))?;
            Ok(fs::canonicalize(folder_of(path)).map_err(failed)?.join(name))
        }
        found => found.map_err(failed),
    }
}

/// Creates the file, empty and for its owner only, if it is not there; files that SQLite makes
/// beside it get the same mode.
///
/// Call it under the lock: an existing file is not opened, but a new one is closed again.
pub(super) fn create_if_missing(path: &Path, durability: Durability) -> Result<()> {
    let failed = |source| Failure::Io { verb: "create", path: path.to_owned(), source };
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match durability {
        Durability::Full => sync_folder(folder_of(path)).map_err(failed),
        Durability::Relaxed => Ok(()),
    }
}

/// A file beside the database, named for it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// How long the write-ahead log of a database is.
pub(super) fn log_bytes(path: &Path) -> u64 {
    fs::metadata(beside(path, "-wal")).map_or(0, |found| found.len())
}

/// Why a write fails at this moment; `None` where it would succeed.
///
/// SQLite reports a disk that is full as such, but a quota, a read-only file system and much else as "disk I/O error". It
/// knows the number of the error (`sqlite3_system_errno`), but only unsafe code may ask for it. So the same is tried
/// again on another file: a write beyond the end of what is there.
pub(super) fn why_not_writable(path: &Path) -> Option<io::Error> {
    let database_bytes = fs::metadata(path).map_or(0, |found| found.len());
    probe(&beside(path, ".probe"), database_bytes.max(log_bytes(path))).err()
}
