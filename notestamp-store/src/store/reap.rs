//! Taking away, after a save or a deletion, what it left behind: only ever a favour to the sweep.

use futures_util::StreamExt;

use crate::blob::tidy_up;
use crate::domain::{Object, ObjectId};
use crate::error::{Result, error_chain};

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
                    tracing::debug!(error = error_chain(&error), "left to the sweep");
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
                    tracing::warn!(object = %row.id, error = error_chain(&error), "cannot delete a doomed object now");
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
///
/// But for those whose object may appear. A backend that has failed to write one, or has not answered, may do it
/// later all the same, after a delete; so its row stays reserved until the sweep takes it, when nothing of the save
/// can be under way any more.
#[derive(Debug)]
pub(super) struct Reservation {
    store: Store,
    rows: Vec<Object>,
    /// Those that are being written, for all that is known.
    appearing: Vec<ObjectId>,
}

impl Reservation {
    pub(super) fn new(store: Store) -> Self {
        Self { store, rows: Vec::new(), appearing: Vec::new() }
    }

    pub(super) fn add(&mut self, row: Object) {
        self.rows.push(row);
    }

    /// A backend is about to be told to make that object appear.
    pub(super) fn may_appear(&mut self, id: ObjectId) {
        self.appearing.push(id);
    }

    /// The backend says that it is there: nothing that comes later brings it back once it is deleted.
    pub(super) fn has_appeared(&mut self, id: ObjectId) {
        self.appearing.retain(|appearing| *appearing != id);
    }

    /// The save is committed, and with it these rows are settled: they are not ours any more.
    pub(super) fn settle(&mut self, ids: &[ObjectId]) {
        self.rows.retain(|row| !ids.contains(&row.id));
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
        let mut rows = std::mem::take(&mut self.rows);
        rows.retain(|row| !self.appearing.contains(&row.id));
        if rows.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return None;
        }
        let store = self.store.clone();
        Some(self.store.shared.tasks.spawn(async move {
            if let Err(error) = store.give_up(rows).await {
                tracing::debug!(error = error_chain(&error), "left to the sweep");
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
    /// Dooms rows that are still reserved, and deletes what they stand for.
    ///
    /// Whatever the commit said, a row that is live is left alone: it has gone through after all. One that is
    /// doomed or gone was taken by a sweep from a writer that stalled: bytes that came after the sweep had
    /// passed have nobody else to delete them.
    async fn give_up(&self, mut rows: Vec<Object>) -> Result<()> {
        let now = self.shared.clock.now();
        let ids: Vec<ObjectId> = rows.iter().map(|row| row.id).collect();
        let live = self.shared.metadata.doom_reserved(&ids, now).await?;
        rows.retain(|row| !live.contains(&row.id));
        self.delete_doomed(rows).await?;
        Ok(())
    }
}
