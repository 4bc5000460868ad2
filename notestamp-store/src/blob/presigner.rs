//! Makes presigned URLs, for the backends that can.

use std::time::Duration;

use async_trait::async_trait;
use object_store::path::Path;
use url::Url;

/// The headers of the response to a presigned URL; a bucket does not store them with the object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresignedHeaders {
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The value of `Content-Disposition`.
    pub content_disposition: String,
}

/// Makes presigned URLs for a backend.
#[async_trait]
pub(super) trait Presigner: Send + Sync {
    async fn presign(
        &self,
        path: &Path,
        headers: &PresignedHeaders,
        expires_in: Duration,
    ) -> object_store::Result<Url>;
}
