//! What buckets of all services have in common: a name, a prefix, and a client with little patience.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use super::backend::{Backend, Parts};
use super::presign::{Presign, PresignedHeaders};
use super::timeouts::TimeoutStore;

/// A bucket, or what lies in it under a prefix: `bucket/prefix` of a URL.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) name: String,
    prefix: Path,
}

impl Bucket {
    /// Reads host and path of a URL; says why it cannot, without repeating them.
    pub(super) fn parse(url: &Url) -> Result<Self, &'static str> {
        if !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
            return Err("has more than a bucket's name before the path: credentials come from variables");
        }
        let name = url.host_str().unwrap_or_default();
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_of_name) {
            return Err("does not name a bucket");
        }
        let prefix = Path::from_url_path(url.path()).map_err(|_| "has a prefix that is no path")?;
        Ok(Self { name: name.to_owned(), prefix })
    }

    /// The backend that keeps everything under the prefix.
    pub(super) fn backend<T: ObjectStore>(&self, bucket: Arc<T>, signer: Option<Arc<dyn Signer>>) -> Backend {
        let prefix = self.prefix.clone();
        let presigner = signer.map(|signer| Arc::new(Presigner { signer, prefix }) as Arc<dyn Presign>);
        Backend {
            objects: Arc::new(TimeoutStore::new(PrefixStore::new(bucket, self.prefix.clone()))),
            local: None,
            parts: Parts::REMOTE,
            remote: true,
            presigner,
        }
    }
}

/// Makes links to the objects under a prefix.
struct Presigner {
    signer: Arc<dyn Signer>,
    prefix: Path,
}

#[async_trait]
impl Presign for Presigner {
    async fn presign(
        &self,
        path: &Path,
        headers: &PresignedHeaders,
        expires_in: Duration,
    ) -> object_store::Result<Url> {
        let path = self.prefix.parts().chain(path.parts()).collect();
        // S3 (GetObject) and Google Cloud Storage (XML API) name them alike.
        let options = SignedUrlOptions::new().with_query([
            ("response-content-type", &headers.content_type),
            ("response-content-disposition", &headers.content_disposition),
        ]);
        self.signer.signed_url_opts(Method::GET, &path, expires_in, &options).await
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.prefix.as_ref().is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// How often a request is tried again, and a read goes on where it has broken off.
const RETRIES_MAX: usize = 2;

/// How long to wait before the first retry; before the second, up to twice as long.
const BACKOFF: Duration = Duration::from_millis(100);

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: &str = "2s";

/// How long any request may take, the slowest download included. What a caller waits for has limits of
/// its own, in `patience`: this client's default of 30 s in all would break off whoever listens.
const REQUEST_TIME_MAX: &str = "1day";

/// How a client tries again: seldom and soon, and as late in a long download as at its begin.
pub(super) fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: BACKOFF, max_backoff: 2 * BACKOFF, base: 2.0 };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: Duration::from_secs(24 * 60 * 60) }
}

/// The limits of a client, in the words of every service's builder.
pub(super) fn client_settings() -> [(ClientConfigKey, &'static str); 2] {
    [(ClientConfigKey::ConnectTimeout, CONNECT_TIME_MAX), (ClientConfigKey::Timeout, REQUEST_TIME_MAX)]
}
