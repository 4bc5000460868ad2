//! A queue for each account: of its steps in this process, one runs at a time, in the order in which they came.
//!
//! So one account cannot keep all of a shared resource to itself, and steps that would only abort each other do not
//! run concurrently. Correctness does not depend on the queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use crate::domain::UserId;

/// The steps that wait, by account; first come, first served. Clones share the queues.
#[derive(Clone, Default, Debug)]
pub(super) struct AccountQueue(Arc<Mutex<HashMap<UserId, Arc<Queue<()>>>>>);

impl AccountQueue {
    /// Waits until no other step of this process has a turn with this account.
    pub(super) async fn wait(&self, account: UserId) -> Turn {
        let queue = Arc::clone(self.lock().entry(account).or_default());
        let mut turn = Turn { turns: self.clone(), account, held: None };
        turn.held = Some(queue.lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Arc<Queue<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn with an account, or a place in its queue; dropping it ends either.
pub(super) struct Turn {
    turns: AccountQueue,
    account: UserId,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turn {
    /// Whether others wait for this turn to end.
    #[cfg(any(test, feature = "mongodb"))]
    pub(super) fn is_awaited(&self) -> bool {
        // One is in the map, one is this turn's own, and each waiting turn holds another.
        self.turns.lock().get(&self.account).is_some_and(|queue| Arc::strong_count(queue) > 2)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        self.held = None;
        // Each waiting turn holds a clone of the queue, so only the last one may remove it.
        if queues.get(&self.account).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    #[tokio::test]
    async fn one_account_is_one_queue() {
        let turns = AccountQueue::default();
        let (ada, bob) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let first = turns.wait(ada).await;
        let (mut second, mut third) = (turns.wait(ada).boxed(), turns.wait(ada).boxed());
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(turns.wait(bob).await);

        assert!(first.is_awaited());
        drop(first);
        assert!(poll!(&mut third).is_pending(), "the second comes first");
        let second = second.await;
        drop(second);
        drop(third.await);
        assert!(turns.lock().is_empty(), "nothing is kept of accounts without a queue");
    }

    #[tokio::test]
    async fn a_cancelled_wait_does_not_hold_up_others() {
        let turns = AccountQueue::default();
        let ada = UserId::from_bytes([1; 16]);
        let first = turns.wait(ada).await;
        assert!(!first.is_awaited());
        let mut second = turns.wait(ada).boxed();
        assert!(poll!(&mut second).is_pending());
        drop(first);
        drop(second);
        assert!(turns.lock().is_empty());
    }
}
