use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BackupError, text};
use crate::disk::create_private_file;
use crate::domain::StoreId;
use crate::durability::Durability;

pub(super) const NAME: &str = "manifest.json";
const STAGED: &str = ".manifest.json.new";

/// The version of the format. A program refuses a backup with a later one.
const FORMAT: u32 = 1;

/// The longest manifest that is read.
const BYTES_MAX: u64 = 64 << 10;

/// What a backup folder is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The store whose backups these are.
    #[serde(with = "text")]
    pub(super) store: StoreId,
}

impl Manifest {
    /// Reads the manifest of a folder; `None` if it has none.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>, BackupError> {
        let path = folder.join(NAME);
        let size = match std::fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BackupError::at(&path)(error)),
        };
        if size > BYTES_MAX {
            return Err(BackupError::damaged("manifest.json is too long"));
        }
        let text = std::fs::read(&path).map_err(BackupError::at(&path))?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| BackupError::damaged(format!("manifest.json cannot be read: {error}")))?;
        match manifest.format {
            FORMAT => Ok(Some(manifest)),
            later if later > FORMAT => Err(BackupError::WrongUse(format!(
                "a later version of this program has written the backup: its format is {later}, known here is {FORMAT}"
            ))),
            other => Err(BackupError::damaged(format!("manifest.json has the unknown format {other}"))),
        }
    }

    /// Writes the manifest of a new backup folder.
    pub(super) fn create(folder: &Path, store: StoreId) -> Result<(), BackupError> {
        let manifest = Self { format: FORMAT, store };
        let mut text = serde_json::to_vec(&manifest).expect("it can be serialized");
        text.push(b'\n');
        let (path, staged) = (folder.join(NAME), folder.join(STAGED));
        // An interrupted backup may have left it.
        let _ = std::fs::remove_file(&staged);
        create_private_file(&path, &staged, &text, Durability::Full).map_err(BackupError::at(&path))
    }

    /// Whether a file of this name may be in a folder that an interrupted first backup has left.
    pub(super) fn may_precede(name: &str) -> bool {
        [STAGED, super::lock::NAME, super::blobs::NAME, super::snapshot_file::NAME, "lost+found"]
            .contains(&name)
    }
}
