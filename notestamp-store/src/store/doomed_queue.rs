//! The doomed objects of concurrent saves and deletions wait here, so that the reaper deletes them together: to forget
//! them costs one transaction for all that have come while it was busy.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::Object;

/// How many objects the reaper takes at once: it forgets them in one transaction.
const BATCH: usize = 256;

/// How many objects may wait; beyond this limit, they are left to the sweep.
const WAITING_MAX: usize = 4_096;

/// The doomed objects that wait for the reaper. One background task deletes them.
#[derive(Debug, Default)]
pub(super) struct DoomedQueue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<Object>,
    is_running: bool,
}

impl DoomedQueue {
    /// Adds objects; returns whether a task must be started.
    pub(super) fn add(&self, doomed: Vec<Object>) -> bool {
        let mut waiting = self.waiting();
        let room = WAITING_MAX - waiting.rows.len();
        waiting.rows.extend(doomed.into_iter().take(room));
        !std::mem::replace(&mut waiting.is_running, true)
    }

    /// The next objects for the task, which must end if there are none.
    pub(super) fn next(&self) -> Vec<Object> {
        let mut waiting = self.waiting();
        let some = waiting.rows.len().min(BATCH);
        waiting.is_running = some > 0;
        waiting.rows.drain(..some).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{Namespace, ObjectId, ObjectKind};

    #[test]
    fn what_is_too_much_is_left_to_the_sweep() {
        let row = |n: usize| {
            let id = ObjectId::from_bytes((n as u128).to_be_bytes());
            Object::reserve(id, ObjectKind::Notes, Namespace::Shared, Timestamp::from_millis(0))
        };
        let queue = DoomedQueue::default();
        assert!(queue.add((0..WAITING_MAX - 1).map(row).collect()), "a task must be started");
        assert!(!queue.add((0..2).map(row).collect()), "it runs already");
        let mut taken = 0;
        loop {
            match queue.next().len() {
                0 => break,
                some => taken += some,
            }
        }
        assert_eq!(taken, WAITING_MAX);
        assert!(queue.add(vec![row(0)]), "the task has ended");
    }
}
