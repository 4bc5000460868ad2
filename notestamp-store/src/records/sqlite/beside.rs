//! The files beside the database, and what one of them tells of writes to the database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::probe;

/// The path of a file beside the database: its path with this suffix.
pub(super) fn path(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The length of a database's write-ahead log, in bytes; 0 if the log is absent.
pub(super) fn log_bytes(database: &Path) -> u64 {
    fs::metadata(path(database, "-wal")).map_or(0, |found| found.len())
}

/// The reason why a write fails at this moment; `None` if it would succeed.
///
/// SQLite reports a full disk as such, but a quota, a read-only file system and many other causes as "disk I/O error".
/// It knows the operating system's error number (`sqlite3_system_errno`), but only unsafe code can read it. So this
/// tries the same on another file: a write beyond the current length of the database and its log.
pub(super) fn why_not_writable(database: &Path) -> Option<io::Error> {
    let database_bytes = fs::metadata(database).map_or(0, |found| found.len());
    probe(&path(database, ".probe"), database_bytes.max(log_bytes(database))).err()
}
