//! Finding a project, without reading its notes or its media.

use crate::domain::{Project, ProjectId, Title, UserId};
use crate::error::{Error, Result};

use super::Store;

impl Store {
    /// The project of this title, without its notes.
    ///
    /// # Errors
    /// [`Error::NoSuchProject`] if the account has no project of this title.
    pub async fn find_project(&self, owner: UserId, title: &Title) -> Result<Project> {
        let found = self.shared.records.find_project(owner, title).await?;
        found.ok_or(Error::NoSuchProject)
    }

    /// The project with this id, if it belongs to this account.
    ///
    /// # Errors
    /// [`Error::NoSuchProject`] if the project is absent or belongs to another account.
    pub async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Project> {
        let found = self.shared.records.find_project_by_id(owner, id).await?;
        found.ok_or(Error::NoSuchProject)
    }
}
