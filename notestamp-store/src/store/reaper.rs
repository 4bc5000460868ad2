//! Deletes the objects that a save or a deletion has doomed, soon after it. What this leaves, the next sweep deletes.

use std::collections::BTreeSet;

use futures_util::StreamExt;

use crate::domain::{Namespace, Object, ObjectId, ObjectKind};
use crate::error::{Result, error_chain};

use super::Store;

/// How many objects the reaper deletes at once.
const DELETES_AT_ONCE: usize = 8;

impl Store {
    /// Deletes doomed objects in the background.
    pub(super) fn delete_doomed_later(&self, doomed: Vec<Object>) {
        if doomed.is_empty() {
            return;
        }
        if !self.shared.doomed.add(doomed) {
            return;
        }
        let store = self.clone();
        self.shared.tasks.spawn(async move {
            loop {
                let some = store.shared.doomed.next();
                if some.is_empty() {
                    return;
                }
                if let Err(error) = store.delete_doomed(some).await {
                    tracing::debug!(error = error_chain(&error), "the sweep will do it");
                }
            }
        });
    }

    /// Deletes the bytes of doomed objects, then forgets their rows; returns the count of deleted objects.
    /// An object whose bytes cannot be deleted now keeps its row, for the next sweep; all do while a backup holds them.
    ///
    /// # Errors
    /// [`Error::ForeignStore`](crate::Error::ForeignStore) if a blob store is not ours: in the empty folder under a
    /// disk that is not mounted, each object would seem to be deleted already. Nothing is deleted then.
    pub(super) async fn delete_doomed(&self, doomed: Vec<Object>) -> Result<usize> {
        if doomed.is_empty() || !self.may_delete_bytes().await? {
            return Ok(0);
        }
        for kind in ObjectKind::ALL {
            if doomed.iter().any(|row| row.kind == kind) {
                self.check_folder(kind).await?;
            }
        }
        let folders: BTreeSet<_> = doomed.iter().map(|row| (row.kind, row.namespace)).collect();
        let deletions = doomed.into_iter().map(|row| async move {
            match self.shared.blobs(row.kind).delete(row.namespace, row.id).await {
                Ok(()) => Some(row.id),
                Err(error) => {
                    tracing::warn!(object = %row.id, error = error_chain(&error), "cannot delete a doomed object now");
                    None
                }
            }
        });
        let deleted = futures_util::stream::iter(deletions).buffer_unordered(DELETES_AT_ONCE);
        let gone: Vec<ObjectId> = deleted.filter_map(std::future::ready).collect().await;
        if !gone.is_empty() {
            self.shared.records.forget_doomed(&gone).await?;
        }
        for (kind, namespace) in folders {
            if let Err(error) = self.remove_folder_of_removed(kind, namespace).await {
                tracing::warn!(%namespace, error = error_chain(&error), "an empty folder could not be deleted");
            }
        }
        Ok(gone.len())
    }

    /// Removes the folder of an account that has been removed, after its last object.
    ///
    /// A save that still writes to it cannot be committed, and comes here when it is aborted.
    async fn remove_folder_of_removed(&self, kind: ObjectKind, namespace: Namespace) -> Result<()> {
        let Namespace::Owner(owner) = namespace else { return Ok(()) };
        let blobs = self.shared.blobs(kind);
        if blobs.is_empty_folder(namespace).await? && self.shared.records.find_user(owner).await?.is_none() {
            blobs.remove_empty_folder(namespace).await?;
        }
        Ok(())
    }
}
