use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{BackupError, StateLine, UserLine, text};
use crate::blob::ByteStream;
use crate::domain::{Digest, Namespace, ProjectId, RestoreId, Revision, UserId};

/// Where a backup is restored: an empty store, in this process or in another one.
///
/// Each step may be repeated: what an earlier attempt has written is kept.
#[async_trait]
pub trait RestoreTarget: Send + Sync {
    /// Begins the restore of the snapshot with this digest, or goes on with it. From then on the store refuses
    /// everything else, until the restore ends.
    async fn begin(&self, snapshot: Digest) -> Result<RestoreId, BackupError>;

    /// Writes an object, if it is not there yet. The bytes are compared with their digest.
    async fn put_blob(
        &self,
        restore: RestoreId,
        blob: &BlobTarget,
        bytes: ByteStream,
    ) -> Result<(), BackupError>;

    /// Writes states of projects, whose objects have been written.
    async fn put_states(&self, restore: RestoreId, states: &[StateLine]) -> Result<(), BackupError>;

    /// Writes accounts, after all states.
    async fn put_users(&self, restore: RestoreId, users: &[UserLine]) -> Result<(), BackupError>;

    /// Ends the restore. The usage of the accounts `recount`, of which something could not be restored, is counted anew.
    async fn end(&self, restore: RestoreId, recount: &[UserId]) -> Result<(), BackupError>;
}

/// An object that is to be restored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlobTarget {
    /// Its namespace.
    #[serde(with = "text")]
    pub namespace: Namespace,
    /// The project and the revision whose notes the blob is; `None` for media.
    #[serde(with = "state_key")]
    pub notes_of: Option<(ProjectId, Revision)>,
    /// The digest of its bytes.
    #[serde(with = "text")]
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// How many states refer to it.
    pub references: u64,
}

/// The key of a state: the id of its project, and its revision.
mod state_key {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::domain::{ProjectId, Revision};

    pub(super) fn serialize<S: Serializer>(
        key: &Option<(ProjectId, Revision)>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        key.map(|(id, revision)| (id.to_string(), revision.get())).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<(ProjectId, Revision)>, D::Error> {
        let key = Option::<(String, u64)>::deserialize(deserializer)?;
        let parsed = key.map(|(id, revision)| Ok((id.parse()?, Revision::new(revision))));
        parsed.transpose().map_err(|error: crate::domain::InvalidValue| de::Error::custom(error))
    }
}
