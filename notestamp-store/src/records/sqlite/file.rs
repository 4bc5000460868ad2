//! The database file: which one a path means, and how it comes to be.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Failure, Result};
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
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(source) => return Err(Failure::Io { verb: "create", path: path.to_owned(), source }),
    }
    match durability {
        Durability::Full => sync_folder(folder_of(path)),
        Durability::Relaxed => Ok(()),
    }
}

/// Makes what is created with these options readable by its owner only: there are password hashes in it.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes the entries of a folder durable. Only Unix can, and needs to.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| Failure::Io { verb: "sync", path: folder.to_owned(), source })?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
