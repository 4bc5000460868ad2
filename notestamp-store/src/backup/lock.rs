use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::BackupError;
use crate::disk::private;

/// Keeps a backup folder from being changed by two commands at once. Commands that only read it share the lock.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: Option<File>,
}

pub(super) const NAME: &str = ".lock";

impl FolderLock {
    /// For a command that changes the folder.
    pub(super) fn exclusive(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(NAME);
        let file = private(OpenOptions::new().write(true).create(true)).open(&path);
        let file = file.map_err(BackupError::at(&path))?;
        Self::locked(folder, file.try_lock(), file)
    }

    /// For a command that only reads it, perhaps on a file system that cannot be written.
    pub(super) fn shared(folder: &Path) -> Result<Self, BackupError> {
        match File::open(folder.join(NAME)) {
            Ok(file) => Self::locked(folder, file.try_lock_shared(), file),
            Err(_) => Ok(Self { _file: None }),
        }
    }

    fn locked(folder: &Path, locked: Result<(), TryLockError>, file: File) -> Result<Self, BackupError> {
        match locked {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another command is using the backup in {}", folder.display());
                Err(BackupError::WrongUse(message))
            }
            Err(TryLockError::Error(source)) => Err(BackupError::at(&folder.join(NAME))(source)),
        }
    }
}
