//! Rate limits for log lines.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Admits one event per interval to the log, and counts the events that it leaves out.
///
/// One limit belongs to one kind of event, usually as a `static` beside the place that logs it.
#[derive(Debug)]
pub(crate) struct LogLimit {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    admitted: Option<Instant>,
    left_out: u64,
}

impl LogLimit {
    /// One event per `interval`; the first one is always admitted.
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new(State { admitted: None, left_out: 0 }) }
    }

    /// One event per second.
    pub(crate) const fn per_second() -> Self {
        Self::new(Duration::from_secs(1))
    }

    /// Returns how many events were left out since the last admitted one, or `None` if this event must not be logged.
    pub(crate) fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        // No code panics while it is locked.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.admitted.is_some_and(|admitted| now - admitted < self.interval) {
            state.left_out += 1;
            return None;
        }
        state.admitted = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_one_event_per_interval_with_the_number_of_omitted_ones() {
        let limit = LogLimit::per_second();
        assert_eq!(limit.admit(), Some(0));
        for _ in 0..1_000 {
            assert_eq!(limit.admit(), None);
        }
        advance(Duration::from_secs(1)).await;
        assert_eq!(limit.admit(), Some(1_000));
        assert_eq!(limit.admit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn rare_events_are_all_logged() {
        let limit = LogLimit::per_second();
        for _ in 0..3 {
            assert_eq!(limit.admit(), Some(0));
            advance(Duration::from_secs(2)).await;
        }
    }
}
