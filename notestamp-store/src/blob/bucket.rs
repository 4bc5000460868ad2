//! What the buckets of all services have in common: a name, a prefix, and a client with short timeouts and few retries.

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
use super::presigner::{PresignedHeaders, Presigner};
use super::timeouts::TimeoutStore;

/// A bucket and a prefix, which may be empty: `bucket/prefix` of a URL.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) name: String,
    prefix: Path,
}

impl Bucket {
    /// Parses host and path of a URL. The error says why they are invalid, without repeating them.
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

    /// The backend that keeps its objects in this bucket, under the prefix.
    pub(super) fn backend<T: ObjectStore>(&self, bucket: Arc<T>, signer: Option<Arc<dyn Signer>>) -> Backend {
        let prefix = self.prefix.clone();
        let presigner = signer.map(|signer| Arc::new(PrefixSigner { signer, prefix }) as Arc<dyn Presigner>);
        Backend {
            objects: Arc::new(TimeoutStore::new(PrefixStore::new(bucket, self.prefix.clone()))),
            local: None,
            parts: Parts::REMOTE,
            remote: true,
            presigner,
        }
    }
}

/// Makes presigned URLs of the objects under a prefix.
struct PrefixSigner {
    signer: Arc<dyn Signer>,
    prefix: Path,
}

#[async_trait]
impl Presigner for PrefixSigner {
    async fn presign(
        &self,
        path: &Path,
        headers: &PresignedHeaders,
        expires_in: Duration,
    ) -> object_store::Result<Url> {
        let path = self.prefix.parts().chain(path.parts()).collect();
        // S3 (GetObject) and Google Cloud Storage (XML API) use the same parameter names.
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

/// How many times a request is retried, and an interrupted read is resumed.
const RETRIES_MAX: usize = 2;

/// The pause before the first retry; before the second, up to twice as long.
const BACKOFF: Duration = Duration::from_millis(100);

/// The timeout of connecting.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// The client's timeout of a whole request with its retries, long enough for the slowest download. The timeouts that
/// callers see are in `timeouts`; the client's default of 30 s in all would interrupt media playback.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The retries of a client: few, after short pauses, and at any time during a long download.
pub(super) fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: BACKOFF, max_backoff: 2 * BACKOFF, base: 2.0 };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: CLIENT_TIME_MAX }
}

/// The timeouts of a client, as settings that the builder of each service accepts.
pub(super) fn client_settings() -> [(ClientConfigKey, String); 2] {
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    [
        (ClientConfigKey::ConnectTimeout, seconds(CONNECT_TIME_MAX)),
        (ClientConfigKey::Timeout, seconds(CLIENT_TIME_MAX)),
    ]
}
