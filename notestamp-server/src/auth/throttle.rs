//! Limits failed sign-ins: per account from one address, and per address.
//!
//! Only failures count, so that the right password from elsewhere always works, and nobody can lock
//! somebody else out. The count is this process's own.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notestamp_store::{Clock, Timestamp};

use crate::config::{FailureLimit, SignInFailures};
use crate::error::{ApiError, Code};
use crate::middleware::client_address::network;

/// How many accounts and addresses are remembered; beyond it the one that failed longest ago is forgotten.
const REMEMBERED_MAX: usize = 50_000;

/// Counts failed sign-ins.
#[derive(Debug)]
pub struct Throttle {
    limits: SignInFailures,
    clock: Arc<dyn Clock>,
    failures: Mutex<HashMap<Key, VecDeque<Timestamp>>>,
}

/// Whose failures are counted together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    AccountFrom(String, Option<IpAddr>),
    Address(IpAddr),
}

/// An attempt to prove who one is. It counts as a failure until it is [withdrawn](Self::withdraw), so
/// that many at once are no way around the limit.
#[must_use]
#[derive(Debug)]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    keys: Vec<Key>,
    at: Timestamp,
}

impl Throttle {
    /// Limits failures as the configuration says.
    pub fn new(limits: SignInFailures, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock, failures: Mutex::default() }
    }

    /// Begins an attempt for an account, by whatever name, from an address.
    ///
    /// # Errors
    /// 429 where there have been too many failures; it says how long to wait.
    pub fn attempt(&self, account: &str, from: Option<IpAddr>) -> Result<Attempt<'_>, ApiError> {
        let now = self.clock.now();
        let SignInFailures::Limited { per_account_and_address, per_address } = self.limits else {
            return Ok(Attempt { throttle: self, keys: Vec::new(), at: now });
        };
        let from = from.map(network);
        let mut limited = vec![(Key::AccountFrom(account.to_owned(), from), per_account_and_address)];
        limited.extend(from.map(|address| (Key::Address(address), per_address)));

        let mut failures = self.lock();
        for (key, limit) in &limited {
            if let Some(wait) = failures.get_mut(key).and_then(|failed| wait(failed, limit, now)) {
                let message = "too many failed attempts; try again later";
                return Err(ApiError::retry_after(Code::TooManyRequests, message, wait));
            }
        }
        let keys: Vec<_> = limited.into_iter().map(|(key, _)| key).collect();
        for key in &keys {
            failures.entry(key.clone()).or_default().push_back(now);
        }
        let latest_window = per_account_and_address.window.max(per_address.window);
        forget(&mut failures, now.before(latest_window));
        Ok(Attempt { throttle: self, keys, at: now })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, VecDeque<Timestamp>>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// It was no failure: it succeeded, or was not decided.
    pub fn withdraw(self) {
        let mut failures = self.throttle.lock();
        for key in &self.keys {
            let Some(failed) = failures.get_mut(key) else { continue };
            if let Some(index) = failed.iter().rposition(|at| *at == self.at) {
                failed.remove(index);
            }
            if failed.is_empty() {
                failures.remove(key);
            }
        }
    }
}

/// How long until another failure is within the limit, if it is not now.
fn wait(failed: &mut VecDeque<Timestamp>, limit: &FailureLimit, now: Timestamp) -> Option<Duration> {
    while failed.front().is_some_and(|at| at.after(limit.window) <= now) {
        failed.pop_front();
    }
    let count = limit.count.get() as usize;
    // The failure that must grow old before there is room for another.
    let oldest = failed.len().checked_sub(count).and_then(|index| failed.get(index))?;
    Some(oldest.after(limit.window).since(now))
}

