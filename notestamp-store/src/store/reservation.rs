//! The ledger rows that a save has reserved, until its commit settles them or its failure dooms them.

use crate::blob::tidy_up;
use crate::domain::{Object, ObjectId};
use crate::error::{Result, error_chain};

use super::Store;

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
        let live = self.shared.records.doom_reserved(&ids, now).await?;
        rows.retain(|row| !live.contains(&row.id));
        self.delete_doomed(rows).await?;
        Ok(())
    }
}
