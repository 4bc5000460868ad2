use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::StateRecord;
use crate::domain::{Object, RestoreMark, User};
use crate::error::Result;

/// Restores the records of a backup into an empty store: first the objects, then the states of projects that refer to
/// them, and at last the accounts, before which no operation finds a project.
///
/// Each step is idempotent. It keeps the records that it finds: an earlier attempt of the same restore has written them.
#[async_trait]
pub trait RestoreStore: fmt::Debug + Send + Sync {
    /// Begins a restore: writes its mark, if there are no accounts, projects and objects. If there is a mark of the same
    /// snapshot, that restore goes on, and its mark is returned. From then on no account is created.
    ///
    /// # Errors
    /// - [`Error::NotEmpty`](crate::Error::NotEmpty) if there are records.
    /// - [`Error::Restoring`](crate::Error::Restoring) if there is a mark of another snapshot.
    async fn begin_restore(&self, proposed: RestoreMark) -> Result<RestoreMark>;

    /// The mark of the restore that has begun and not ended.
    async fn find_restore(&self) -> Result<Option<RestoreMark>>;

    /// Makes a row live: adds it, or replaces one that is reserved. The bytes of an inline object are added with its row.
    async fn restore_object(&self, row: &Object, inline: Option<&Bytes>) -> Result<()>;

    /// Adds states of projects. Their objects are live.
    async fn restore_states(&self, states: &[StateRecord]) -> Result<()>;

    /// Adds accounts.
    async fn restore_users(&self, users: &[User]) -> Result<()>;

    /// Ends a restore: deletes its mark.
    async fn end_restore(&self, mark: RestoreMark) -> Result<()>;
}
