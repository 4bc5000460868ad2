//! Deletes the objects that a save or a deletion has doomed, soon after it. What this leaves, the next sweep deletes.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;

use crate::domain::{Namespace, Object, ObjectId, ObjectKind};
use crate::error::{Result, error_chain};

use super::Store;

/// How many objects the reaper deletes at once.
const DELETES_AT_ONCE: usize = 8;

/// How many objects it deletes before it forgets them in one transaction.
const BATCH: usize = 256;

/// How many objects may wait for it; beyond this limit, they are left to the sweep.
const WAITING_MAX: usize = 4_096;

/// The doomed objects of concurrent saves and deletions, which one background task deletes together: to forget them
/// costs one transaction for all that have come while it was busy.
#[derive(Debug, Default)]
pub(super) struct Reaper(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<Object>,
    is_running: bool,
}

impl Reaper {
    /// Adds objects; returns whether a task must be started.
    fn add(&self, doomed: Vec<Object>) -> bool {
        let mut waiting = self.waiting();
        let room = WAITING_MAX - waiting.rows.len();
        waiting.rows.extend(doomed.into_iter().take(room));
        !std::mem::replace(&mut waiting.is_running, true)
    }

    /// The next objects for the task, which must end if there are none.
    fn next(&self) -> Vec<Object> {
        let mut waiting = self.waiting();
        let some = waiting.rows.len().min(BATCH);
        waiting.is_running = some > 0;
        waiting.rows.drain(..some).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Deletes doomed objects in the background.
    pub(super) fn delete_doomed_later(&self, doomed: Vec<Object>) {
        if doomed.is_empty() {
            return;
        }
        if !self.shared.reaper.add(doomed) {
            return;
        }
        let store = self.clone();
        self.shared.tasks.spawn(async move {
            loop {
                let some = store.shared.reaper.next();
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
    /// An object whose bytes cannot be deleted now keeps its row, for the next sweep.
    ///
    /// # Errors
    /// [`Error::ForeignStore`](crate::Error::ForeignStore) if a blob store is not ours: in the empty folder under a
    /// disk that is not mounted, each object would seem to be deleted already. Nothing is deleted then.
    pub(super) async fn delete_doomed(&self, doomed: Vec<Object>) -> Result<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn what_is_too_much_is_left_to_the_sweep() {
        let row = |n: usize| {
            let id = ObjectId::from_bytes((n as u128).to_be_bytes());
            Object::reserve(id, ObjectKind::Notes, Namespace::Shared, Timestamp::from_millis(0))
        };
        let reaper = Reaper::default();
        assert!(reaper.add((0..WAITING_MAX - 1).map(row).collect()), "a task must be started");
        assert!(!reaper.add((0..2).map(row).collect()), "it runs already");
        let mut taken = 0;
        loop {
            match reaper.next().len() {
                0 => break,
                some => taken += some,
            }
        }
        assert_eq!(taken, WAITING_MAX);
        assert!(reaper.add(vec![row(0)]), "the task has ended");
    }
}
