//! A multipart upload under way: parts in parallel, and an end in any case.

use std::mem;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{BlobStore, error, path, tidy_up};
use crate::domain::{Namespace, ObjectId};
use crate::error::Result;

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

impl Upload {
    pub(super) async fn start(store: &BlobStore, namespace: Namespace, object: ObjectId) -> Result<Self> {
        store.prepare(namespace).await?;
        let path = path::of(namespace, object);
        let multipart = store.backend.objects.put_multipart(&path).await;
        let multipart = Some(multipart.map_err(|error| store.error(error))?);
        Ok(Self { store: store.clone(), multipart, path, bytes: 0, parts: JoinSet::new() })
    }

    /// Waits until one part more may be on its way.
    pub(super) async fn wait_for_slot(&mut self) -> Result<()> {
        self.wait_for_parts(self.store.backend.parts.in_flight_max - 1).await
    }

    /// Sends the next part on its way.
    pub(super) fn put_part(&mut self, payload: PutPayload) {
        self.bytes += payload.content_length() as u64;
        let part = self.multipart().put_part(payload);
        self.parts.spawn(part);
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
    pub(super) async fn abort(mut self) -> Result<()> {
        // A part that arrives after the abort would stay: S3 asks to let none be on its way.
        self.parts.shutdown().await;
        let aborted = self.multipart().abort().await;
        self.multipart = None;
        aborted.map_err(|error| self.store.error(error))
    }

    /// [`abort`](Self::abort), where there is an error already that says more.
    pub(super) async fn abort_quietly(self) {
        let store = self.store.name;
        let abort = async move {
            if let Err(error) = self.abort().await {
                tracing::debug!(store, %error, "a failed upload could not be aborted");
            }
        };
        tidy_up(abort).await;
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
        let (Some(mut multipart), Ok(runtime)) = (self.multipart.take(), Handle::try_current()) else {
            return;
        };
        let (store, mut parts) = (self.store.name, mem::take(&mut self.parts));
        runtime.spawn(async move {
            parts.shutdown().await;
            if let Err(error) = multipart.abort().await {
                tracing::debug!(store, %error, "an abandoned upload could not be aborted");
            }
        });
    }
}
