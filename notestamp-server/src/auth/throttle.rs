//! Limits failed sign-ins, per pair of account and address and per address, and logs them. Limits registrations per
//! address.
//!
//! Failures from one address do not count against another, so an attacker cannot lock the owner of an account out. Each
//! process counts for itself, in monotonic time. Of the account names it keeps only digests, and no failure longer than
//! its limit needs.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notestamp_store::{Clock, Digest, MonotonicTime};
use tracing::field::display;

use crate::config::{REGISTRATIONS_PER_ADDRESS, RateLimit, SignInFailures};
use crate::error::{ApiError, Code};
use crate::transport::network;

/// How many keys (accounts from an address, and addresses) are kept; beyond that, the ones that failed longest ago are
/// forgotten.
const REMEMBERED_MAX: usize = 50_000;

/// How many failures are kept in total; beyond that, the keys that failed longest ago are forgotten.
const FAILURES_MAX: usize = 250_000;

/// The refusals of one key are logged at most once in this time.
const REFUSAL_LOGGED_EVERY: Duration = Duration::from_secs(1);

/// Counts failed sign-ins.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: SignInFailures,
    clock: Arc<dyn Clock>,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    by_key: HashMap<Key, Failed>,
    /// How many failures `by_key` holds in total.
    count: usize,
}

/// Failures with the same key are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    AccountFrom(Digest, Option<IpAddr>),
    /// Of browsers at an address that have signed in to the account before.
    KnownDevice(Digest, Option<IpAddr>),
    Address(IpAddr),
    /// The accounts that this address has registered.
    Registrations(IpAddr),
}

impl Key {
    /// How long a failure with this key counts.
    fn window(self, limits: SignInFailures) -> Duration {
        match (self, limits) {
            (_, SignInFailures::Unlimited) => Duration::ZERO,
            (
                Self::AccountFrom(..) | Self::KnownDevice(..),
                SignInFailures::Limited { per_account_and_address, .. },
            ) => per_account_and_address.window,
            (Self::Address(_), SignInFailures::Limited { per_address, .. }) => per_address.window,
            (Self::Registrations(_), SignInFailures::Limited { .. }) => REGISTRATIONS_PER_ADDRESS.window,
        }
    }
}

#[derive(Debug, Default)]
struct Failed {
    at: VecDeque<MonotonicTime>,
    refusal_logged: Option<MonotonicTime>,
}

/// Why an attempt failed, for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FailureReason {
    /// No account has this address.
    UnknownAccount,
    /// The account has another password.
    WrongPassword,
    /// A signed-in user has given a wrong current password to change it.
    WrongCurrentPassword,
}

/// An attempt to prove a password. It counts as a failure while it is in progress, so that parallel attempts cannot
/// exceed the limit; after it is dropped, it counts only if it has [failed](Self::fail).
#[must_use]
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    keys: Vec<Key>,
    from: Option<IpAddr>,
    at: MonotonicTime,
}

