//! From a parsed URL to the backend behind it.

use std::fmt;
use std::io;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use url::Url;

use super::local::LocalRoot;
use crate::domain::InvalidValue;
use crate::durability::Durability;

/// Where a blob store keeps its bytes.
///
/// | URL | the bytes lie |
/// | --- | --- |
/// | `file:///absolute/path` | in a local folder, which is created where it does not exist |
/// | `memory:///` | in this process, and are gone with it |
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
}

impl BlobUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// Where it is none, or has a scheme that this build knows nothing of. What is said never
    /// repeats the URL, which may hold a secret.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let refused = |why: &str| InvalidValue::new("blob store URL", why);
        let url = Url::parse(text).map_err(|why| refused(&format!("is not a URL: {why}")))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("has a query or a fragment: in a path write ? as %3F and # as %23"));
        }
        match url.scheme() {
            // `file:media` and `file://media` are URLs too, but not of the folder that was meant.
            "file" if !text.contains(":///") => {
                Err(refused("does not name an absolute path, as file:///srv/media does"))
            }
            "file" => match url.to_file_path() {
                Ok(folder) => Ok(Self(Location::Folder(folder))),
                Err(()) => Err(refused("does not name a path on this system")),
            },
            "memory" if url.has_host() || !matches!(url.path(), "" | "/") => {
                Err(refused("names a place in memory, where there is only memory:///"))
            }
            "memory" => Ok(Self(Location::Memory)),
            scheme => Err(refused(&format!("has the scheme {scheme}, which this build does not support"))),
        }
    }

    /// The URL of a local folder; a relative path starts at the present directory.
    ///
    /// # Errors
    /// Where the path is empty or the present directory is unknown.
    pub fn folder(path: impl AsRef<Path>) -> io::Result<Self> {
        path::absolute(path).map(|path| Self(Location::Folder(path)))
    }
}

/// For people: nothing in it is escaped, and no secret is in it.
impl fmt::Display for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Folder(path) => write!(f, "file://{}", path.display()),
            Location::Memory => f.write_str("memory:///"),
        }
    }
}

impl fmt::Debug for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobUrl({self})")
    }
}

/// What a blob store is made of.
#[derive(Clone)]
pub(super) struct Backend {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Its folder, where it is one: for all that [`LocalFileSystem`] leaves to be done.
    pub(super) local: Option<Arc<LocalRoot>>,
    pub(super) parts: Parts,
    /// Whether a network lies between.
    pub(super) remote: bool,
}

/// In what portions a large object is handed to the backend.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// The size of each but the last.
    pub(super) bytes: usize,
    /// How many may be on their way at the same time.
    pub(super) in_flight_max: usize,
}

impl Parts {
    /// More bytes at once would gain nothing: while one part is hashed and written, the next one comes.
    const LOCAL: Self = Self { bytes: 1 << 20, in_flight_max: 1 };
    /// Parts of S3 must have at least 5 MiB, and of R2 one size; more in parallel gains nothing.
    const REMOTE: Self = Self { bytes: 8 << 20, in_flight_max: 4 };
}

impl Backend {
    /// Opens what the URL names; may block.
    pub(super) fn open(url: &BlobUrl, durability: Durability) -> Result<Self, OpenError> {
        match &url.0 {
            Location::Memory => Ok(Self {
                objects: Arc::new(InMemory::new()),
                local: None,
                parts: Parts::LOCAL,
                remote: false,
            }),
            Location::Folder(path) => {
                let root = LocalRoot::open(path, durability).map_err(OpenError::Io)?;
                let files = LocalFileSystem::new_with_prefix(root.path()).map_err(OpenError::ObjectStore)?;
                Ok(Self {
                    objects: Arc::new(files.with_fsync(durability == Durability::Full)),
                    local: Some(Arc::new(root)),
                    parts: Parts::LOCAL,
                    remote: false,
                })
            }
        }
    }

    /// Takes whatever an embedder has as a remote store, which is the more careful assumption.
    pub(super) fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, local: None, parts: Parts::REMOTE, remote: true }
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
    fn what_names_no_folder_is_refused() {
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
