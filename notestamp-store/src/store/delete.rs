//! Deleting a project: the record first, the bytes afterwards.

use crate::domain::{Title, UserId};
use crate::error::Result;

use super::Store;

impl Store {
    /// Deletes a project. Media that no other project refers to is spared for the grace period, so
    /// that saving it again is cheap.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) where the account has none of that title.
    pub async fn delete_project(&self, owner: UserId, title: &Title) -> Result<()> {
        let now = self.shared.clock.now();
        let deleted = self.shared.records.delete_project(owner, title, now).await?;
        self.reap(deleted.doomed);
        Ok(())
    }
}
