//! Links to single objects, straight to a backend that can make them: the bytes then pass nobody else.

use std::time::Duration;

use async_trait::async_trait;
use object_store::path::Path;
use url::Url;

use super::timeouts::{REQUEST_TIME_MAX, within};
use super::{BlobStore, path};
use crate::domain::{InvalidValue, Namespace, ObjectId};
use crate::error::Result;

/// The longest that a presigned URL may be good for. Nobody can take it back: whoever has it reads the
/// object until it expires, signed out or not.
pub const PRESIGNED_TIME_MAX: Duration = Duration::from_secs(15 * 60);

/// The headers that a presigned URL is answered with; a bucket knows nothing of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresignedHeaders {
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The value of `Content-Disposition`.
    pub content_disposition: String,
}

/// What makes the links of a backend that can.
#[async_trait]
pub(super) trait Presign: Send + Sync {
    async fn presign(
        &self,
        path: &Path,
        headers: &PresignedHeaders,
        expires_in: Duration,
    ) -> object_store::Result<Url>;
}

impl BlobStore {
    /// A URL by which anybody can read an object, and nothing else, until it expires; none where the
    /// backend cannot make one. Ranges of the object are read by the same URL.
    ///
    /// It is made without asking whether the object is there.
    ///
    /// # Errors
    /// - [`Error::Invalid`](crate::Error::Invalid) where it would be good for longer than [`PRESIGNED_TIME_MAX`].
    /// - [`Error::Unavailable`](crate::Error::Unavailable) where the credentials cannot be had.
    pub async fn presign(
        &self,
        namespace: Namespace,
        object: ObjectId,
        headers: &PresignedHeaders,
        expires_in: Duration,
    ) -> Result<Option<Url>> {
        if expires_in > PRESIGNED_TIME_MAX {
            return Err(InvalidValue::new("presigned URL", "is to be good for too long").into());
        }
        let Some(presigner) = &self.backend.presigner else { return Ok(None) };
        let path = path::of(namespace, object);
        let url = presigner.presign(&path, headers, expires_in);
        within(REQUEST_TIME_MAX, url).await.map(Some).map_err(|error| self.error(error))
    }
}
