//! [`BlobStore`]: keeps bytes in an `Arc<dyn ObjectStore>`. A store has two of them, for media and for notes.

#[cfg(feature = "azure")]
mod azure;
mod backend;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod bucket;
mod error;
#[cfg(feature = "gcs")]
mod gcs;
mod identity;
mod ingest;
mod inspect;
mod list;
mod listed_object;
mod local;
mod path;
mod presign;
mod presigner;
mod read;
#[cfg(feature = "s3")]
mod s3;
mod timeouts;
mod upload;
mod url;

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::task;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use ingest::{Ingest, StagedObject};
pub use listed_object::ListedObject;
pub use presign::PRESIGNED_TIME_MAX;
pub use presigner::PresignedHeaders;
pub use read::ByteStream;
pub(crate) use timeouts::{TRANSFER_TIME_MAX, wait_briefly};
pub use url::BlobUrl;

use crate::domain::{Namespace, ObjectId, ObjectKind};
use crate::durability::Durability;
use crate::error::{Error, Result, error_chain};
use crate::short_work::ShortWork;
use backend::Backend;
use local::LocalRoot;
use url::OpenError;

/// A blob store: keeps the bytes of objects, either of all media or of all notes.
///
/// # Contract
/// - Writes are atomic: an object appears whole or not at all. A completed write is as durable as [`Durability`] says.
/// - An object is written once, by one writer, and is immutable. Its path is never used again.
/// - The ledger, not the blob store, knows which objects exist, and their sizes. Reading an object that is absent, or
///   has another size than expected, fails with [`Error::Corrupt`].
/// - Memory use does not grow with the size of an object.
///
/// Clones share all state. All methods need a Tokio runtime. The module `conformance` holds the tests that every
/// backend passes.
#[derive(Clone)]
pub struct BlobStore {
    name: &'static str,
    /// The location of the store, for messages.
    location: Arc<str>,
    backend: Backend,
    /// Calls to a local folder that take microseconds, unless its disk is slow.
    short_calls: ShortWork,
    /// Tasks that abort uploads.
    tasks: TaskTracker,
    /// Cancelled by `close`: a task that aborts an upload then tries only once more.
    closing: CancellationToken,
}

impl BlobStore {
    /// Opens the store that keeps the objects of this kind.
    ///
    /// A folder that does not exist is created; only the user of this process can access it. Each `memory:///` that is
    /// opened is a new, empty store.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`] if the folder or the bucket cannot be used.
    pub async fn open(kind: ObjectKind, url: &BlobUrl, durability: Durability) -> Result<Self> {
        let (name, location, url) = (name(kind), url.to_string(), url.clone());
        let opened = task::spawn_blocking(move || url.open(durability));
        match opened.await.map_err(|error| error::from_join(name, error))? {
            Ok(backend) => Ok(Self::over(name, location, backend)),
            Err(OpenError::Io(error)) => Err(error::from_io(name, error)),
            Err(OpenError::ObjectStore(error)) => Err(error::from_object_store(name, false, error)),
        }
    }

    /// Keeps the objects of this kind in a backend that the embedding program supplies.
    ///
    /// Its durability depends on that backend. For a local folder use [`BlobStore::open`] instead: only that does what
    /// `object_store`'s local backend lacks.
    pub fn new(kind: ObjectKind, objects: Arc<dyn ObjectStore>) -> Self {
        let location = objects.to_string();
        Self::over(name(kind), location, Backend::new(objects))
    }

    fn over(name: &'static str, location: String, backend: Backend) -> Self {
        let location = location.into();
        let (short_calls, tasks) = (ShortWork::default(), TaskTracker::new());
        Self { name, location, backend, short_calls, tasks, closing: CancellationToken::new() }
    }

    /// Writes a small object with one request.
    ///
    /// If the future is dropped, the object may still appear: keep its ledger row until the sweep dooms it.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::FileTooLarge`], [`Error::Unavailable`] or [`Error::Backend`]. The object is then
    /// deleted if the backend still responds; otherwise the outcome is unknown.
    pub async fn put(&self, namespace: Namespace, object: ObjectId, bytes: Bytes) -> Result<()> {
        self.put_payload(namespace, object, bytes.into()).await
    }

