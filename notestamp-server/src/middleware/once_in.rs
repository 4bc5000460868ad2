//! What is worth a line in the log now and then, however often it happens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use notestamp_store::MonotonicTime;

/// Lets something happen once in a length of time.
#[derive(Debug)]
pub struct OnceIn {
    every: Duration,
    last: Mutex<Option<MonotonicTime>>,
}

impl OnceIn {
    /// Once in `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, last: Mutex::default() }
    }

    /// Whether it is time again; then it is taken to happen now.
    pub fn is_due(&self, now: MonotonicTime) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.since(last) >= self.every);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}
