//! Lists the content of a blob store, for a check against the ledger.

use std::io;
use std::sync::Arc;

use futures_util::future;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::ObjectMeta;

use super::listed_object::ListedObject;
use super::local::{LocalRoot, Walk};
use super::{BlobStore, path};
use crate::error::Result;

/// How many entries are read from a disk at once.
const ENTRIES_PER_READ: usize = 1024;

impl BlobStore {
    /// Lists everything in this blob store except the store id and the quarantine, in no particular order.
    ///
    /// The listing is not a snapshot: an entry that is added or deleted meanwhile may be listed or not. On S3, the
    /// parts of an incomplete upload are not listed: give the bucket a lifecycle rule that aborts incomplete uploads.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend),
    /// in the stream.
    pub fn list(&self) -> BoxStream<'static, Result<ListedObject>> {
        let store = self.clone();
        match &self.backend.local {
            Some(local) => store.list_folder(Arc::clone(local)),
            None => {
                let listed = self.backend.objects.list(None).try_filter(|meta| {
                    let path = meta.location.as_ref();
                    future::ready(path != path::STORE_ID && !path.starts_with(path::QUARANTINE))
                });
                listed.map(move |meta| meta.map(found).map_err(|error| store.error(error))).boxed()
            }
        }
    }

    fn list_folder(self, root: Arc<LocalRoot>) -> BoxStream<'static, Result<ListedObject>> {
        let batches = stream::try_unfold(None, move |walk| {
            let (store, root) = (self.clone(), Arc::clone(&root));
            async move { store.walk_on(&root, walk).await }
        });
        batches.map_ok(|batch| stream::iter(batch).map(Ok)).try_flatten().boxed()
    }

    /// Reads the next entries; returns them with the walk that continues after them, or `None` at the end.
    async fn walk_on(
        &self,
        root: &Arc<LocalRoot>,
        walk: Option<Walk>,
    ) -> Result<Option<(Vec<ListedObject>, Option<Walk>)>> {
        let walk_on = move |root: &LocalRoot| {
            let mut walk = walk.map_or_else(|| root.walk(), Ok)?;
            let batch = walk.by_ref().take(ENTRIES_PER_READ).collect::<io::Result<Vec<_>>>()?;
            Ok((!batch.is_empty()).then_some((batch, Some(walk))))
        };
        self.on_disk(root, walk_on).await
    }
}

fn found(meta: ObjectMeta) -> ListedObject {
    match path::parse(meta.location.as_ref()) {
        Some((namespace, object)) => ListedObject::Object { namespace, object, size: meta.size },
        None => ListedObject::Unknown(meta.location.into()),
    }
}
