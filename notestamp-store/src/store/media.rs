//! A project's media: found, and read whole or in part.

use std::ops::Range;

use url::Url;

use crate::blob::{ByteStream, PRESIGNED_TIME_MAX, PresignedHeaders};
use crate::domain::{MediaRef, ObjectKind, Project, ProjectId, UserId};
use crate::error::{Error, Result};
use crate::protocol::Look;

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
    /// - [`Error::NotFound`] where the project has been deleted since it was read.
    /// - [`Error::Corrupt`] where the bytes are lost: a save that brings them mends that.
    pub async fn read_media(
        &self,
        project: &Project,
        media: &MediaRef,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream> {
        match self.shared.media.read(media.namespace, media.object, media.size, range.clone()).await {
            Err(missing @ Error::Corrupt(_)) => {
                let now = self.find_project_by_id(project.owner, project.id).await?;
                match now.media {
                    // A save has brought the bytes again since the project was read.
                    Some(now) if now.digest == media.digest && now.object != media.object => {
                        self.shared.media.read(now.namespace, now.object, now.size, range).await
                    }
                    _ => Err(missing),
                }
            }
            read => read,
        }
    }

    /// Looks whether the bytes of some media are there.
    ///
    /// A store that is not the one which the records belong to has lost nothing: it says so instead.
    pub(super) async fn look(&self, media: &MediaRef) -> Result<Look> {
        let is_whole = self.shared.media.is_whole(media.namespace, media.object, media.size).await?;
        if !is_whole {
            self.check_identity(ObjectKind::Media).await?;
            tracing::error!(object = %media.object, "the bytes of a live object are lost");
        }
        Ok(Look { object: media.object, is_whole })
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