impl Throttle {
    /// Limits failures as the configuration says.
    pub(crate) fn new(limits: SignInFailures, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock, failures: Mutex::default() }
    }

    /// Begins an attempt for an account name, which need not exist, from an address, if it is known.
    ///
    /// # Errors
    /// 429 if there have been too many failures; `Retry-After` says how long to wait.
    pub(crate) fn attempt(&self, account: &str, from: Option<IpAddr>) -> Result<Attempt<'_>, ApiError> {
        let SignInFailures::Limited { per_account_and_address, per_address } = self.limits else {
            return Ok(self.unlimited(from));
        };
        let network = from.map(network);
        let account = Key::AccountFrom(Digest::of(account.as_bytes()), network);
        let mut limited = vec![(account, per_account_and_address)];
        limited.extend(network.map(|address| (Key::Address(address), per_address)));
        self.limited(&limited, from)
    }

    /// Begins an attempt of a browser that has signed in to the account before. Its failures are counted apart from those
    /// of all other clients, so that clients at the same address cannot keep it out.
    ///
    /// # Errors
    /// As for [`attempt`](Self::attempt).
    pub(crate) fn attempt_of_known_device(
        &self,
        account: &str,
        from: Option<IpAddr>,
    ) -> Result<Attempt<'_>, ApiError> {
        let SignInFailures::Limited { per_account_and_address, .. } = self.limits else {
            return Ok(self.unlimited(from));
        };
        let device = Key::KnownDevice(Digest::of(account.as_bytes()), from.map(network));
        self.limited(&[(device, per_account_and_address)], from)
    }

    fn unlimited(&self, from: Option<IpAddr>) -> Attempt<'_> {
        Attempt { throttle: self, keys: Vec::new(), from, at: self.clock.monotonic() }
    }

    fn limited(&self, limited: &[(Key, RateLimit)], from: Option<IpAddr>) -> Result<Attempt<'_>, ApiError> {
        let at = self.clock.monotonic();
        if let Some(refusal) = self.begin(limited, at) {
            if refusal.is_logged {
                tracing::info!(address = from.map(display), "sign-in throttled");
            }
            let message = "too many failed attempts; try again later";
            return Err(ApiError::retry_after(Code::TooManyRequests, message, refusal.wait));
        }
        let keys = limited.iter().map(|(key, _)| *key).collect();
        Ok(Attempt { throttle: self, keys, from, at })
    }

    /// Counts a registration from an address, if it is known. The limit is off if failed sign-ins are not limited.
    ///
    /// # Errors
    /// 429 if there have been too many; `Retry-After` says how long to wait.
    pub(crate) fn count_registration(&self, from: Option<IpAddr>) -> Result<(), ApiError> {
        let (Some(from), SignInFailures::Limited { .. }) = (from, self.limits) else { return Ok(()) };
        let limited = [(Key::Registrations(network(from)), REGISTRATIONS_PER_ADDRESS)];
        let Some(refusal) = self.begin(&limited, self.clock.monotonic()) else { return Ok(()) };
        if refusal.is_logged {
            tracing::info!(address = display(from), "registration throttled");
        }
        let message = "too many accounts are created from this address; try again later";
        Err(ApiError::retry_after(Code::TooManyRequests, message, refusal.wait))
    }

    /// Counts one more failure, or returns why that is refused.
    fn begin(&self, limited: &[(Key, RateLimit)], at: MonotonicTime) -> Option<Refusal> {
        let mut failures = self.lock();
        let refusal = limited.iter().find_map(|(key, limit)| failures.refuse(key, limit, at));
        if refusal.is_some() {
            return refusal;
        }
        for (key, _) in limited {
            failures.add(*key, at);
        }
        if failures.by_key.len() > REMEMBERED_MAX || failures.count > FAILURES_MAX {
            failures.forget_old(at, self.limits);
            failures.forget_oldest();
        }
        None
    }

    /// Forgets the failures that no longer count.
    pub(crate) fn forget_old(&self) {
        let now = self.clock.monotonic();
        self.lock().forget_old(now, self.limits);
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Marks the attempt as failed: it keeps counting, and is logged.
    pub(crate) fn fail(mut self, reason: FailureReason) {
        self.keys.clear();
        let (address, reason) = (self.from.map(display), reason.as_str());
        tracing::info!(address, reason, "sign-in failed");
    }
}

/// An attempt that did not fail no longer counts: it succeeded, or ended undecided, for example by a server error.
impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut failures = self.throttle.lock();
        for key in &self.keys {
            failures.forget(key, self.at);
        }
    }
}

impl FailureReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown account",
            Self::WrongPassword => "wrong password",
            Self::WrongCurrentPassword => "wrong current password",
        }
    }
}

struct Refusal {
    /// How long until one more failure is within the limit.
    wait: Duration,
    is_logged: bool,
}

impl Failures {
    fn add(&mut self, key: Key, at: MonotonicTime) {
        self.by_key.entry(key).or_default().at.push_back(at);
        self.count += 1;
    }

    fn forget(&mut self, key: &Key, at: MonotonicTime) {
        let Some(failed) = self.by_key.get_mut(key) else { return };
        if let Some(index) = failed.at.iter().rposition(|failure| *failure == at) {
            failed.at.remove(index);
            self.count -= 1;
        }
        if failed.at.is_empty() {
            self.by_key.remove(key);
        }
    }

