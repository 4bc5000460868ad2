//! The URL of a blob store, and the backend that it names.

use std::fmt;
use std::io;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use url::Url;

#[cfg(feature = "azure")]
use super::azure;
use super::backend::{Backend, Parts};
#[cfg(any(feature = "gcs", feature = "azure"))]
use super::bucket::Bucket;
#[cfg(feature = "gcs")]
use super::gcs;
use super::local::LocalRoot;
#[cfg(feature = "s3")]
use super::s3::S3Bucket;
use crate::domain::InvalidValue;
use crate::durability::Durability;

/// Where a blob store keeps its bytes.
///
/// | URL | the bytes lie |
/// | --- | --- |
/// | `file:///absolute/path` | in a local folder, which is created where it does not exist |
/// | `memory:///` | in the memory of this process, and are lost when it ends |
/// | `s3://bucket/prefix` | in a bucket of S3, or of a service with the same protocol (feature `s3`) |
/// | `gs://bucket/prefix` | in a bucket of Google Cloud Storage (feature `gcs`) |
/// | `az://container/prefix` | in a container of Azure Blob Storage (feature `azure`) |
///
/// A prefix is optional. Credentials and other settings of a bucket come from the usual environment variables of each
/// service, `AWS_…`, `GOOGLE_…` and `AZURE_…`, and never from the URL. An `s3:` URL may have a query that overrides
/// them: `endpoint`, the URL of a service other than Amazon's, and `path_style`, which says whether the bucket is named
/// in the path (`true`) or in the host (`false`), as in `s3://media?endpoint=https://s3.example.org&path_style=true`.
///
/// ```
/// use notestamp_store::BlobUrl;
/// assert_eq!(BlobUrl::parse("file:///srv/my%20media")?.to_string(), "file:///srv/my media");
/// assert!(BlobUrl::parse("memory:///").is_ok());
/// assert!(BlobUrl::parse("file://media").is_err(), "a host, where a folder was meant");
/// assert!(BlobUrl::parse("ftp://example.org/").is_err());
/// # Ok::<(), notestamp_store::InvalidValue>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BlobUrl(Location);

#[derive(Clone, PartialEq, Eq)]
enum Location {
    Folder(PathBuf),
    Memory,
    #[cfg(feature = "s3")]
    S3(S3Bucket),
    #[cfg(feature = "gcs")]
    Gcs(Bucket),
    #[cfg(feature = "azure")]
    Azure(Bucket),
}

