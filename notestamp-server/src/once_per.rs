//! Runs a check at most once per interval, however many callers want its outcome.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The last outcome of a check, and when it was run.
#[derive(Debug)]
pub(crate) struct OncePer<T> {
    interval: Duration,
    last: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> OncePer<T> {
    /// No check has been run yet.
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, last: Mutex::const_new(None) }
    }

    /// Returns the outcome of the last `ask` if it is younger than the interval; otherwise runs this one.
    ///
    /// Concurrent callers wait for the one that runs its `ask`. If that caller is cancelled, the next one runs its own.
    pub(crate) async fn get(&self, ask: impl Future<Output = T>) -> T {
        let mut last = self.last.lock().await;
        match &*last {
            Some((asked, outcome)) if asked.elapsed() < self.interval => outcome.clone(),
            _ => {
                let outcome = ask.await;
                *last = Some((Instant::now(), outcome.clone()));
                outcome
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Counts how often it is run.
    async fn ask(times: &AtomicU32) -> u32 {
        sleep(SECOND / 2).await;
        times.fetch_add(1, Ordering::Relaxed) + 1
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_call_per_interval() {
        let (once, times) = (OncePer::new(SECOND), AtomicU32::new(0));
        assert_eq!(join_all((0..100).map(|_| once.get(ask(&times)))).await, [1; 100]);
        sleep(SECOND / 2).await;
        assert_eq!(once.get(ask(&times)).await, 1);
        sleep(SECOND / 2).await;
        assert_eq!(once.get(ask(&times)).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn if_a_caller_is_cancelled_the_next_one_makes_the_call() {
        let (once, times) = (OncePer::new(SECOND), AtomicU32::new(0));
        timeout(SECOND / 4, once.get(ask(&times))).await.unwrap_err();
        assert_eq!(once.get(ask(&times)).await, 1);
    }
}
