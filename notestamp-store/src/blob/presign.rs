//! Presigned URLs: a client reads an object directly from the backend, and the bytes do not pass through this process.

use std::time::Duration;

use url::Url;

use super::presigner::PresignedHeaders;
use super::timeouts::{REQUEST_TIME_MAX, within};
use super::{BlobStore, path};
use crate::domain::{InvalidValue, Namespace, ObjectId};
use crate::error::Result;

/// The longest lifetime of a presigned URL. It cannot be revoked: every holder can read the object until it expires,
/// even after signing out.
pub const PRESIGNED_TIME_MAX: Duration = Duration::from_secs(15 * 60);

impl BlobStore {
    /// A presigned URL: every holder can read this one object until the URL expires. `None` if the backend cannot
    /// presign. The same URL serves range requests.
    ///
    /// It is not checked whether the object exists.
    ///
    /// # Errors
    /// - [`Error::Invalid`](crate::Error::Invalid) if `expires_in` is longer than [`PRESIGNED_TIME_MAX`].
    /// - [`Error::Unavailable`](crate::Error::Unavailable) if the credentials are unavailable.
    pub async fn presign(
        &self,
        namespace: Namespace,
        object: ObjectId,
        headers: &PresignedHeaders,
        expires_in: Duration,
    ) -> Result<Option<Url>> {
        if expires_in > PRESIGNED_TIME_MAX {
            return Err(InvalidValue::new("presigned URL", "would be valid for too long").into());
        }
        let Some(presigner) = &self.backend.presigner else { return Ok(None) };
        let path = path::of(namespace, object);
        let url = presigner.presign(&path, headers, expires_in);
        within(REQUEST_TIME_MAX, url).await.map(Some).map_err(|error| self.error(error))
    }
}
