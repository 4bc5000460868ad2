//! Deleting a project: to the trash, or for good. The records come first, the bytes afterwards.

use crate::domain::{Caller, Precondition, ProjectKey};
use crate::error::Result;

use super::Store;

impl Store {
    /// Deletes a project: moves it to the trash, with its history, or deletes it for good if the settings keep no trash.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    /// - [`Error::NoSuchProject`](crate::Error::NoSuchProject) if the account has no such project.
    pub async fn delete_project(&self, caller: impl Into<Caller>, key: impl Into<ProjectKey>) -> Result<()> {
        self.delete_project_if(caller, key, &Precondition::None).await
    }

    /// Conditional delete: like [`delete_project`](Self::delete_project), but only if the precondition holds in the
    /// transaction that deletes.
    ///
    /// # Errors
    /// Also [`Error::PreconditionFailed`](crate::Error::PreconditionFailed) if the precondition does not hold.
    pub async fn delete_project_if(
        &self,
        caller: impl Into<Caller>,
        key: impl Into<ProjectKey>,
        precondition: &Precondition,
    ) -> Result<()> {
        if self.settings().trash.is_none() {
            return self.delete_project_permanently_if(caller, key, precondition).await;
        }
        let (caller, key, max) = (caller.into(), key.into(), self.settings().projects_max);
        let now = self.shared.clock.now();
        let trashed = self.shared.records.trash_project_if(caller, &key, precondition, max, now).await?;
        self.delete_doomed_later(trashed.doomed);
        Ok(())
    }

    /// Deletes a project for good, with its history, if the precondition holds. Media that no other project refers to is
    /// spared for the grace period, so that saving it again is cheap.
    ///
    /// # Errors
    /// Those of [`delete_project_if`](Self::delete_project_if).
    pub async fn delete_project_permanently_if(
        &self,
        caller: impl Into<Caller>,
        key: impl Into<ProjectKey>,
        precondition: &Precondition,
    ) -> Result<()> {
        let (caller, key, now) = (caller.into(), key.into(), self.shared.clock.now());
        let deleted = self.shared.records.delete_project_if(caller, &key, precondition, now).await?;
        self.delete_doomed_later(deleted.doomed);
        Ok(())
    }
}
