//! Limits how often a repeated warning is logged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use notestamp_store::MonotonicTime;

/// Admits an event at most once in a length of time.
#[derive(Debug)]
pub struct OnceIn {
    every: Duration,
    last: Mutex<Option<MonotonicTime>>,
}

impl OnceIn {
    /// Admits at most one event in each `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, last: Mutex::default() }
    }

    /// Returns whether the event is due; if so, counts it as happening at `now`.
    pub fn is_due(&self, now: MonotonicTime) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.since(last) >= self.every);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}
