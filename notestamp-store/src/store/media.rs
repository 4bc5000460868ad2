//! A project's media: found, and read whole or in part.

use std::ops::Range;

use url::Url;

use crate::blob::{ByteStream, PRESIGNED_TIME_MAX, PresignedHeaders};
use crate::domain::{MediaRef, Project, ProjectId, UserId};
use crate::error::{Error, Result};

use super::Store;

impl Store {
    /// The project of that id, if it is this account's.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not, or is not there.
    pub async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Project> {
        let found = self.shared.records.find_project_by_id(owner, id).await?;
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

    /// A URL by which a browser reads a project's media straight from the media store, for as long as
    /// [`PRESIGNED_TIME_MAX`]; none where that store cannot make one, and the media is to be read here.
    ///
    /// Whoever has the URL can read the media, so it is for those only who may.
    ///
    /// # Errors
    /// Where the media store's credentials cannot be had.
    pub async fn media_url(&self, media: &MediaRef, headers: &PresignedHeaders) -> Result<Option<Url>> {
        self.shared.media.presign(media.namespace, media.object, headers, PRESIGNED_TIME_MAX).await
    }
}
