//! How long a peer may keep us waiting.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A limit on the time spent waiting for a peer between two signs of progress.
///
/// Only time in which we wait counts: a peer is not to blame for the pauses that we make ourselves.
/// It costs a timer per wait that had to be waited, and next to nothing otherwise.
pub(super) struct IdleTimer {
    limit: Duration,
    left: Duration,
    waiting_since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    /// All of `limit` is left.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, left: limit, waiting_since: None, sleep: None }
    }

    /// Nothing has come from the peer: goes on waiting, and is ready when there is no patience left.
    pub(super) fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.waiting_since.get_or_insert_with(Instant::now) + self.left;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // The deadline only ever moves away, so the timer is moved after it has fired, not each time.
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// Something has come, enough or not: the waiting ends, and what it took is gone.
    pub(super) fn stop_waiting(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }

    /// The peer has made progress: all of the limit is left again.
    pub(super) fn renew(&mut self) {
        self.left = self.limit;
        if let Some(since) = &mut self.waiting_since {
            *since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// How long the patience lasts from now on, if nothing comes.
    async fn lasts(patience: &mut IdleTimer) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| patience.poll_exhausted(cx)).await;
        start.elapsed()
    }

    async fn wait(patience: &mut IdleTimer, duration: Duration) {
        timeout(duration, poll_fn(|cx| patience.poll_exhausted(cx))).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn waits_add_up_until_there_is_progress() {
        let mut patience = IdleTimer::new(LIMIT);
        wait(&mut patience, LIMIT / 2).await;
        patience.stop_waiting();
        wait(&mut patience, LIMIT / 4).await;
        patience.stop_waiting();
        assert_eq!(lasts(&mut patience).await, LIMIT / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_restores_all_of_it() {
        let mut patience = IdleTimer::new(LIMIT);
        wait(&mut patience, LIMIT / 2).await;
        patience.renew();
        assert_eq!(lasts(&mut patience).await, LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_pauses_do_not_count() {
        let mut patience = IdleTimer::new(LIMIT);
        wait(&mut patience, LIMIT / 2).await;
        patience.stop_waiting();
        advance(LIMIT * 3).await;
        assert_eq!(lasts(&mut patience).await, LIMIT / 2);
    }
}
