//! The folder where the embedded default keeps everything.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// One folder, so that a backup, a move or a removal of everything is one of a folder.
///
/// | name | what |
/// | --- | --- |
/// | `notestamp.sqlite` | the metadata |
/// | `notes/`, `media/` | the blobs |
/// | `signing-key` | what signs the tokens; whoever reads it can be anybody |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// The folder at `path`; nothing is made yet.
    ///
    /// A relative path counts from the working directory of this moment.
    ///
    /// # Errors
    ///
    /// When the path is empty, or the working directory is gone.
    pub fn new(path: &Path) -> io::Result<Self> {
        std::path::absolute(path).map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file of the metadata.
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

    /// The file of the signing key.
    pub fn signing_key_file(&self) -> PathBuf {
        self.0.join("signing-key")
    }

    /// Makes the folder, for its owner only, where it is not there; a loss of power does not undo that.
    ///
    /// The folder of somebody who made it beforehand keeps its mode.
    ///
    /// # Errors
    ///
    /// When it cannot be made, is no folder, or takes no files.
    pub fn create(&self) -> Result<(), DataFolderError> {
        let refused = |reason| DataFolderError { path: self.0.clone(), reason };
        create_durably(&self.0).map_err(|source| refused(Reason::Create(source)))?;
        // Asking for the mode would not tell of a read-only file system: so it is tried.
        let probe = self.0.join(format!(".writable-{}", std::process::id()));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|source| refused(Reason::Write(source)))
    }
}

/// Like `mkdir -p`, and each new name is synced in the folder that holds it.
fn create_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().ok_or(io::ErrorKind::NotADirectory)?;
    create_durably(parent)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        // Somebody else was faster: fine, if it is a folder.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        outcome => outcome?,
    }
    File::open(parent)?.sync_all()
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the data folder {} {reason}", path.display())]
pub struct DataFolderError {
    path: PathBuf,
    #[source]
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("cannot be made: {0}")]
    Create(io::Error),
    #[error("cannot be written to: {0}")]
    Write(io::Error),
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_with_its_parents_for_its_owner_only_and_found_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(&place.path().join("a/b")).unwrap();
        folder.create().unwrap();
        folder.create().unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left in it");
    }

    #[test]
    fn a_file_in_its_place_or_on_its_way_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = DataFolder::new(&path).unwrap().create().unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            assert!(error.contains("cannot be made: not a directory"), "{error}");
        }
    }

    #[test]
    fn a_relative_path_becomes_absolute() {
        let folder = DataFolder::new(Path::new("./notestamp-data")).unwrap();
        assert_eq!(folder.path(), std::env::current_dir().unwrap().join("notestamp-data"));
    }
}
