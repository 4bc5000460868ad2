//! Reads a project's media, all of it or a range.

use std::ops::Range;

use url::Url;

use crate::blob::{ByteStream, PRESIGNED_TIME_MAX, PresignedHeaders};
use crate::domain::{MediaRef, ObjectKind, Project, ProjectKey};
use crate::error::{Error, Result};
use crate::protocol::MediaCheck;

use super::Store;

impl Store {
    /// Reads the bytes of the media of a project or of a version, or a range of them, which must lie within their size.
    ///
    /// # Errors
    /// - [`Error::NoSuchProject`] if the project has been deleted since it was read.
    /// - [`Error::Corrupt`] if the bytes are lost; a save that brings the same media again repairs that.
    pub async fn read_media(
        &self,
        project: &Project,
        media: &MediaRef,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream> {
        match self.shared.media.read(media.namespace, media.object, media.size, range.clone()).await {
            Err(missing @ Error::Corrupt(_)) => {
                let key = ProjectKey::Id(project.id);
                let current = self.find_project_by_key(project.owner, &key).await?;
                let version = self.find_revision(project.owner, &key, project.revision).await.ok();
                let mut states =
                    [Some(current), version].into_iter().flatten().filter_map(|state| state.media);
                match states.find(|now| now.digest == media.digest && now.object != media.object) {
                    // A save has repaired the media since the project was read.
                    Some(now) => self.shared.media.read(now.namespace, now.object, now.size, range).await,
                    None => Err(missing),
                }
            }
            read => read,
        }
    }

    /// Checks whether the bytes of a media object are whole.
    ///
    /// If they are not, the identity of the media store is checked first: objects that are absent in a foreign store
    /// are not lost.
    pub(super) async fn check_media(&self, media: &MediaRef) -> Result<MediaCheck> {
        let is_whole = self.shared.media.is_whole(media.namespace, media.object, media.size).await?;
        if !is_whole {
            self.check_identity(ObjectKind::Media).await?;
            tracing::error!(object = %media.object, "the bytes of a live object are lost");
        }
        Ok(MediaCheck { object: media.object, is_whole })
    }

    /// A presigned URL by which a browser reads a project's media directly from the media store; it is valid for
    /// [`PRESIGNED_TIME_MAX`]. `None` if the media store cannot presign: use [`read_media`](Self::read_media) then.
    ///
    /// Every holder of the URL can read the media: give it only to a client that may read the project.
    ///
    /// # Errors
    /// If the credentials of the media store are unavailable.
    pub async fn media_url(&self, media: &MediaRef, headers: &PresignedHeaders) -> Result<Option<Url>> {
        self.shared.media.presign(media.namespace, media.object, headers, PRESIGNED_TIME_MAX).await
    }
}
