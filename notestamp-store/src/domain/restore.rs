use super::{Digest, RestoreId};

/// A mark in the records: a backup is being restored into them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RestoreMark {
    /// The id of this restore. The ids of the objects that it writes are derived from it.
    pub id: RestoreId,
    /// The digest of the snapshot that is being restored.
    pub snapshot: Digest,
}
