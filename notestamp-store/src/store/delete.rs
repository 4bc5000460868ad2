//! Deleting a project: the record first, the bytes afterwards.

use crate::domain::{Caller, Precondition, Title};
use crate::error::Result;

use super::Store;

impl Store {
    /// Deletes a project. Media that no other project refers to is spared for the grace period, so
    /// that saving it again is cheap.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    /// - [`Error::NoSuchProject`](crate::Error::NoSuchProject) if the account has no project of this title.
    pub async fn delete_project(&self, caller: impl Into<Caller>, title: &Title) -> Result<()> {
        self.delete_project_if(caller, title, &Precondition::None).await
    }

    /// Conditional delete: like [`delete_project`](Self::delete_project), but only if the precondition holds in the
    /// transaction that deletes.
    ///
    /// # Errors
    /// Also [`Error::PreconditionFailed`](crate::Error::PreconditionFailed) if the precondition does not hold.
    pub async fn delete_project_if(
        &self,
        caller: impl Into<Caller>,
        title: &Title,
        precondition: &Precondition,
    ) -> Result<()> {
        let now = self.shared.clock.now();
        let deleted = self.shared.records.delete_project_if(caller.into(), title, precondition, now).await?;
        self.delete_doomed_later(deleted.doomed);
        Ok(())
    }
}
