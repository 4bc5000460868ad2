//! Short blocking work, such as a lookup in a local database, without a change of threads where it is fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::Instant;

/// Work that takes longer than this has waited for a disk or for a lock.
const FAST_TIME_MAX: Duration = Duration::from_millis(2);

/// How many works in a row must be fast on the blocking pool before one runs on its caller's thread again.
const FAST_IN_POOL_MIN: u32 = 16;

/// Where short blocking work runs: on its caller's thread while such work is fast, else on the blocking pool.
///
/// A change to the pool and back costs several times as much as a lookup whose bytes are in memory. But work that waits
/// for a disk delays the other tasks of its thread. So after slow work, the next runs on the pool, until
/// [`FAST_IN_POOL_MIN`] works in a row have been fast there: where a disk is slow, nearly all works run on the pool.
///
/// Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShortWork {
    /// How many works are left to the pool.
    left_to_pool: Arc<AtomicU32>,
}

impl ShortWork {
    /// Whether the next work may run on its caller's thread. Then run it by [`watch`](Self::watch).
    pub(crate) fn may_run_here(&self) -> bool {
        self.left_to_pool.load(Ordering::Relaxed) == 0
    }

    /// Runs work on this thread, and notes whether it is fast.
    pub(crate) fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let outcome = work();
        if begun.elapsed() > FAST_TIME_MAX {
            self.left_to_pool.store(FAST_IN_POOL_MIN, Ordering::Relaxed);
        } else if !self.may_run_here() {
            // A count that another thread has changed meanwhile is as good.
            let fewer = |left: u32| left.checked_sub(1);
            let _ = self.left_to_pool.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
        outcome
    }

    /// Runs work where it belongs.
    ///
    /// # Errors
    /// If the work panics on the blocking pool.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        if self.may_run_here() {
            return Ok(self.watch(work));
        }
        let this = self.clone();
        spawn_blocking(move || this.watch(work)).await
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use super::*;

    /// The thread on which work runs that lasts so long.
    async fn thread_of(short: &ShortWork, lasts: Duration) -> ThreadId {
        let work = move || {
            thread::sleep(lasts);
            thread::current().id()
        };
        short.run(work).await.unwrap()
    }

    #[tokio::test]
    async fn slow_work_sends_the_next_to_the_pool_until_enough_in_a_row_are_fast() {
        let (short, here) = (ShortWork::default(), thread::current().id());
        let slow = FAST_TIME_MAX * 2;
        assert_eq!(thread_of(&short, slow).await, here);
        assert_ne!(thread_of(&short, slow).await, here, "one slow work at most delays this thread");
        assert_ne!(thread_of(&short, slow).await, here);
        // This machine may be busy: then fast work looks slow, and more of it runs on the pool.
        let mut in_pool = 0;
        while thread_of(&short, Duration::ZERO).await != here {
            in_pool += 1;
        }
        assert!(in_pool >= FAST_IN_POOL_MIN, "{in_pool}");
    }
}