impl BlobUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// If the URL is invalid, or this build does not support its scheme. The message never repeats the URL, which
    /// may hold a secret.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let refused = |why: &str| InvalidValue::new("blob store URL", why);
        let url = Url::parse(text).map_err(|why| refused(&format!("is not a URL: {why}")))?;
        // Only S3 has settings in the query.
        if (url.query().is_some() && url.scheme() != "s3") || url.fragment().is_some() {
            return Err(refused("has a query or a fragment: in a path write ? as %3F and # as %23"));
        }
        match url.scheme() {
            // `file:media` and `file://media` are valid URLs too, but do not name the intended folder.
            "file" if !text.contains(":///") => {
                Err(refused("does not name an absolute path, as file:///srv/media does"))
            }
            "file" => match url.to_file_path() {
                Ok(folder) => Ok(Self(Location::Folder(folder))),
                Err(()) => Err(refused("does not name a path on this system")),
            },
            "memory" if url.has_host() || !matches!(url.path(), "" | "/") => {
                Err(refused("names a path in memory; only memory:/// is supported"))
            }
            "memory" => Ok(Self(Location::Memory)),
            #[cfg(feature = "s3")]
            "s3" => S3Bucket::parse(&url).map(|bucket| Self(Location::S3(bucket))).map_err(refused),
            #[cfg(feature = "gcs")]
            "gs" => Bucket::parse(&url).map(|bucket| Self(Location::Gcs(bucket))).map_err(refused),
            #[cfg(feature = "azure")]
            "az" => Bucket::parse(&url).map(|container| Self(Location::Azure(container))).map_err(refused),
            scheme => Err(refused(&format!("has the scheme {scheme}, which this build does not support"))),
        }
    }

    /// The URL of a local folder; a relative path starts at the current directory.
    ///
    /// # Errors
    /// If the path is empty or the current directory is unknown.
    pub fn folder(path: impl AsRef<Path>) -> io::Result<Self> {
        path::absolute(path).map(|path| Self(Location::Folder(path)))
    }

    /// Opens the backend that the URL names. Blocks.
    pub(super) fn open(&self, durability: Durability) -> Result<Backend, OpenError> {
        match &self.0 {
            Location::Memory => Ok(Backend {
                objects: Arc::new(InMemory::new()),
                local: None,
                parts: Parts::LOCAL,
                remote: false,
                presigner: None,
            }),
            Location::Folder(path) => {
                let root = LocalRoot::open(path, durability).map_err(OpenError::Io)?;
                let files = LocalFileSystem::new_with_prefix(root.path()).map_err(OpenError::ObjectStore)?;
                Ok(Backend {
                    objects: Arc::new(files.with_fsync(durability == Durability::Full)),
                    local: Some(Arc::new(root)),
                    parts: Parts::LOCAL,
                    remote: false,
                    presigner: None,
                })
            }
            #[cfg(feature = "s3")]
            Location::S3(bucket) => bucket.open().map_err(OpenError::ObjectStore),
            #[cfg(feature = "gcs")]
            Location::Gcs(bucket) => gcs::open(bucket).map_err(OpenError::ObjectStore),
            #[cfg(feature = "azure")]
            Location::Azure(container) => azure::open(container).map_err(OpenError::ObjectStore),
        }
    }
}

#[cfg(feature = "mongodb")]
impl BlobUrl {
    /// Opens a bucket or a folder that is only read. The credentials and settings of a bucket of S3 come from these
    /// variables, which are named like those of the environment.
    pub(crate) fn open_source(
        &self,
        variables: &[(String, String)],
    ) -> object_store::Result<Arc<dyn object_store::ObjectStore>> {
        #[cfg(not(feature = "s3"))]
        let _ = variables;
        match &self.0 {
            Location::Folder(path) => Ok(Arc::new(LocalFileSystem::new_with_prefix(path)?)),
            #[cfg(feature = "s3")]
            Location::S3(bucket) => bucket.open_with(variables),
            _ => Err(object_store::Error::NotSupported { source: format!("{self} as a source").into() }),
        }
    }
}

/// For messages: not percent-encoded, and without secrets.
impl fmt::Display for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Folder(path) => write!(f, "file://{}", path.display()),
            Location::Memory => f.write_str("memory:///"),
            #[cfg(feature = "s3")]
            Location::S3(bucket) => bucket.fmt(f),
            #[cfg(feature = "gcs")]
            Location::Gcs(bucket) => write!(f, "gs://{bucket}"),
            #[cfg(feature = "azure")]
            Location::Azure(container) => write!(f, "az://{container}"),
        }
    }
}

impl fmt::Debug for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobUrl({self})")
    }
}

/// Why a backend cannot be opened.
pub(super) enum OpenError {
    Io(io::Error),
    ObjectStore(object_store::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_folder_is_refused() {
        for text in [
            "",
            "/srv/media",
            "file:media",
            "file://media/x",
            "file://host/x",
            "file:///a?b",
            "file:///a#b",
            "memory://x",
            "memory:///x",
        ] {
            assert!(BlobUrl::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_repeats_no_secret() {
        for text in ["s3://key:SECRET@bucket/prefix", "ftp://u:SECRET@h/", "file://u:SECRET@h/x", "SECRET"] {
            let refusal = BlobUrl::parse(text).unwrap_err();
            assert!(!format!("{refusal} {refusal:?}").contains("SECRET"), "{refusal}");
        }
    }

    #[test]
    fn an_unknown_scheme_is_named() {
        let refusal = BlobUrl::parse("gopher://x/").unwrap_err().to_string();
        assert!(refusal.contains("gopher"), "{refusal}");
    }
}
