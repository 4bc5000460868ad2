//! Deletes old snapshots, and the blobs that only they need.

use std::collections::HashSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use super::blobs::Found;
use super::{BackupError, BackupFolder};
use crate::disk::sync_folder;

/// The outcome of pruning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PruneReport {
    /// How many snapshots were deleted.
    pub snapshots: u64,
    /// How many blobs were deleted.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Deletes all snapshots but the latest ones, then the blobs that no snapshot needs. Blocks.
///
/// It may be interrupted at any time: what is left to delete is deleted by the next one.
///
/// # Errors
/// - [`BackupError::WrongUse`] if there is no backup.
/// - [`BackupError::Damaged`] if one of the kept snapshots is damaged: then nothing is deleted.
pub fn prune(folder: &Path, keep: NonZeroUsize) -> Result<PruneReport, BackupError> {
    let folder = BackupFolder::open_exclusive(folder)?;
    let mut snapshots = folder.snapshots()?;
    let kept = snapshots.split_off(snapshots.len().saturating_sub(keep.get()));
    let mut needed = HashSet::new();
    for snapshot in &kept {
        snapshot.read(|line| {
            let blobs = line.state().into_iter().flat_map(|state| state.blobs());
            needed.extend(blobs.map(|(digest, _)| digest));
            Ok(())
        })?;
    }
    let mut report = PruneReport::default();
    for snapshot in &snapshots {
        fs::remove_file(&snapshot.path).map_err(BackupError::at(&snapshot.path))?;
        report.snapshots += 1;
    }
    // Otherwise a loss of power could bring a snapshot back whose blobs are gone.
    let path = folder.snapshots_path();
    sync_folder(&path).map_err(BackupError::at(&path))?;
    for found in folder.blobs.list()? {
        let (path, is_blob) = match found {
            Found::Blob(digest, _) if needed.contains(&digest) => continue,
            Found::Blob(_, path) => (path, true),
            Found::Part(path) => (path, false),
            Found::Unknown => continue,
        };
        let size = path.metadata().map_err(BackupError::at(&path))?.len();
        fs::remove_file(&path).map_err(BackupError::at(&path))?;
        if is_blob {
            report.blobs += 1;
            report.bytes += size;
        }
    }
    Ok(report)
}
