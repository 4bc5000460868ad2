//! A project's media: found, and read whole or in part.

use std::ops::Range;

use crate::blob::ByteStream;
use crate::domain::{MediaRef, Project, ProjectId, UserId};
use crate::error::{Error, Result};

use super::Store;

impl Store {
    /// The project of that id, if it is this account's.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not, or is not there.
    pub async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Project> {
        let found = self.shared.metadata.find_project_by_id(owner, id).await?;
        found.ok_or(Error::NotFound { what: "project" })
    }

    /// The bytes of a project's media, or a range of them that lies within their size.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the project has been deleted since it was read.
    pub async fn read_media(
        &self,
        project: &Project,
        media: &MediaRef,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream> {
        match self.shared.media.read(media.namespace, media.object, media.size, range).await {
            Err(missing @ Error::Corrupt(_)) => {
                self.find_project_by_id(project.owner, project.id).await?;
                Err(missing)
            }
            read => read,
        }
    }
}
