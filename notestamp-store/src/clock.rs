//! Time as an argument: who needs to know the time is handed a [`Clock`].

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat};

/// An instant of civil time, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Milliseconds are what every backend can keep and what JavaScript's `Date` holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant there is: before everything that ever happened here.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant that many milliseconds after the epoch.
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

    /// This instant rounded down to a whole second.
    pub const fn truncate_to_secs(self) -> Self {
        Self(self.as_secs() * 1000)
    }

    /// The instant `duration` later; stays at [`Timestamp::MAX`] rather than overflow.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The instant `duration` earlier; stays at [`Timestamp::MIN`] rather than overflow.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads a date or a date and time as ISO 8601 writes them; without an offset it is UTC.
    ///
    /// ```
    /// use notestamp_store::Timestamp;
    /// let noon = Timestamp::from_millis(1_709_294_400_000);
    /// for text in ["2024-03-01T12:00:00.000Z", "2024-03-01T13:00+01:00", "20240301T120000Z"] {
    ///     assert_eq!(Timestamp::parse_iso8601(text), Some(noon), "{text}");
    /// }
    /// assert!(Timestamp::parse_iso8601("2024-03-01").is_some());
    /// assert_eq!(Timestamp::parse_iso8601("1.3.2024"), None);
    /// ```
    pub fn parse_iso8601(text: &str) -> Option<Self> {
        const WITH_OFFSET: &[&str] =
            &["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y%m%dT%H%M%S%.f%#z", "%Y%m%dT%H%M%#z"];
        const LOCAL: &[&str] = &["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y%m%dT%H%M%S%.f", "%Y%m%dT%H%M"];
        const DATE: &[&str] = &["%Y-%m-%d", "%Y%m%d", "%G-W%V-%u", "%Y-%j"];

        // RFC 3339 also allows a space or a lower-case `t` and `z`, as many programs print it.
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(time.timestamp_millis()));
        }
        if !text.is_ascii() || text.contains(char::is_whitespace) {
            return None;
        }
        let with_numeric_offset = match text.strip_suffix('Z') {
            Some(local) => format!("{local}+00:00"),
            None => text.to_owned(),
        };
        let offset = WITH_OFFSET
            .iter()
            .find_map(|format| DateTime::parse_from_str(&with_numeric_offset, format).ok())
            .map(|time| time.timestamp_millis());
        let local = || {
            let time = LOCAL.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
            time.map(|time| time.and_utc().timestamp_millis())
        };
        let date = || {
            let date = DATE.iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok())?;
            Some(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
        };
        offset.or_else(local).or_else(date).map(Self)
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

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
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
}

/// A clock that stands still until it is told otherwise, for tests.
///
/// ```
/// use std::time::Duration;
/// use notestamp_store::{Clock, ManualClock, Timestamp};
/// let clock = ManualClock::new(Timestamp::from_millis(0));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now(), Timestamp::from_millis(2_000));
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the hands forward.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(millis(duration), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
