//! The trash: deleted projects that can be restored for a while.

use std::num::NonZeroUsize;

use crate::clock::Timestamp;
use crate::domain::{Caller, Project, ProjectId, Title, TrashCursor, Trashed};
use crate::error::{Error, Result};
use crate::protocol::TrashRestore;

use super::Store;

/// How many projects one step purges from the trash.
const STEP: usize = 16;

/// A page of the trash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrashPage {
    /// The projects in the trash, the last deleted first.
    pub trashed: Vec<Trashed>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<TrashCursor>,
}

impl Store {
    /// A page of the caller's trash.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if the caller's session has ended.
    pub async fn list_trash(
        &self,
        caller: impl Into<Caller>,
        after: Option<TrashCursor>,
        limit: NonZeroUsize,
    ) -> Result<TrashPage> {
        let caller = caller.into();
        let wanted = limit.get().saturating_add(1);
        let mut trashed = self.shared.records.list_trash(caller.user, after, wanted).await?;
        self.admit(caller).await?;
        let has_more = trashed.len() > limit.get();
        trashed.truncate(limit.get());
        let next = trashed.last().filter(|_| has_more).map(TrashCursor::of);
        Ok(TrashPage { trashed, next })
    }

    /// When a project in the trash will be purged.
    pub fn purge_time(&self, trashed: &Trashed) -> Timestamp {
        trashed.deleted.after(self.settings().trash.unwrap_or_default())
    }

    /// Restores a project from the trash, with its history, under another title if one is given. It becomes the latest
    /// save of its account.
    ///
    /// # Errors
    /// Those of [`plan_trash_restore`](crate::protocol::plan_trash_restore), and [`Error::SessionEnded`] if the
    /// caller's session has ended.
    pub async fn restore_from_trash(
        &self,
        caller: impl Into<Caller>,
        id: ProjectId,
        title: Option<Title>,
    ) -> Result<Project> {
        let (caller, projects_max) = (caller.into(), self.settings().projects_max);
        let now = self.shared.clock.now();
        let restore = TrashRestore { caller, id, title, projects_max, now };
        self.shared.records.restore_trashed(&restore).await
    }

    /// Deletes a project in the trash for good.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`] if the caller's session has ended.
    /// - [`Error::NoSuchProject`] if the caller's trash does not have it.
    pub async fn purge_from_trash(&self, caller: impl Into<Caller>, id: ProjectId) -> Result<()> {
        match self.purge_trashed(caller.into(), &[id]).await? {
            0 => Err(Error::NoSuchProject),
            _ => Ok(()),
        }
    }

    /// Deletes all projects for good that are in the caller's trash now.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if the caller's session has ended.
    pub async fn empty_trash(&self, caller: impl Into<Caller>) -> Result<()> {
        let caller = caller.into();
        let mut after = None;
        loop {
            let some = self.shared.records.list_trash(caller.user, after, STEP).await?;
            let Some(last) = some.last() else { return self.admit(caller).await };
            after = Some(TrashCursor::of(last));
            let ids: Vec<ProjectId> = some.iter().map(|trashed| trashed.project.id).collect();
            self.purge_trashed(caller, &ids).await?;
        }
    }

    /// Purges the projects of all accounts that were deleted before this time; returns the count.
    pub(super) async fn purge_expired_trash(&self, before: Timestamp) -> Result<usize> {
        let mut total = 0;
        loop {
            let expired = self.shared.records.list_expired_trash(before, STEP).await?;
            let mut purged = 0;
            for (owner, id) in expired {
                purged += self.purge_trashed(owner.into(), &[id]).await?;
            }
            total += purged;
            // What is left then cannot be read, or belongs to a removed account.
            if purged == 0 {
                return Ok(total);
            }
        }
    }

    async fn purge_trashed(&self, caller: Caller, ids: &[ProjectId]) -> Result<usize> {
        let now = self.shared.clock.now();
        let (count, purged) = self.shared.records.purge_trashed(caller, ids, now).await?;
        self.delete_doomed_later(purged.doomed);
        Ok(count)
    }
}
