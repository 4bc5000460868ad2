//! Finding a project, without reading its notes or its media.

use crate::domain::{Project, ProjectId, ProjectKey, Revision, Title, UserId};
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

    /// The project that a request names.
    ///
    /// # Errors
    /// [`Error::NoSuchProject`] if the account has no such project.
    pub async fn find_project_by_key(&self, owner: UserId, key: &ProjectKey) -> Result<Project> {
        match key {
            ProjectKey::Title(title) => self.find_project(owner, title).await,
            ProjectKey::Id(id) => self.find_project_by_id(owner, *id).await,
        }
    }

    /// The state of a project with this revision: its current state, or a version.
    ///
    /// # Errors
    /// - [`Error::NoSuchProject`] if the account has no such project.
    /// - [`Error::NoSuchVersion`] if the project has no state of this revision, or no longer.
    pub async fn find_revision(
        &self,
        owner: UserId,
        key: &ProjectKey,
        revision: Revision,
    ) -> Result<Project> {
        let current = self.find_project_by_key(owner, key).await?;
        if current.revision == revision {
            return Ok(current);
        }
        let found = self.shared.records.find_version(owner, current.id, revision).await?;
        found.map(|version| version.project).ok_or(Error::NoSuchVersion)
    }
}
