use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Why a backup, or a restore, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The folder or the target is not one for this.
    #[error("{0}")]
    WrongUse(String),
    /// The backup is damaged.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// A file of the backup cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// The file or the folder.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        source: io::Error,
    },
    /// The store has failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The store is in another process, and that has failed.
    #[error(transparent)]
    Remote(Box<dyn std::error::Error + Send + Sync>),
}

impl BackupError {
    /// The error of a file.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}
