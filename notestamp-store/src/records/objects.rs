use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{Digest, Namespace, Object, ObjectId, ObjectKind};
use crate::error::Result;
use crate::protocol::StaleBefore;

/// Keeps the ledger: one row for every object that exists, or may exist, in a blob store.
///
/// Rows turn live only in [`commit_save`](super::ProjectStore::commit_save).
#[async_trait]
pub trait ObjectLedger: fmt::Debug + Send + Sync {
    /// Adds rows, each of them reserved and of a new id.
    async fn reserve(&self, rows: &[Object]) -> Result<()>;

    /// The row of that id, whatever its state.
    async fn find_object(&self, id: ObjectId) -> Result<Option<Object>>;

    /// The live media of that namespace and digest.
    async fn find_live_media(&self, namespace: Namespace, digest: Digest) -> Result<Option<Object>>;

    /// Up to `limit` live rows of a kind, any of them.
    async fn sample_live(&self, kind: ObjectKind, limit: usize) -> Result<Vec<Object>>;

    /// Dooms those of these rows that are still reserved, since their writer gives them up; answers which of them
    /// are live, and so not its own to delete.
    async fn doom_reserved(&self, ids: &[ObjectId], now: Timestamp) -> Result<Vec<ObjectId>>;

    /// Dooms up to `limit` rows that are stale
    /// ([`doom_if_stale`](crate::protocol::doom_if_stale)); answers how many.
    async fn doom_stale(&self, before: &StaleBefore, limit: usize, now: Timestamp) -> Result<usize>;

    /// Up to `limit` doomed rows, in the order of their ids, after that one.
    async fn list_doomed(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>>;

    /// Deletes those of these rows that are doomed: their bytes are gone.
    async fn forget_doomed(&self, ids: &[ObjectId]) -> Result<()>;

    /// Up to `limit` rows of any state, in the order of their ids, after that one.
    async fn list_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>>;
}