    /// Deletes an object, and any partial file that a crash has left of it. Idempotent: an absent object is no error.
    ///
    /// After success the deletion is final: the ledger may forget the object.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`]; retry later.
    pub async fn delete(&self, namespace: Namespace, object: ObjectId) -> Result<()> {
        if let Some(local) = &self.backend.local {
            return self.on_disk(local, move |root| root.delete(namespace, object)).await;
        }
        match self.backend.objects.delete(&path::of(namespace, object)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Health check: succeeds if the backend responds; for a local folder, if it can also be written to.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`] or [`Error::Backend`].
    pub async fn ping(&self) -> Result<()> {
        if let Some(local) = &self.backend.local {
            return self.on_disk(local, LocalRoot::ping).await;
        }
        // Lists a prefix without objects: the response is small. A request for a single object could not tell an
        // absent bucket from an absent object.
        match self.backend.objects.list(Some(&Path::from("ping"))).try_next().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Whether the bytes are in a folder of local files.
    pub(crate) fn is_folder(&self) -> bool {
        self.backend.local.is_some()
    }

    /// Checks that the file system of a local folder has enough free space for new objects: at least
    /// [`FREE_BYTES_MIN`](crate::disk::FREE_BYTES_MIN). Other backends have no such limit.
    ///
    /// # Errors
    /// [`Error::Full`] if there is too little; [`Error::Unavailable`] or [`Error::Backend`] if the free space
    /// cannot be determined.
    pub async fn ensure_room(&self) -> Result<()> {
        match &self.backend.local {
            Some(local) => self.briefly_on_disk(local, LocalRoot::ensure_room).await,
            None => Ok(()),
        }
    }

    /// Returns whether the objects of a namespace have a folder of their own, and it is empty.
    pub(crate) async fn is_empty_folder(&self, namespace: Namespace) -> Result<bool> {
        match &self.backend.local {
            Some(local) => self.on_disk(local, move |root| Ok(root.is_empty(namespace))).await,
            None => Ok(false),
        }
    }

    /// Removes that folder if it is empty. An object that is written to the namespace at the same time may not be
    /// durable: its folder could be absent after a loss of power.
    pub(crate) async fn remove_empty_folder(&self, namespace: Namespace) -> Result<()> {
        match &self.backend.local {
            Some(local) => self.on_disk(local, move |root| root.remove_folder(namespace)).await,
            None => Ok(()),
        }
    }

    /// Shuts down gracefully: waits for the uploads that are being aborted; each abort is tried at most once more.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The size of a part, for conformance tests of object sizes below and above it.
    #[cfg(feature = "conformance")]
    pub(crate) fn part_bytes(&self) -> usize {
        self.backend.parts.bytes
    }

    async fn put_payload(&self, namespace: Namespace, object: ObjectId, payload: PutPayload) -> Result<()> {
        self.prepare(namespace).await?;
        if let Err(error) = self.backend.objects.put(&path::of(namespace, object), payload).await {
            self.delete_leftovers(namespace, object).await;
            return Err(self.error(error));
        }
        Ok(())
    }

    /// Creates the folder of a namespace, if the backend is a local folder.
    async fn prepare(&self, namespace: Namespace) -> Result<()> {
        match &self.backend.local {
            // The folder is there, except at the first save of an account.
            Some(local)
                if self.briefly_on_disk(local, move |root| Ok(root.is_prepared(namespace))).await? =>
            {
                Ok(())
            }
            Some(local) => self.on_disk(local, move |root| root.prepare(namespace)).await,
            None => Ok(()),
        }
    }

    /// Deletes what a failed write may have left. If this fails too, the sweep deletes it.
    async fn delete_leftovers(&self, namespace: Namespace, object: ObjectId) {
        let store = self.clone();
        let deletion = async move {
            if let Err(error) = store.delete(namespace, object).await {
                let (store, error) = (store.name, error_chain(&error));
                tracing::warn!(store, %object, error, "a failed write may have left bytes behind");
            }
        };
        wait_briefly(deletion).await;
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        root: &Arc<LocalRoot>,
        work: impl FnOnce(&LocalRoot) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(root);
        let done = task::spawn_blocking(move || work(&root)).await;
        done.map_err(|error| error::from_join(self.name, error))?
            .map_err(|error| error::from_io(self.name, error))
    }

    /// The same for a call that takes microseconds, unless the disk is slow.
    async fn briefly_on_disk<T: Send + 'static>(
        &self,
        root: &Arc<LocalRoot>,
        work: impl FnOnce(&LocalRoot) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(root);
        let done = self.short_calls.run(move || work(&root)).await;
        done.map_err(|error| error::from_join(self.name, error))?
            .map_err(|error| error::from_io(self.name, error))
    }

    fn error(&self, error: object_store::Error) -> Error {
        error::from_object_store(self.name, self.backend.remote, error)
    }
}

/// Names the store; hides the secrets in its backend's configuration.
impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobStore({}: {})", self.name, self.backend.objects)
    }
}

fn name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Media => "media store",
        ObjectKind::Notes => "notes store",
    }
}
