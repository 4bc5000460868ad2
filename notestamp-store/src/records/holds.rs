use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::RecordSnapshot;
use crate::domain::{Hold, HoldId, ObjectId};
use crate::error::Result;

/// Keeps the holds of backups, and reads the snapshots that they protect.
///
/// A backup adds its hold and then reads a snapshot that contains the hold; a process that deletes bytes dooms their
/// row and then lists the holds. So if it finds no hold, the doom is part of the snapshot, which refers to no such bytes.
///
/// A step that removes an inline object while there is a hold keeps its bytes until the last hold is forgotten. With some
/// backends, a step that is committed while the hold is added may miss it.
#[async_trait]
pub trait HoldStore: fmt::Debug + Send + Sync {
    /// Adds a hold.
    async fn add_hold(&self, hold: Hold) -> Result<()>;

    /// Writes the number of renewals of a hold; returns false, and writes nothing, if the hold is gone.
    async fn renew_hold(&self, hold: Hold) -> Result<bool>;

    /// Forgets a hold, unless it has been renewed since it was read. Idempotent.
    async fn forget_hold(&self, hold: Hold) -> Result<()>;

    /// All holds, in the order of their ids.
    async fn list_holds(&self) -> Result<Vec<Hold>>;

    /// The bytes of an inline object that was removed while there was a hold.
    async fn find_held_bytes(&self, id: ObjectId) -> Result<Option<Bytes>>;

    /// The records of one instant, at which this hold is there: all accounts in the order of their ids, then the current
    /// states of all projects, the versions and the trash. States of removed accounts may be among them.
    ///
    /// # Errors
    /// [`Error::HoldLost`](crate::Error::HoldLost) if the hold is gone. The stream ends after its first error.
    async fn read_snapshot(&self, hold: HoldId) -> Result<RecordSnapshot>;
}