/// Keeps memory bounded: first those whose failures do not count any more go, then whoever failed longest ago.
fn forget(failures: &mut HashMap<Key, VecDeque<Timestamp>>, before: Timestamp) {
    if failures.len() <= REMEMBERED_MAX {
        return;
    }
    failures.retain(|_, failed| failed.back().is_some_and(|at| *at > before));
    let excess = failures.len().saturating_sub(REMEMBERED_MAX * 9 / 10);
    if failures.len() > REMEMBERED_MAX {
        let mut by_age: Vec<_> =
            failures.iter().map(|(key, failed)| (failed.back().copied(), key.clone())).collect();
        by_age.select_nth_unstable_by_key(excess, |(at, _)| *at);
        for (_, key) in by_age.into_iter().take(excess) {
            failures.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use notestamp_store::ManualClock;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn throttle() -> (Throttle, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let limits = SignInFailures::parse("3/10m,5/10m").unwrap();
        (Throttle::new(limits, clock.clone()), clock)
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[track_caller]
    fn fail(throttle: &Throttle, account: &str, from: Option<IpAddr>) {
        drop(throttle.attempt(account, from).unwrap());
    }

    #[test]
    fn an_account_is_limited_from_the_address_that_failed_and_from_no_other() {
        let (throttle, _clock) = throttle();
        (0..3).for_each(|_| fail(&throttle, "ada", address(1)));
        assert_eq!(throttle.attempt("ada", address(1)).unwrap_err().code(), Code::TooManyRequests);
        throttle.attempt("ada", address(2)).unwrap().withdraw();
        throttle.attempt("bob", address(1)).unwrap().withdraw();
    }

    #[test]
    fn an_address_is_limited_whatever_the_account() {
        let (throttle, _clock) = throttle();
        ["a", "b", "c", "d", "e"].iter().for_each(|account| fail(&throttle, account, address(1)));
        assert!(throttle.attempt("f", address(1)).is_err());
        assert!(throttle.attempt("f", address(2)).is_ok());
    }

    #[test]
    fn successes_are_not_counted() {
        let (throttle, _clock) = throttle();
        (0..100).for_each(|_| throttle.attempt("ada", address(1)).unwrap().withdraw());
        assert!(throttle.lock().is_empty());
    }

    #[test]
    fn attempts_under_way_count() {
        let (throttle, _clock) = throttle();
        let under_way: Vec<_> = (0..3).map(|_| throttle.attempt("ada", address(1)).unwrap()).collect();
        assert!(throttle.attempt("ada", address(1)).is_err());
        under_way.into_iter().for_each(Attempt::withdraw);
        assert!(throttle.attempt("ada", address(1)).is_ok());
    }

    #[test]
    fn in_no_window_are_there_more_failures_than_the_limit() {
        let (throttle, clock) = throttle();
        for _ in 0..3 {
            fail(&throttle, "ada", address(1));
            clock.advance(4 * MINUTE);
        }
        // Minute 12: the failure of minute 0 is out, those of 4 and 8 count.
        fail(&throttle, "ada", address(1));
        assert!(throttle.attempt("ada", address(1)).is_err());
        clock.advance(2 * MINUTE);
        assert!(throttle.attempt("ada", address(1)).is_ok());
    }

    #[test]
    fn the_refusal_says_how_long_to_wait() {
        let (throttle, clock) = throttle();
        (0..3).for_each(|_| fail(&throttle, "ada", address(1)));
        clock.advance(4 * MINUTE);
        let refused = throttle.attempt("ada", address(1)).unwrap_err();
        assert_eq!(refused.header("retry-after"), Some("360"));
    }

    #[test]
    fn neighbours_in_an_ipv6_network_are_one() {
        let (throttle, _clock) = throttle();
        let in_network = |last| Some(IpAddr::from([0x2001, 0xdb8, 1, 2, 0, 0, 0, last]));
        (0..3).for_each(|last| fail(&throttle, "ada", in_network(last)));
        assert!(throttle.attempt("ada", in_network(9)).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (throttle, clock) = throttle();
        for n in 0..REMEMBERED_MAX {
            fail(&throttle, &format!("account {n}"), None);
            clock.advance(Duration::from_millis(1));
        }
        fail(&throttle, "the last", None);
        let failures = throttle.lock();
        assert!(failures.len() <= REMEMBERED_MAX);
        assert!(failures.contains_key(&Key::AccountFrom("the last".to_owned(), None)));
    }
}
