//! The database file: resolves its path, creates it, and finds out why it cannot be written to.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Failure, Result};
use crate::disk::{folder_of, private, probe, sync_folder};
use crate::durability::Durability;

/// The canonical path of the file, with all links resolved: the lock goes by this path, so it must be unique.
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

/// Creates the file, empty and readable by its owner only, if it does not exist. SQLite gives the files that it makes
/// beside it the same mode.
///
/// Call this under the lock. An existing file is not opened here: closing it would drop the locks of SQLite on it.
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

/// The path of a file beside the database: its path with this suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The length of a database's write-ahead log, in bytes; 0 if the log is absent.
pub(super) fn log_bytes(path: &Path) -> u64 {
    fs::metadata(beside(path, "-wal")).map_or(0, |found| found.len())
}

/// The reason why a write fails at this moment; `None` if it would succeed.
///
/// SQLite reports a full disk as such, but a quota, a read-only file system and many other causes as "disk I/O error".
/// It knows the operating system's error number (`sqlite3_system_errno`), but only unsafe code can read it. So this
/// tries the same on another file: a write beyond the current length of the database and its log.
pub(super) fn why_not_writable(path: &Path) -> Option<io::Error> {
    let database_bytes = fs::metadata(path).map_or(0, |found| found.len());
    probe(&beside(path, ".probe"), database_bytes.max(log_bytes(path))).err()
}
