use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::BackupError;
use super::blobs::Blobs;
use super::lock::FolderLock;
use super::manifest::Manifest;
use super::snapshot_file::{self, SnapshotFile};
use crate::clock::Timestamp;
use crate::disk::{create_folder, make_folder};
use crate::domain::StoreId;
use crate::durability::Durability;

/// A backup folder that is open. All functions block.
#[derive(Debug)]
pub struct BackupFolder {
    path: PathBuf,
    pub(super) blobs: Blobs,
    _lock: FolderLock,
}

/// A snapshot in a backup folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotEntry {
    /// When it was taken.
    pub time: Timestamp,
    /// How it is named: what `--snapshot` takes.
    pub name: String,
    /// The number of accounts.
    pub users: u64,
    /// The number of projects, without those in the trash.
    pub projects: u64,
    /// The number of distinct blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl BackupFolder {
    /// Opens a folder for a new snapshot; creates it, accessible to its owner only.
    pub(super) fn create(path: &Path) -> Result<Self, BackupError> {
        let at = BackupError::at(path);
        let path = std::path::absolute(path).map_err(BackupError::at(path))?;
        create_folder(&path, Durability::Full).map_err(at)?;
        if Manifest::find(&path)?.is_none() {
            ensure_new(&path)?;
            keep_private(&path)?;
        }
        let lock = FolderLock::exclusive(&path)?;
        for name in [super::blobs::NAME, snapshot_file::NAME] {
            make_folder(&path.join(name)).map_err(BackupError::at(&path))?;
        }
        let blobs = Blobs::of(&path);
        Ok(Self { path, blobs, _lock: lock })
    }

    /// Opens a backup to read it.
    ///
    /// # Errors
    /// [`BackupError::WrongUse`] if there is no backup, or a command changes it; [`BackupError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        Self::open_locked(path, FolderLock::shared)
    }

    /// Opens a backup to delete parts of it.
    pub(super) fn open_exclusive(path: &Path) -> Result<Self, BackupError> {
        Self::open_locked(path, FolderLock::exclusive)
    }

    fn open_locked(
        path: &Path,
        lock: impl FnOnce(&Path) -> Result<FolderLock, BackupError>,
    ) -> Result<Self, BackupError> {
        if Manifest::find(path)?.is_none() {
            let message = format!("there is no backup in {}", path.display());
            return Err(BackupError::WrongUse(message));
        }
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), blobs: Blobs::of(path), _lock: lock })
    }

    /// Checks that the backup is one of this store, or makes it one.
    pub(super) fn claim(&self, store: StoreId) -> Result<(), BackupError> {
        match Manifest::find(&self.path)? {
            None => Manifest::create(&self.path, store),
            Some(manifest) if manifest.store == store => Ok(()),
            Some(manifest) => Err(BackupError::WrongUse(format!(
                "the backup in {} is one of another store ({}): choose another folder",
                self.path.display(),
                manifest.store
            ))),
        }
    }

    /// The snapshots, the oldest first.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn list(&self) -> Result<Vec<SnapshotEntry>, BackupError> {
        let entry = |snapshot: SnapshotFile| {
            let end = snapshot.read_end()?;
            Ok(SnapshotEntry {
                time: snapshot.time,
                name: snapshot_file::stem(snapshot.time),
                users: end.users,
                projects: end.projects,
                blobs: end.blobs,
                bytes: end.bytes,
            })
        };
        self.snapshots()?.into_iter().map(entry).collect()
    }

    /// The files of the snapshots, the oldest first.
    pub(super) fn snapshots(&self) -> Result<Vec<SnapshotFile>, BackupError> {
        let folder = self.snapshots_path();
        let mut found = Vec::new();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(BackupError::at(&folder))?,
        };
        for entry in entries {
            let name = entry.map_err(BackupError::at(&folder))?.file_name();
            found.extend(name.to_str().and_then(|name| SnapshotFile::named(&folder, name)));
        }
        found.sort_unstable_by_key(|snapshot| snapshot.time);
        Ok(found)
    }

    /// The snapshot of this time; the latest one without a time.
    pub(super) fn find(&self, time: Option<Timestamp>) -> Result<SnapshotFile, BackupError> {
        let mut snapshots = self.snapshots()?;
        let found = match time {
            Some(time) => snapshots.into_iter().find(|snapshot| snapshot.time == time),
            None => snapshots.pop(),
        };
        found.ok_or_else(|| {
            let of = time.map(|time| format!(" of {time}")).unwrap_or_default();
            BackupError::WrongUse(format!("the backup in {} has no snapshot{of}", self.path.display()))
        })
    }

    pub(super) fn snapshots_path(&self) -> PathBuf {
        self.path.join(snapshot_file::NAME)
    }
}

/// A folder without a manifest may contain only what an interrupted first backup has left.
fn ensure_new(path: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(path).map_err(BackupError::at(path))? {
        let name = entry.map_err(BackupError::at(path))?.file_name();
        if !name.to_str().is_some_and(Manifest::may_precede) {
            let message = format!("{} is neither empty nor a backup", path.display());
            return Err(BackupError::WrongUse(message));
        }
    }
    Ok(())
}

/// The backup contains everybody's notes.
fn keep_private(path: &Path) -> Result<(), BackupError> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(path, mode).map_err(BackupError::at(path))?;
    }
    Ok(())
}
