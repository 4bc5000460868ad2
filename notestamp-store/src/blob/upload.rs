//! A multipart upload: sends parts in parallel, and is always completed or aborted.

use std::mem;
use std::time::Duration;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::{BlobStore, error, path, wait_briefly};
use crate::domain::{Namespace, ObjectId};
use crate::error::{Result, error_chain};
use crate::memory_budget::MemoryShare;

/// How long an abort is retried. After that, the parts stay until a lifecycle rule of the bucket deletes them; the
/// bucket needs such a rule anyway, for processes that are killed.
const ABORT_TIME_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// The pause before the first retry of an abort; it doubles with each retry, up to `ABORT_PAUSE_MAX`.
const ABORT_PAUSE_MIN: Duration = Duration::from_secs(10);
const ABORT_PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

const _: () = {
    assert!(ABORT_PAUSE_MIN.as_millis() < ABORT_PAUSE_MAX.as_millis());
    assert!(ABORT_PAUSE_MAX.as_millis() < ABORT_TIME_MAX.as_millis());
};

/// A multipart upload in progress; dropping it aborts it.
pub(super) struct Upload {
    store: BlobStore,
    /// `None` once the upload is completed or aborted.
    multipart: Option<Box<dyn MultipartUpload>>,
    path: Path,
    /// How many bytes have been sent or are in transfer.
    bytes: u64,
    parts: JoinSet<object_store::Result<()>>,
}

impl Upload {
    pub(super) async fn start(store: &BlobStore, namespace: Namespace, object: ObjectId) -> Result<Self> {
        store.prepare(namespace).await?;
        let path = path::of(namespace, object);
        let multipart = store.backend.objects.put_multipart(&path).await;
        let multipart = Some(multipart.map_err(|error| store.error(error))?);
        Ok(Self { store: store.clone(), multipart, path, bytes: 0, parts: JoinSet::new() })
    }

    /// Waits until one more part may be in transfer.
    pub(super) async fn wait_for_slot(&mut self) -> Result<()> {
        self.wait_for_parts(self.store.backend.parts.in_flight_max - 1).await
    }

    /// Begins to send the next part; gives its memory back when it has been sent.
    pub(super) fn put_part(&mut self, payload: PutPayload, memory: Option<MemoryShare>) {
        self.bytes += payload.content_length() as u64;
        let part = self.multipart().put_part(payload);
        self.parts.spawn(async move {
            let _memory = memory;
            part.await
        });
    }

    /// Waits until all parts have arrived.
    pub(super) async fn wait_for_all(&mut self) -> Result<()> {
        self.wait_for_parts(0).await
    }

    /// Makes the object appear.
    pub(super) async fn complete(mut self) -> Result<()> {
        // `multipart` stays set meanwhile, so that the upload is aborted if this future is dropped or fails.
        match self.multipart().complete().await {
            Ok(_) => {
                self.multipart = None;
                Ok(())
            }
            // Each path has one writer, which writes once: an object of the full size is the result of this upload.
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

    /// Whether the upload has been completed although its response was lost.
    async fn has_appeared(&mut self) -> bool {
        let found = self.store.backend.objects.head(&self.path).await;
        found.is_ok_and(|found| found.size == self.bytes)
    }

    /// Aborts the upload, and deletes the parts that have arrived.
    ///
    /// # Errors
    /// If the first attempt fails; on a remote backend, retries follow in the background.
    pub(super) async fn abort(mut self) -> Result<()> {
        match self.end() {
            Some(ended) => ended.await.unwrap_or_else(|lost| Err(error::from_join(self.store.name, lost))),
            None => Ok(()),
        }
    }

    /// Like [`abort`](Self::abort), but ignores its error: the caller reports an earlier one.
    pub(super) async fn abort_quietly(self) {
        wait_briefly(async move { drop(self.abort().await) }).await;
    }

    /// Begins to abort the upload in a task; `None` if it has ended already, or no runtime is running.
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

/// The abort of an upload. It must be retried, because the sweep cannot delete the parts: they are no object, and no
/// row of the ledger leads to them.
struct Abort {
    store: BlobStore,
    multipart: Box<dyn MultipartUpload>,
}

impl Abort {
    /// Tries once and returns the result. Retries, where they are needed, follow in the background.
    async fn run(mut self, mut parts: JoinSet<object_store::Result<()>>) -> Result<()> {
        while parts.try_join_next().is_some() {}
        let were_on_their_way = !parts.is_empty();
        parts.shutdown().await;
        let aborted = self.once().await;
        // A part that was in transfer may still arrive in a bucket, and would stay there, so the abort is repeated. A
        // local folder keeps no such parts.
        if self.store.backend.remote && (were_on_their_way || aborted.is_err()) {
            let tasks = self.store.tasks.clone();
            tasks.spawn(self.repeat());
        }
        aborted
    }

    async fn once(&mut self) -> Result<()> {
        match self.multipart.abort().await {
            // It has been aborted before.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.store.error(error)),
        }
    }

    /// Retries until the abort succeeds, the time is over or the blob store is closed.
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
        tracing::warn!(
            store = store.name,
            error,
            "an upload could not be aborted, so its parts remain in the bucket"
        );
    }
}
