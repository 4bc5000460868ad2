//! Bytes over an `Arc<dyn ObjectStore>`: one [`BlobStore`] for media, one for notes.

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
mod list;
mod local;
mod path;
mod presign;
mod read;
#[cfg(feature = "s3")]
mod s3;
mod timeouts;
mod upload;

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;
use tokio::task;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use backend::BlobUrl;
pub use ingest::{Ingest, StagedObject};
pub use list::ListedObject;
pub use presign::{PRESIGNED_TIME_MAX, PresignedHeaders};
pub use read::ByteStream;
pub(crate) use timeouts::tidy_up;

use crate::domain::{Namespace, ObjectId, ObjectKind};
use crate::durability::Durability;
use crate::error::{Error, Result, error_chain};
use backend::{Backend, OpenError};
use local::LocalRoot;

/// How many bytes of all uploads may be on their way to one store at the same time.
const IN_FLIGHT_BYTES_MAX: usize = 512 << 20;

/// Keeps the bytes of objects: those of all media, or those of all notes.
///
/// # Contract
/// - An object appears whole or not at all, and what has been answered survives what [`Durability`] says.
/// - An object is written once, by one writer, and never changed. Its path is never used again.
/// - Nothing is found here: which objects there are, and how large, is for the ledger to say.
///   An object that is missing, or of another size than expected, is [`Error::Corrupt`].
/// - Memory does not grow with the size of an object.
///
/// Clones share everything. All methods need a Tokio runtime. `conformance` holds the suite that
/// every backend passes.
#[derive(Clone)]
pub struct BlobStore {
    name: &'static str,
    /// Where it is, for people.
    location: Arc<str>,
    backend: Backend,
    /// A permit for each part that is on its way.
    parts: Arc<Semaphore>,
    /// Uploads that are being aborted.
    tasks: TaskTracker,
    /// Says to them that there will be no more tries.
    closing: CancellationToken,
}

impl BlobStore {
    /// Opens the store that keeps the objects of this kind.
    ///
    /// A folder that does not exist is created, for the present account's eyes only. Each `memory:///` that
    /// is opened is another one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`] where the folder cannot be used.
    pub async fn open(kind: ObjectKind, url: &BlobUrl, durability: Durability) -> Result<Self> {
        let (name, location, url) = (name(kind), url.to_string(), url.clone());
        let opened = task::spawn_blocking(move || Backend::open(&url, durability));
        match opened.await.map_err(|error| error::from_join(name, error))? {
            Ok(backend) => Ok(Self::over(name, location, backend)),
            Err(OpenError::Io(error)) => Err(error::from_io(name, error)),
            Err(OpenError::ObjectStore(error)) => Err(error::from_object_store(name, false, error)),
        }
    }

    /// Keeps the objects of this kind in a backend of the embedder's own.
    ///
    /// How durable it is, is the backend's matter. For a local folder use [`BlobStore::open`]: what
    /// `object_store` leaves to be done there is done only then.
    pub fn new(kind: ObjectKind, objects: Arc<dyn ObjectStore>) -> Self {
        let location = objects.to_string();
        Self::over(name(kind), location, Backend::new(objects))
    }

    fn over(name: &'static str, location: String, backend: Backend) -> Self {
        let parts = Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX / backend.parts.bytes));
        let location = location.into();
        Self { name, location, backend, parts, tasks: TaskTracker::new(), closing: CancellationToken::new() }
    }

    /// Writes a small object at once.
    ///
    /// Where the future is dropped, the object may still appear: keep its row until the sweep takes it.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::FileTooLarge`], [`Error::Unavailable`] or [`Error::Backend`]; nothing is kept of it,
    /// as far as the backend still answers.
    pub async fn put(&self, namespace: Namespace, object: ObjectId, bytes: Bytes) -> Result<()> {
        self.put_payload(namespace, object, bytes.into()).await
    }

    /// Deletes an object, and what a crash may have left of it half written. What is not there is fine.
    ///
    /// Once this has been answered, the bytes do not come back: the ledger may forget the object.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`]; repeat it then.
    pub async fn delete(&self, namespace: Namespace, object: ObjectId) -> Result<()> {
        if let Some(local) = &self.backend.local {
            return self.on_disk(local, move |root| root.delete(namespace, object)).await;
        }
        match self.backend.objects.delete(&path::of(namespace, object)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Answers if the backend does, and could be written to if it is a folder.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`] or [`Error::Backend`].
    pub async fn ping(&self) -> Result<()> {
        if let Some(local) = &self.backend.local {
            return self.on_disk(local, LocalRoot::ping).await;
        }
        // A folder that has nothing in it: one small answer. To ask for a single object would not tell a
        // bucket that is missing from an object that is.
        match self.backend.objects.list(Some(&Path::from("ping"))).try_next().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Fails where so little space is free that nothing more should be added: less than
    /// [`FREE_BYTES_MIN`](crate::disk::FREE_BYTES_MIN) in the file system of a local folder. Others have no such limit.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Unavailable`] or [`Error::Backend`] where the folder cannot be looked at.
    pub async fn ensure_room(&self) -> Result<()> {
        match &self.backend.local {
            Some(local) => self.on_disk(local, LocalRoot::ensure_room).await,
            None => Ok(()),
        }
    }

    /// Whether the objects of a namespace have a place of their own, and nothing is in it.
    pub(crate) async fn is_empty_folder(&self, namespace: Namespace) -> Result<bool> {
        match &self.backend.local {
            Some(local) => self.on_disk(local, move |root| Ok(root.is_empty(namespace))).await,
            None => Ok(false),
        }
    }

    /// Removes that place, unless something is in it. Nobody may count on an object that is written to the namespace
    /// meanwhile: its folder could be gone after a loss of power.
    pub(crate) async fn remove_empty_folder(&self, namespace: Namespace) -> Result<()> {
        match &self.backend.local {
            Some(local) => self.on_disk(local, move |root| root.remove_folder(namespace)).await,
            None => Ok(()),
        }
    }

    /// Ends it in good order: waits for uploads that are being aborted, each of which is tried once more at most.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The size from which on an object is written in parts, for the suite to try what lies beside it.
    #[cfg(feature = "conformance")]
    pub(crate) fn part_bytes(&self) -> usize {
        self.backend.parts.bytes
    }

    async fn put_payload(&self, namespace: Namespace, object: ObjectId, payload: PutPayload) -> Result<()> {
        self.prepare(namespace).await?;
        if let Err(error) = self.backend.objects.put(&path::of(namespace, object), payload).await {
            self.withdraw(namespace, object).await;
            return Err(self.error(error));
        }
        Ok(())
    }

    /// Makes the way to a namespace's objects, where that is more than a prefix.
    async fn prepare(&self, namespace: Namespace) -> Result<()> {
        match &self.backend.local {
            Some(local) => self.on_disk(local, move |root| root.prepare(namespace)).await,
            None => Ok(()),
        }
    }

    /// Deletes what a failed write may have left. Where this fails too, the sweep does it.
    async fn withdraw(&self, namespace: Namespace, object: ObjectId) {
        let store = self.clone();
        let deletion = async move {
            if let Err(error) = store.delete(namespace, object).await {
                let (store, error) = (store.name, error_chain(&error));
                tracing::warn!(store, %object, error, "a failed write may have left bytes behind");
            }
        };
        tidy_up(deletion).await;
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

    fn error(&self, error: object_store::Error) -> Error {
        error::from_object_store(self.name, self.backend.remote, error)
    }
}

/// Says which store it is, and no secret of its backend's configuration.
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
