//! Time as an argument: code that needs the time receives a [`Clock`].

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};

use crate::iso8601;

/// An instant of civil time, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Every backend can store milliseconds, and JavaScript's `Date` has the same precision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant that this type can hold.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant that this type can hold.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant that is `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: the unit of a JWT's `NumericDate`.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The instant `duration` later; saturates at [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The instant `duration` earlier; saturates at [`Timestamp::MIN`].
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// The duration from `earlier` to this instant; zero if `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses an ISO 8601 date, or date and time, in any precision; without an offset it is UTC. Returns `None` if
    /// the text is invalid.
    ///
    /// ```
    /// use notestamp_store::Timestamp;
    /// let noon = Timestamp::from_millis(1_709_294_400_000);
    /// for text in ["2024-03-01T12:00:00.000Z", "2024-03-01T13:00+01:00", "20240301T120000Z"] {
    ///     assert_eq!(Timestamp::parse_iso8601(text), Some(noon), "{text}");
    /// }
    /// assert!(Timestamp::parse_iso8601("2024-03").is_some());
    /// assert_eq!(Timestamp::parse_iso8601("1.3.2024"), None);
    /// ```
    pub fn parse_iso8601(text: &str) -> Option<Self> {
        iso8601::millis(text).map(Self)
    }
}

/// `2024-03-01T12:00:00.000Z`, as JavaScript's `toISOString` prints it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// An instant of monotonic time, which changes of the civil clock do not affect. Only instants of the same process can
/// be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MonotonicTime(Duration);

impl MonotonicTime {
    /// The instant at which the clock's count is `since_start`.
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The instant `duration` later; saturates at the last instant.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// The duration from `earlier` to this instant; zero if `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A source of time: civil time, which two processes share, and monotonic time, which never steps.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present instant of civil time. It steps back or ahead when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// The present instant of monotonic time.
    fn monotonic(&self) -> MonotonicTime;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Timestamp(millis(since)),
            Err(before) => Timestamp(-millis(before.duration())),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    fn monotonic(&self) -> MonotonicTime {
        static START: OnceLock<Instant> = OnceLock::new();
        MonotonicTime(START.get_or_init(Instant::now).elapsed())
    }
}

/// A clock for tests, which moves only when the test moves it.
///
/// ```
/// use std::time::Duration;
/// use notestamp_store::{Clock, ManualClock, Timestamp};
/// let clock = ManualClock::new(Timestamp::from_millis(0));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now(), Timestamp::from_millis(2_000));
/// clock.step_to(Timestamp::from_millis(0));
/// assert_eq!(clock.now(), Timestamp::from_millis(0));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    civil: AtomicI64,
    monotonic_millis: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { civil: AtomicI64::new(now.0), monotonic_millis: AtomicU64::new(0) }
    }

    /// Moves civil and monotonic time ahead by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.civil.fetch_add(millis(duration), Ordering::SeqCst);
        self.monotonic_millis.fetch_add(millis(duration).unsigned_abs(), Ordering::SeqCst);
    }

    /// Sets civil time, as an operator or NTP does; monotonic time does not move.
    pub fn step_to(&self, now: Timestamp) {
        self.civil.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.civil.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> MonotonicTime {
        MonotonicTime(Duration::from_millis(self.monotonic_millis.load(Ordering::SeqCst)))
    }
}
