//! A folder with everything of a store: the records, the notes and the media.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::durability::Durability;

/// One folder for everything, so that it can be backed up, moved or deleted as a whole.
///
/// The server and [`Store::in_folder`](crate::Store::in_folder) use the same layout, so each can open the folder of the
/// other, one at a time. The server adds its signing key.
///
/// | name | what |
/// | --- | --- |
/// | `notestamp.sqlite` | the records |
/// | `notestamp.sqlite.reserve` | no data: reserved space for deletions on a full disk |
/// | `notestamp.sqlite.socket` | the socket for the tools of the operator, while a server runs |
/// | `notes/`, `media/` | the blobs |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// The folder at `path`; nothing is created yet.
    ///
    /// A relative path is resolved against the current working directory.
    ///
    /// # Errors
    ///
    /// If the path is empty, or the working directory does not exist any more.
    pub fn new(path: &Path) -> io::Result<Self> {
        std::path::absolute(path).map(Self)
    }

    /// The absolute path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The SQLite database with the records.
    pub fn sqlite_file(&self) -> PathBuf {
        self.0.join("notestamp.sqlite")
    }

    /// The folder of the notes.
    pub fn notes_folder(&self) -> PathBuf {
        self.0.join("notes")
    }

    /// The folder of the media.
    pub fn media_folder(&self) -> PathBuf {
        self.0.join("media")
    }

    /// Creates the folder, accessible to its owner only, if it does not exist.
    ///
    /// An existing folder keeps its mode.
    ///
    /// # Errors
    ///
    /// If it cannot be created, is not a folder, or no file can be created in it. A full disk is not an error: existing
    /// files can be read and deleted.
    pub fn create(&self, durability: Durability) -> Result<(), DataFolderError> {
        let at = || self.0.clone();
        disk::create_folder(&self.0, durability)
            .map_err(|source| DataFolderError::Create { path: at(), source })?;
        // Creates a file to try: the mode would not reveal a read-only file system.
        let probe = self.0.join(format!(".writable-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).open(&probe);
        match opened.and_then(|_| fs::remove_file(&probe)) {
            Err(error) if !is_full(&error) => Err(DataFolderError::Write { path: at(), source: error }),
            _ => Ok(()),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// It cannot be created.
    #[error("the data folder {} cannot be created", path.display())]
    Create {
        /// The path of the folder.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// No file can be created in it.
    #[error("the data folder {} cannot be written to", path.display())]
    Write {
        /// The path of the folder.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::error_chain;

    #[test]
    fn a_created_folder_is_empty_and_can_be_opened_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(&place.path().join("a/b")).unwrap();
        folder.create(Durability::Full).unwrap();
        folder.create(Durability::Full).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_obstacle_is_named_and_its_reason_appears_once() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = DataFolder::new(&path).unwrap().create(Durability::Full).unwrap_err();
            let (path, file) = (path.display(), file.display());
            assert_eq!(
                error_chain(&error),
                format!("the data folder {path} cannot be created: {file}: not a directory")
            );
        }
    }

    #[test]
    fn a_relative_path_becomes_absolute() {
        let folder = DataFolder::new(Path::new("./notestamp-data")).unwrap();
        assert_eq!(folder.path(), std::env::current_dir().unwrap().join("notestamp-data"));
    }
}
