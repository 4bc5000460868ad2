//! The database file: resolves its path, and creates it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Failure, Result};
use crate::disk::{folder_of, private, sync_folder};
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
