//! The ledger rows that a save has reserved, until its commit settles them or its failure dooms them.

use crate::blob::wait_briefly;
use crate::domain::{Object, ObjectId};
use crate::error::{Result, error_chain};

use super::Store;

/// The rows that a save has reserved. They are doomed, and their bytes deleted, when the save fails or is dropped.
///
/// The exception is a row whose object may still appear: a write that failed or timed out may take effect later, even
/// after a delete. Such a row stays reserved until the sweep dooms it, when no write of the save can be in flight.
#[derive(Debug)]
pub(super) struct Reservation {
    store: Store,
    rows: Vec<Object>,
    /// The objects with a write whose outcome is not known yet.
    appearing: Vec<ObjectId>,
}

impl Reservation {
    pub(super) fn new(store: Store) -> Self {
        Self { store, rows: Vec::new(), appearing: Vec::new() }
    }

    pub(super) fn add(&mut self, row: Object) {
        self.rows.push(row);
    }

    /// Called before the backend is asked to make the object appear.
    pub(super) fn may_appear(&mut self, id: ObjectId) {
        self.appearing.push(id);
    }

    /// Called when the backend has confirmed the object: no write of it is in flight, so a delete is final.
    pub(super) fn has_appeared(&mut self, id: ObjectId) {
        self.appearing.retain(|appearing| *appearing != id);
    }

    /// Called when the commit has settled these rows: the reservation does not own them any more.
    pub(super) fn settle(&mut self, ids: &[ObjectId]) {
        self.rows.retain(|row| !ids.contains(&row.id));
    }

    /// Aborts the reservation: dooms its rows and deletes their bytes. Where that takes long, it continues in the
    /// background; dropping the future does not cancel it.
    pub(super) async fn abort(&mut self) {
        let Some(task) = self.spawn_abort() else { return };
        let aborted = async move {
            if let Err(error) = task.await {
                tracing::error!(%error, "the abort of a save panicked");
            }
        };
        wait_briefly(aborted).await;
    }

    fn spawn_abort(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.retain(|row| !self.appearing.contains(&row.id));
        if rows.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return None;
        }
        let store = self.store.clone();
        Some(self.store.shared.tasks.spawn(async move {
            if let Err(error) = store.abort_reserved(rows).await {
                tracing::debug!(error = error_chain(&error), "the sweep will do it");
            }
        }))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.spawn_abort();
    }
}

impl Store {
    /// Dooms the rows that are still reserved, and deletes their bytes.
    ///
    /// A live row is kept: its commit has succeeded, even if the caller got an error. A row that is doomed or absent
    /// was taken by a sweep while this writer stalled: its bytes are deleted here too, because bytes that arrived after
    /// the sweep have no row that would lead another sweep to them.
    async fn abort_reserved(&self, mut rows: Vec<Object>) -> Result<()> {
        let now = self.shared.clock.now();
        let ids: Vec<ObjectId> = rows.iter().map(|row| row.id).collect();
        let live = self.shared.records.doom_reserved(&ids, now).await?;
        rows.retain(|row| !live.contains(&row.id));
        self.delete_doomed(rows).await?;
        Ok(())
    }
}
