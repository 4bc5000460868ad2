//! Taking away, after a save or a deletion, what it left behind: only ever a favour to the sweep.

use futures_util::StreamExt;

use crate::blob::tidy_up;
use crate::domain::{Object, ObjectId};
use crate::error::Result;

use super::Store;

/// How many saves' remains are taken away at once; beyond it the sweep does it.
pub(super) const REAPERS_MAX: usize = 64;

/// How many objects one reaper deletes at once.
const DELETES_AT_ONCE: usize = 8;

impl Store {
    /// Deletes doomed objects in the background.
    pub(super) fn reap(&self, doomed: Vec<Object>) {
        if doomed.is_empty() {
            return;
        }
        if let Ok(permit) = self.shared.reapers.clone().try_acquire_owned() {
            let store = self.clone();
            self.shared.tasks.spawn(async move {
                let _permit = permit;
                if let Err(error) = store.delete_doomed(doomed).await {
                    tracing::debug!(%error, "left to the sweep");
                }
            });
        }
    }

    /// Deletes the bytes of doomed objects, then forgets their rows; answers how many are gone.
    /// One whose bytes cannot be deleted now keeps its row.
    pub(super) async fn delete_doomed(&self, doomed: Vec<Object>) -> Result<usize> {
        let deletions = doomed.into_iter().map(|row| async move {
            match self.shared.blobs(row.kind).delete(row.namespace, row.id).await {
                Ok(()) => Some(row.id),
                Err(error) => {
                    tracing::warn!(object = %row.id, %error, "cannot delete a doomed object now");
                    None
                }
            }
        });
        let deleted = futures_util::stream::iter(deletions).buffer_unordered(DELETES_AT_ONCE);
        let gone: Vec<ObjectId> = deleted.filter_map(std::future::ready).collect().await;
        if !gone.is_empty() {
            self.shared.metadata.forget_doomed(&gone).await?;
        }
        Ok(gone.len())
    }
}

/// The rows that a save has reserved: given up when it fails, or is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    store: Store,
    ids: Vec<ObjectId>,
}

impl Reservation {
    pub(super) fn new(store: Store) -> Self {
        Self { store, ids: Vec::new() }
    }

    pub(super) fn add(&mut self, id: ObjectId) {
        self.ids.push(id);
    }

    /// The save is committed: its rows are not ours any more.
    pub(super) fn keep(&mut self) {
        self.ids.clear();
    }

    /// Deletes what was written, before this returns unless it takes long; goes on should the caller go away.
    pub(super) async fn give_up(&mut self) {
        let Some(task) = self.spawn_give_up() else { return };
        let given_up = async move {
            if let Err(error) = task.await {
                tracing::error!(%error, "giving up a save panicked");
            }
        };
        tidy_up(given_up).await;
    }

    fn spawn_give_up(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        let ids = std::mem::take(&mut self.ids);
        if ids.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return None;
        }
        let store = self.store.clone();
        Some(self.store.shared.tasks.spawn(async move {
            if let Err(error) = store.give_up(&ids).await {
                tracing::debug!(%error, "left to the sweep");
            }
        }))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.spawn_give_up();
    }
}

impl Store {
    /// Dooms rows that are still reserved, and deletes what they stand for. A row whose commit has
    /// gone through after all, though its answer was lost, is not reserved any more, and safe.
    async fn give_up(&self, ids: &[ObjectId]) -> Result<()> {
        let now = self.shared.clock.now();
        let doomed = self.shared.metadata.doom_reserved(ids, now).await?;
        self.delete_doomed(doomed).await?;
        Ok(())
    }
}
