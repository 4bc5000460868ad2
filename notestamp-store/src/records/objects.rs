use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::domain::{Digest, Namespace, Object, ObjectId, ObjectKind};
use crate::error::Result;
use crate::protocol::StaleBefore;

/// Keeps the ledger: one row for every object that exists, or may exist, in a blob store.
///
/// A row becomes live only in [`commit_save`](super::ProjectStore::commit_save). The bytes of an inline object are a part
/// of the records, but not of its row: no method but the last two reads them. A step that writes a row that
/// [is gone](Object::is_gone) removes the row and its bytes instead.
#[async_trait]
pub trait ObjectLedger: fmt::Debug + Send + Sync {
    /// Adds rows. Each is reserved and has an id that the ledger does not contain.
    async fn reserve(&self, rows: &[Object]) -> Result<()>;

    /// The row with this id, in any state; `None` if it is absent.
    async fn find_object(&self, id: ObjectId) -> Result<Option<Object>>;

    /// The live media row of this namespace and digest; there is at most one.
    async fn find_live_media(&self, namespace: Namespace, digest: Digest) -> Result<Option<Object>>;

    /// Up to `limit` live rows of a kind whose bytes are in the blob store, in no particular order: a sample.
    async fn sample_live(&self, kind: ObjectKind, limit: usize) -> Result<Vec<Object>>;

    /// Dooms those of these rows that are still reserved, when their writer aborts. Returns the ids of those that are
    /// live, which the writer must not delete.
    async fn doom_reserved(&self, ids: &[ObjectId], now: Timestamp) -> Result<Vec<ObjectId>>;

    /// Dooms up to `limit` rows that are stale ([`doom_if_stale`](crate::protocol::doom_if_stale)); returns the count.
    async fn doom_stale(&self, before: &StaleBefore, limit: usize, now: Timestamp) -> Result<usize>;

    /// Up to `limit` doomed rows in the order of their ids: those after the id `after`, or from the first on if it is
    /// absent.
    async fn list_doomed(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>>;

    /// Forgets those of these rows that are doomed. The caller has deleted their bytes.
    async fn forget_doomed(&self, ids: &[ObjectId]) -> Result<()>;

    /// Up to `limit` rows of any state in the order of their ids: those after the id `after`, or from the first on if
    /// it is absent.
    async fn list_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>>;

    /// The row with this id, in any state, and its bytes if they lie in the records.
    async fn find_with_bytes(&self, id: ObjectId) -> Result<Option<(Object, Option<Bytes>)>>;

    /// The bytes that the records have of an object, even if its row is damaged; `None` if there are none.
    async fn find_inline_bytes(&self, id: ObjectId) -> Result<Option<Bytes>>;
}
