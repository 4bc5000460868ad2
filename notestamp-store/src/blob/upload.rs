//! A multipart upload under way: parts in parallel, and an end in any case.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::{BlobStore, error, path, tidy_up};
use crate::domain::{Namespace, ObjectId};
use crate::error::{Result, error_chain};

/// How long an abort is repeated. After that the parts are left to a rule of the bucket, which has to be there for
/// processes that are killed.
const ABORT_TIME_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// How long to wait before an abort is repeated: longer each time.
const ABORT_PAUSE_MIN: Duration = Duration::from_secs(10);
const ABORT_PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

/// An upload that is completed, or aborted, or aborts itself when it is dropped.
pub(super) struct Upload {
    store: BlobStore,
    /// None once it has come to its end.
    multipart: Option<Box<dyn MultipartUpload>>,
    path: Path,
    /// How many have been handed over.
    bytes: u64,
    parts: JoinSet<object_store::Result<()>>,
}

/// The right of one part to be on its way.
pub(super) struct Slot(
    #[expect(dead_code, reason = "it is given back when it is dropped")] OwnedSemaphorePermit,
);

impl Upload {
    pub(super) async fn start(store: &BlobStore, namespace: Namespace, object: ObjectId) -> Result<Self> {
        store.prepare(namespace).await?;
        let path = path::of(namespace, object);
        let multipart = store.backend.objects.put_multipart(&path).await;
        let multipart = Some(multipart.map_err(|error| store.error(error))?);
        Ok(Self { store: store.clone(), multipart, path, bytes: 0, parts: JoinSet::new() })
    }

    /// Waits until one part more may be on its way.
    pub(super) async fn wait_for_slot(&mut self) -> Result<Slot> {
        self.wait_for_parts(self.store.backend.parts.in_flight_max - 1).await?;
        let parts = Arc::clone(&self.store.parts);
        Ok(Slot(parts.acquire_owned().await.expect("the semaphore is never closed")))
    }

    /// Sends the next part on its way.
    pub(super) fn put_part(&mut self, slot: Slot, payload: PutPayload) {
        self.bytes += payload.content_length() as u64;
        let part = self.multipart().put_part(payload);
        self.parts.spawn(async move {
            let _slot = slot;
            part.await
        });
    }

    /// Waits until all parts have arrived.
    pub(super) async fn wait_for_all(&mut self) -> Result<()> {
        self.wait_for_parts(0).await
    }

    /// Makes the object appear.
    pub(super) async fn complete(mut self) -> Result<()> {
        // It stays in its place meanwhile: where this future is dropped, or fails, the upload is aborted.
        match self.multipart().complete().await {
            Ok(_) => {
                self.multipart = None;
                Ok(())
            }
            // A path is written once and by one writer: if the object is there, whole, it is this one.
            Err(error) if !error::has_timed_out(&error) && self.has_appeared().await => {
                self.multipart = None;
                Ok(())
            }
            Err(error) => {
                let error = self.store.error(error);
                self.abort_quietly().await;
                Err(error)
            }
        }
    }

    /// Whether it has been completed, though the answer that would have said so was lost.
    async fn has_appeared(&mut self) -> bool {
        let found = self.store.backend.objects.head(&self.path).await;
        found.is_ok_and(|found| found.size == self.bytes)
    }

    /// Deletes all that has arrived.
    ///
    /// # Errors
    /// Where it could not be done at once; it is repeated.
    pub(super) async fn abort(mut self) -> Result<()> {
        match self.end() {
            Some(ended) => ended.await.unwrap_or_else(|lost| Err(error::from_join(self.store.name, lost))),
            None => Ok(()),
        }
    }

    /// [`abort`](Self::abort), where there is an error already that says more.
    pub(super) async fn abort_quietly(self) {
        tidy_up(async move { drop(self.abort().await) }).await;
    }

    /// Begins to delete all that has arrived, unless that was done, or there is no runtime to do it in.
    fn end(&mut self) -> Option<JoinHandle<Result<()>>> {
        let runtime = Handle::try_current().ok()?;
        let multipart = self.multipart.take()?;
        let abort = Abort { store: self.store.clone(), multipart };
        Some(self.store.tasks.spawn_on(abort.run(mem::take(&mut self.parts)), &runtime))
    }

    async fn wait_for_parts(&mut self, left: usize) -> Result<()> {
        while self.parts.len() > left {
            match self.parts.join_next().await {
                Some(Ok(part)) => part.map_err(|error| self.store.error(error))?,
                Some(Err(lost)) => return Err(error::from_join(self.store.name, lost)),
                None => break,
            }
        }
        Ok(())
    }

    fn multipart(&mut self) -> &mut dyn MultipartUpload {
        self.multipart.as_deref_mut().expect("only what consumes an upload ends it")
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// The end of an upload that is not needed. Its parts cannot be seen as an object, and no row of the ledger leads to
/// them: nobody else would delete them.
struct Abort {
    store: BlobStore,
    multipart: Box<dyn MultipartUpload>,
}

impl Abort {
    /// Tries once and answers what came of it. What has failed then goes on in the background.
    async fn run(mut self, mut parts: JoinSet<object_store::Result<()>>) -> Result<()> {
        while parts.try_join_next().is_some() {}
        let were_on_their_way = !parts.is_empty();
        parts.shutdown().await;
        let aborted = self.once().await;
        // A part that was on its way may arrive in a bucket after all, and then stays there. A folder keeps nothing.
        if self.store.backend.remote && (were_on_their_way || aborted.is_err()) {
            let tasks = self.store.tasks.clone();
            tasks.spawn(self.repeat());
        }
        aborted
    }

    async fn once(&mut self) -> Result<()> {
        match self.multipart.abort().await {
            // It has been before.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.store.error(error)),
        }
    }

    /// Tries again until it succeeds, or the store is closed.
    async fn repeat(mut self) {
        let store = self.store.clone();
        let repeated = timeout(ABORT_TIME_MAX, async {
            let mut pause = ABORT_PAUSE_MIN;
            while timeout(pause, store.closing.cancelled()).await.is_err() {
                if self.once().await.is_ok() {
                    return Ok(());
                }
                pause = ABORT_PAUSE_MAX.min(2 * pause);
            }
            self.once().await
        });
        let error = match repeated.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => Some(error_chain(&error)),
            Err(_) => None,
        };
        tracing::warn!(store = store.name, error, "an upload could not be aborted, and its parts stay");
    }
}
