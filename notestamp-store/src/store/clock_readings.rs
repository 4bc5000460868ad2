//! The time by which deletions decide what has expired: the time that several readings of the civil clock agree on.
//!
//! A civil clock that is wrong by a month for five seconds must not delete a month's worth of data. Each earlier
//! reading plus the monotonic time since then gives an expected time; the earliest of these is used. So a clock that
//! is set ahead takes effect [`READINGS_APART`] later, and one that is set back takes effect at once, because a late
//! deletion does no harm.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Clock, MonotonicTime, Timestamp};

/// How long a reading counts: older readings are dropped, except the last one of this age or more.
pub(super) const READINGS_APART: Duration = Duration::from_secs(60 * 60);

/// The shortest time between two readings that are kept; it bounds their number.
const KEPT_EVERY: Duration = Duration::from_secs(5 * 60);

const _: () = assert!(KEPT_EVERY.as_millis() < READINGS_APART.as_millis());

/// The readings of a clock that count: monotonic and civil time of each.
#[derive(Debug)]
pub(super) struct ClockReadings(VecDeque<(MonotonicTime, Timestamp)>);

/// The result of all readings together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ClockReading {
    /// The earliest of the expected times: all readings agree that this time has come.
    pub(super) now: Timestamp,
    /// Whether the oldest reading was made at least [`READINGS_APART`] ago.
    pub(super) is_confirmed: bool,
}

impl ClockReadings {
    /// Makes the first reading.
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self(VecDeque::from([(clock.monotonic(), clock.now())]))
    }

    /// Reads the clock and compares it with the earlier readings.
    pub(super) fn read(&mut self, clock: &dyn Clock) -> ClockReading {
        let (at, shown) = (clock.monotonic(), clock.now());
        let is_old = |(then, _): &(MonotonicTime, _)| at.since(*then) >= READINGS_APART;
        // Of the readings that are old enough, only the last is needed.
        while self.0.get(1).is_some_and(is_old) {
            self.0.pop_front();
        }
        let is_confirmed = self.0.front().is_some_and(is_old);
        let expected = self.0.iter().map(|(then, shown)| shown.after(at.since(*then)));
        let now = expected.fold(shown, Timestamp::min);
        if self.0.back().is_none_or(|(then, _)| at.since(*then) >= KEPT_EVERY) {
            self.0.push_back((at, shown));
        }
        ClockReading { now, is_confirmed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const MINUTE: Duration = Duration::from_secs(60);
    const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Sets a clock a month ahead and reads it every ten minutes for `minutes` minutes: how far each reading is ahead.
    fn readings_of_a_clock_ahead(minutes: u32) -> (ManualClock, ClockReadings, Vec<Duration>) {
        let clock = ManualClock::new(START);
        let mut readings = ClockReadings::new(&clock);
        for _ in 0..12 {
            clock.advance(10 * MINUTE);
            assert_eq!(
                readings.read(&clock),
                ClockReading { now: clock.now(), is_confirmed: readings.0.len() > 6 }
            );
        }
        let right = clock.now();
        clock.step_to(right.after(MONTH));
        let ahead = (0..=minutes / 10).map(|n| {
            if n > 0 {
                clock.advance(10 * MINUTE);
            }
            readings.read(&clock).now.since(right)
        });
        let ahead = ahead.collect();
        (clock, readings, ahead)
    }

    #[test]
    fn a_clock_that_is_ahead_for_a_while_is_not_trusted() {
        let (clock, mut readings, ahead) = readings_of_a_clock_ahead(30);
        assert_eq!(ahead, [0, 10, 20, 30].map(|minutes| minutes * MINUTE));
        clock.step_to(Timestamp::from_millis(clock.now().as_millis() - MONTH.as_millis() as i64));
        assert_eq!(readings.read(&clock).now, clock.now());
        // A reading that was ahead does not matter when it is the oldest: the minimum is taken.
        clock.advance(READINGS_APART);
        assert_eq!(readings.read(&clock).now, clock.now());
    }

    #[test]
    fn a_clock_that_stays_where_it_was_set_is_trusted_in_the_end() {
        let (clock, mut readings, ahead) = readings_of_a_clock_ahead(60);
        assert!(ahead.iter().all(|ahead| *ahead <= READINGS_APART), "{ahead:?}");
        clock.advance(10 * MINUTE);
        assert_eq!(readings.read(&clock), ClockReading { now: clock.now(), is_confirmed: true });
    }

    #[test]
    fn a_clock_that_was_set_back_is_trusted_at_once() {
        let clock = ManualClock::new(START);
        let mut readings = ClockReadings::new(&clock);
        clock.step_to(START.before(MONTH));
        assert_eq!(readings.read(&clock), ClockReading { now: START.before(MONTH), is_confirmed: false });
    }

    #[test]
    fn a_reading_is_confirmed_by_a_later_one_that_agrees() {
        let clock = ManualClock::new(START);
        let mut readings = ClockReadings::new(&clock);
        assert!(!readings.read(&clock).is_confirmed);
        clock.advance(READINGS_APART - MINUTE);
        assert!(!readings.read(&clock).is_confirmed);
        clock.advance(MINUTE);
        assert!(readings.read(&clock).is_confirmed);
    }

    #[test]
    fn only_few_readings_of_the_clock_are_kept() {
        let clock = ManualClock::new(START);
        let mut readings = ClockReadings::new(&clock);
        for _ in 0..10_000 {
            clock.advance(Duration::from_secs(1));
            readings.read(&clock);
        }
        assert!(readings.0.len() <= 15, "{}", readings.0.len());
    }
}