    /// Returns the refusal if one more failure would exceed the limit.
    fn refuse(&mut self, key: &Key, limit: &RateLimit, now: MonotonicTime) -> Option<Refusal> {
        let failed = self.by_key.get_mut(key)?;
        while failed.at.front().is_some_and(|at| now.since(*at) >= limit.window) {
            failed.at.pop_front();
            self.count -= 1;
        }
        let count = limit.count.get() as usize;
        // The failure that must leave the window before one more is within the limit.
        let oldest = failed.at.len().checked_sub(count).and_then(|index| failed.at.get(index))?;
        let wait = oldest.after(limit.window).since(now);
        let is_logged = failed.refusal_logged.is_none_or(|at| now.since(at) >= REFUSAL_LOGGED_EVERY);
        if is_logged {
            failed.refusal_logged = Some(now);
        }
        Some(Refusal { wait, is_logged })
    }

    fn forget_old(&mut self, now: MonotonicTime, limits: SignInFailures) {
        self.by_key.retain(|key, failed| {
            let window = key.window(limits);
            failed.at.back().is_some_and(|at| now.since(*at) < window)
        });
        self.count = self.by_key.values().map(|failed| failed.at.len()).sum();
    }

    /// Keeps memory bounded: forgets the keys that failed longest ago, down to nine tenths of the limits.
    fn forget_oldest(&mut self) {
        if self.by_key.len() <= REMEMBERED_MAX && self.count <= FAILURES_MAX {
            return;
        }
        let mut by_age: Vec<_> =
            self.by_key.iter().map(|(key, failed)| (failed.at.back().copied(), *key)).collect();
        by_age.sort_unstable_by_key(|(at, _)| *at);
        for (_, key) in by_age {
            if self.by_key.len() <= REMEMBERED_MAX / 10 * 9 && self.count <= FAILURES_MAX / 10 * 9 {
                break;
            }
            self.count -= self.by_key.remove(&key).map_or(0, |failed| failed.at.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use notestamp_store::{ManualClock, Timestamp};

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
        throttle.attempt(account, from).unwrap().fail(FailureReason::WrongPassword);
    }

    #[test]
    fn an_address_that_registers_too_many_accounts_is_refused_and_others_are_not() {
        let (throttle, clock) = throttle();
        let limit = REGISTRATIONS_PER_ADDRESS;
        (0..limit.count.get()).for_each(|_| throttle.count_registration(address(1)).unwrap());
        let refused = throttle.count_registration(address(1)).unwrap_err();
        assert_eq!(refused.code(), Code::TooManyRequests);
        throttle.count_registration(address(2)).unwrap();
        drop(throttle.attempt("ada", address(1)).unwrap());
        clock.advance(limit.window);
        throttle.count_registration(address(1)).unwrap();
    }

    #[test]
    fn an_account_is_limited_from_the_address_that_failed_and_from_no_other() {
        let (throttle, _clock) = throttle();
        (0..3).for_each(|_| fail(&throttle, "ada", address(1)));
        assert_eq!(throttle.attempt("ada", address(1)).unwrap_err().code(), Code::TooManyRequests);
        drop(throttle.attempt("ada", address(2)).unwrap());
        drop(throttle.attempt("bob", address(1)).unwrap());
    }

    #[test]
    fn an_address_is_limited_across_all_accounts() {
        let (throttle, _clock) = throttle();
        ["a", "b", "c", "d", "e"].iter().for_each(|account| fail(&throttle, account, address(1)));
        assert!(throttle.attempt("f", address(1)).is_err());
        assert!(throttle.attempt("f", address(2)).is_ok());
    }

    #[test]
    fn successes_are_not_counted() {
        let (throttle, _clock) = throttle();
        (0..100).for_each(|_| drop(throttle.attempt("ada", address(1)).unwrap()));
        assert!(throttle.lock().by_key.is_empty());
        assert_eq!(throttle.lock().count, 0);
    }

    #[test]
    fn attempts_in_progress_count() {
        let (throttle, _clock) = throttle();
        let under_way: Vec<_> = (0..3).map(|_| throttle.attempt("ada", address(1)).unwrap()).collect();
        assert!(throttle.attempt("ada", address(1)).is_err());
        drop(under_way);
        assert!(throttle.attempt("ada", address(1)).is_ok());
    }

    #[test]
    fn in_no_window_are_there_more_failures_than_the_limit() {
        let (throttle, clock) = throttle();
        for _ in 0..3 {
            fail(&throttle, "ada", address(1));
            clock.advance(4 * MINUTE);
        }
        // Minute 12: the failure of minute 0 no longer counts, those of 4 and 8 do.
        fail(&throttle, "ada", address(1));
        assert!(throttle.attempt("ada", address(1)).is_err());
        clock.advance(2 * MINUTE);
        assert!(throttle.attempt("ada", address(1)).is_ok());
    }

    #[test]
    fn a_refusal_has_the_time_to_wait() {
        let (throttle, clock) = throttle();
        (0..3).for_each(|_| fail(&throttle, "ada", address(1)));
        clock.advance(4 * MINUTE);
        let refused = throttle.attempt("ada", address(1)).unwrap_err();
        assert_eq!(refused.header("retry-after"), Some("360"));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let (throttle, _clock) = throttle();
        let in_network = |last| Some(IpAddr::from([0x2001, 0xdb8, 1, 2, 0, 0, 0, last]));
        (0..3).for_each(|last| fail(&throttle, "ada", in_network(last)));
        assert!(throttle.attempt("ada", in_network(9)).is_err());
    }

    #[test]
    fn a_step_of_the_civil_clock_changes_nothing() {
        let (throttle, clock) = throttle();
        let ahead = Timestamp::from_millis(8 * 3_600_000);
        clock.step_to(ahead);
        (0..3).for_each(|_| fail(&throttle, "ada", address(1)));
        clock.step_to(Timestamp::from_millis(0));
        let refused = throttle.attempt("ada", address(1)).unwrap_err();
        assert_eq!(refused.header("retry-after"), Some("600"));
        clock.step_to(ahead.after(60 * MINUTE));
        assert!(throttle.attempt("ada", address(1)).is_err(), "no time has passed");
        clock.step_to(Timestamp::from_millis(0));
        clock.advance(10 * MINUTE);
        assert!(throttle.attempt("ada", address(1)).is_ok());
    }

    #[test]
    fn the_number_of_counters_is_bounded() {
        let (throttle, clock) = throttle();
        for n in 0..=REMEMBERED_MAX {
            fail(&throttle, &format!("account {n}"), None);
            clock.advance(Duration::from_millis(1));
        }
        let failures = throttle.lock();
        assert!(failures.by_key.len() <= REMEMBERED_MAX && failures.by_key.len() > REMEMBERED_MAX / 2);
        let key = |name: &str| Key::AccountFrom(Digest::of(name.as_bytes()), None);
        assert!(failures.by_key.contains_key(&key(&format!("account {REMEMBERED_MAX}"))));
        assert!(!failures.by_key.contains_key(&key("account 0")));
    }

    #[test]
    fn the_number_of_stored_failures_is_bounded_for_any_limit() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let limits = SignInFailures::parse("1000000/10m,1000000/10m").unwrap();
        let throttle = Throttle::new(limits, clock.clone());
        for n in 0..FAILURES_MAX + 1_000 {
            fail(&throttle, &format!("account {}", n % 10), None);
            clock.advance(Duration::from_millis(1));
        }
        let failures = throttle.lock();
        assert!(failures.count <= FAILURES_MAX);
        assert_eq!(failures.count, failures.by_key.values().map(|failed| failed.at.len()).sum::<usize>());
    }

    #[test]
    fn expired_failures_are_forgotten() {
        let (throttle, clock) = throttle();
        let remembered = || {
            let failures = throttle.lock();
            (failures.by_key.len(), failures.count)
        };
        fail(&throttle, "ada", address(1));
        clock.advance(5 * MINUTE);
        fail(&throttle, "bob", address(2));
        clock.advance(5 * MINUTE);
        throttle.forget_old();
        assert_eq!(remembered(), (2, 2));
        clock.advance(5 * MINUTE);
        throttle.forget_old();
        assert_eq!(remembered(), (0, 0));
    }
}
