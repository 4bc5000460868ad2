use std::fmt;

use async_trait::async_trait;

use super::Deleted;
use crate::clock::Timestamp;
use crate::domain::{Caller, Precondition, Project, ProjectId, ProjectKey, TrashCursor, Trashed, UserId};
use crate::error::Result;
use crate::protocol::TrashRestore;

/// Keeps deleted projects that can be restored.
///
/// No method of [`ProjectStore`](super::ProjectStore) finds or lists them, but their media is owned media.
#[async_trait]
pub trait TrashStore: fmt::Debug + Send + Sync {
    /// Moves a project to the trash if it meets a precondition: checks the precondition, calls
    /// [`plan_trash`](crate::protocol::plan_trash) and writes the plan, all in one transaction. If the trash then has
    /// more than `trashed_max` projects, the ones that were deleted first are purged in the same transaction.
    ///
    /// # Errors
    /// Those of [`delete_project_if`](super::ProjectStore::delete_project_if).
    async fn trash_project_if(
        &self,
        caller: Caller,
        key: &ProjectKey,
        precondition: &Precondition,
        trashed_max: u64,
        now: Timestamp,
    ) -> Result<Deleted>;

    /// Up to `limit` projects in the trash, the last deleted first: those after the cursor `after`, or from the first
    /// on if it is absent. Empty if the owner's account has been removed.
    async fn list_trash(
        &self,
        owner: UserId,
        after: Option<TrashCursor>,
        limit: usize,
    ) -> Result<Vec<Trashed>>;

    /// Restores a project from the trash: calls [`plan_trash_restore`](crate::protocol::plan_trash_restore) and writes
    /// the plan, in one transaction.
    ///
    /// # Errors
    /// Those of [`plan_trash_restore`](crate::protocol::plan_trash_restore), and
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    async fn restore_trashed(&self, restore: &TrashRestore) -> Result<Project>;

    /// Purges those of these projects that are in the caller's trash, with their versions
    /// ([`plan_purge`](crate::protocol::plan_purge)), in one transaction. Returns how many there were.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    async fn purge_trashed(
        &self,
        caller: Caller,
        ids: &[ProjectId],
        now: Timestamp,
    ) -> Result<(usize, Deleted)>;

    /// Up to `limit` projects, with their owners, that were deleted before this time, in the order of their deletion.
    async fn list_expired_trash(&self, before: Timestamp, limit: usize) -> Result<Vec<(UserId, ProjectId)>>;
}
