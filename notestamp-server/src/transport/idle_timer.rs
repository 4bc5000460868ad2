//! Idle timeouts and minimum rates of a peer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// An idle timeout: limits the time spent waiting for a peer between two signs of progress.
///
/// Only time spent waiting counts, not the pauses of the server itself. The runtime's timer is created only when there
/// is something to wait for.
pub(crate) struct IdleTimer {
    limit: Duration,
    left: Duration,
    waiting_since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    /// A timer with all of `limit` left.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, left: limit, waiting_since: None, sleep: None }
    }

    /// Call it while the peer makes no progress. Ready when the limit is used up.
    pub(crate) fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.waiting_since.get_or_insert_with(Instant::now) + self.left;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // The deadline usually moves into the future, so the timer is reset only after it has fired.
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// Ends the waiting, because bytes have moved; the time spent is subtracted from what is left.
    pub(crate) fn stop_waiting(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }

    /// Starts again with another limit.
    pub(crate) fn restart(&mut self, limit: Duration) {
        self.limit = limit;
        self.renew();
    }

    /// Call it when the peer has made progress: all of the limit is left again.
    pub(crate) fn renew(&mut self) {
        self.left = self.limit;
        if let Some(since) = &mut self.waiting_since {
            *since = Instant::now();
        }
    }
}

/// A minimum rate at which a peer must send or read: a number of bytes in each window of waiting.
pub(crate) struct MinimumRate {
    timer: IdleTimer,
    bytes_min: u64,
    /// How many bytes have moved since the window began.
    bytes: u64,
}

impl MinimumRate {
    /// At least `bytes_min` bytes in each `window`.
    pub(crate) fn new(bytes_min: u64, window: Duration) -> Self {
        Self { timer: IdleTimer::new(window), bytes_min, bytes: 0 }
    }

    /// Call it while no bytes move. Ready when the peer has been too slow.
    pub(crate) fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_exhausted(cx)
    }

    /// Counts bytes that have moved; enough of them begin a new window.
    pub(crate) fn moved(&mut self, bytes: u64) {
        self.timer.stop_waiting();
        self.bytes += bytes;
        if self.bytes >= self.bytes_min {
            self.restart();
        }
    }

    /// Begins a new window.
    pub(crate) fn restart(&mut self) {
        self.bytes = 0;
        self.timer.renew();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// How long the timer lasts from now on, if nothing arrives.
    async fn lasts(timer: &mut IdleTimer) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| timer.poll_exhausted(cx)).await;
        start.elapsed()
    }

    async fn wait(timer: &mut IdleTimer, duration: Duration) {
        timeout(duration, poll_fn(|cx| timer.poll_exhausted(cx))).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn waits_add_up_until_there_is_progress() {
        let mut timer = IdleTimer::new(LIMIT);
        wait(&mut timer, LIMIT / 2).await;
        timer.stop_waiting();
        wait(&mut timer, LIMIT / 4).await;
        timer.stop_waiting();
        assert_eq!(lasts(&mut timer).await, LIMIT / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_resets_the_timer() {
        let mut timer = IdleTimer::new(LIMIT);
        wait(&mut timer, LIMIT / 2).await;
        timer.renew();
        assert_eq!(lasts(&mut timer).await, LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_counts_from_when_it_is_set() {
        let mut timer = IdleTimer::new(LIMIT);
        wait(&mut timer, LIMIT / 2).await;
        timer.restart(LIMIT / 5);
        assert_eq!(lasts(&mut timer).await, LIMIT / 5);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_of_the_server_do_not_count() {
        let mut timer = IdleTimer::new(LIMIT);
        wait(&mut timer, LIMIT / 2).await;
        timer.stop_waiting();
        advance(LIMIT * 3).await;
        assert_eq!(lasts(&mut timer).await, LIMIT / 2);
    }
}
