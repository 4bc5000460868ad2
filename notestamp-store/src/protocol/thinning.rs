//! The thinning of a history: which versions of a project are kept.

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::{Revision, VersionTimes};

/// How long all versions are kept, before only the last one of each day is.
pub const RECENT: Duration = Duration::from_secs(24 * 60 * 60);

/// How many versions are kept because they are recent.
pub const RECENT_MAX: usize = 100;

/// How many versions the commit of a save examines, the newest first: more than are recent, so that each save finds
/// the ones that are recent no more. The sweep examines the others.
pub const EXAMINED_MAX: usize = 128;

/// How many versions the commit of a save thins out at most. It adds one, so the count never grows beyond its limit by
/// more than the versions that have just stopped being recent.
pub const THINNED_MAX: usize = 16;

const _: () = assert!(EXAMINED_MAX > RECENT_MAX && THINNED_MAX > 1);

/// The versions that are not kept, of those of a project from the newest on: `versions` has the newest first, and may
/// end at any version.
///
/// - Kept are the versions that were replaced in the last 24 hours, at most a hundred of them,
/// - then of each day (UTC) the last version that was saved on it,
/// - of these, no version that was replaced longer than `history` ago. `None` keeps no versions.
///
/// The age of a version is the time since it was replaced, so notes that lasted for a year can be brought back after a
/// save has replaced them.
///
/// Whether a version is kept depends only on its times and on those of the newer versions. So a part of the history
/// that begins with the newest version can be thinned by itself.
pub fn surplus(versions: &[VersionTimes], history: Option<Duration>, now: Timestamp) -> Vec<Revision> {
    let Some(history) = history else { return versions.iter().map(|version| version.revision).collect() };
    let (mut recent, mut days) = (0, HashSet::new());
    let mut is_kept = |version: &VersionTimes| {
        let is_last_of_day = days.insert(day(version.saved));
        let age = now.since(version.replaced);
        let is_recent = age < RECENT && recent < RECENT_MAX;
        recent += usize::from(is_recent);
        age < history && (is_recent || is_last_of_day)
    };
    versions.iter().filter(|version| !is_kept(version)).map(|version| version.revision).collect()
}

/// The number of the day in UTC.
fn day(at: Timestamp) -> i64 {
    const MILLIS: i64 = 24 * 60 * 60 * 1_000;
    at.as_millis().div_euclid(MILLIS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Timestamp = Timestamp::from_millis(1_709_294_400_000);

    /// A history from these pauses between saves, the last of which is the time since the present state was saved.
    fn history_of(pauses: &[Duration]) -> Vec<VersionTimes> {
        let mut versions = Vec::new();
        let mut saved = NOW.before(pauses.iter().sum());
        for (revision, pause) in (1..).zip(&pauses[..pauses.len().saturating_sub(1)]) {
            let replaced = saved.after(*pause);
            versions.push(VersionTimes { revision: Revision::new(revision), saved, replaced });
            saved = replaced;
        }
        versions.reverse();
        versions
    }

    fn kept(versions: &[VersionTimes], history: Option<Duration>, now: Timestamp) -> Vec<VersionTimes> {
        let surplus = surplus(versions, history, now);
        versions.iter().filter(|version| !surplus.contains(&version.revision)).copied().collect()
    }

    fn histories() -> impl Strategy<Value = Vec<VersionTimes>> {
        let pause = prop_oneof![0..60_u64, 60..7_200_u64, 7_200..400_000_u64].prop_map(Duration::from_secs);
        prop::collection::vec(pause, 1..260).prop_map(|pauses| history_of(&pauses))
    }

    fn keeps() -> impl Strategy<Value = Option<Duration>> {
        prop::option::weighted(0.9, (1..60 * 24_u32).prop_map(|hours| hours * HOUR))
    }

    proptest! {
        #[test]
        fn thinning_twice_changes_nothing(versions in histories(), history in keeps()) {
            let once = kept(&versions, history, NOW);
            prop_assert_eq!(kept(&once, history, NOW), once);
        }

        #[test]
        fn thinning_often_keeps_the_same_as_thinning_once(
            versions in histories(), history in keeps(), pause in 0..100_000_u64,
        ) {
            // With at most a hundred recent versions. Otherwise, which of them are lost depends on the moment.
            let newest = &versions[..versions.len().min(RECENT_MAX)];
            let later = NOW.after(Duration::from_secs(pause));
            let often = kept(&kept(newest, history, NOW), history, later);
            prop_assert_eq!(often, kept(newest, history, later));
        }

        #[test]
        fn the_newest_version_stays(versions in histories(), history in keeps()) {
            let is_young = |version: &&VersionTimes| history.is_some_and(|max| NOW.since(version.replaced) < max);
            let newest = versions.first().filter(is_young);
            let kept = kept(&versions, history, NOW);
            prop_assert_eq!(kept.first(), newest);
        }

        #[test]
        fn each_kept_version_is_young_and_recent_or_the_last_of_its_day(
            versions in histories(), history in keeps(),
        ) {
            let kept = kept(&versions, history, NOW);
            let mut recent = 0;
            for (at, version) in versions.iter().enumerate() {
                let age = NOW.since(version.replaced);
                let is_last = versions[..at].iter().all(|newer| day(newer.saved) != day(version.saved));
                let is_recent = age < RECENT && recent < RECENT_MAX;
                recent += usize::from(is_recent);
                let expected = history.is_some_and(|max| age < max) && (is_recent || is_last);
                prop_assert_eq!(kept.contains(version), expected, "{:?}", version);
            }
        }

        #[test]
        fn a_part_from_the_newest_on_is_thinned_like_the_whole(
            versions in histories(), history in keeps(), len in 0..260_usize,
        ) {
            let part = &versions[..len.min(versions.len())];
            let of_whole = kept(&versions, history, NOW);
            let expected: Vec<_> = of_whole.into_iter().filter(|version| part.contains(version)).collect();
            prop_assert_eq!(kept(part, history, NOW), expected);
        }
    }

    #[test]
    fn a_state_that_lasted_for_a_year_is_kept_after_it_was_replaced() {
        let versions = history_of(&[365 * DAY, HOUR]);
        assert_eq!(surplus(&versions, Some(30 * DAY), NOW), []);
        assert_eq!(surplus(&versions, Some(30 * DAY), NOW.after(29 * DAY)), []);
        assert_eq!(surplus(&versions, Some(30 * DAY), NOW.after(30 * DAY)), [Revision::new(1)]);
    }

    #[test]
    fn of_many_recent_versions_the_newest_hundred_are_kept() {
        let versions = history_of(&vec![Duration::from_secs(1); 202]);
        assert_eq!(kept(&versions, Some(30 * DAY), NOW), versions[..RECENT_MAX]);
    }

    #[test]
    fn a_short_history_cuts_the_recent_versions_too() {
        let versions = history_of(&[HOUR; 6]);
        assert_eq!(kept(&versions, Some(3 * HOUR), NOW), versions[..2]);
        assert_eq!(kept(&versions, None, NOW), []);
    }

    #[test]
    fn after_a_day_the_last_version_of_each_day_is_kept() {
        // Saved at 0, 6, 12 and 18 o'clock of each day, up to the midnight before the present one.
        let midnight = Timestamp::from_millis(19_783 * 86_400_000);
        let times = (0..13_u32).map(|n| midnight.before(3 * DAY).after(n * 6 * HOUR));
        let times: Vec<_> = times.collect();
        let mut versions: Vec<_> = (1..)
            .zip(times.windows(2))
            .map(|(n, pair)| VersionTimes { revision: Revision::new(n), saved: pair[0], replaced: pair[1] })
            .collect();
        versions.reverse();
        let kept = kept(&versions, Some(30 * DAY), midnight.after(DAY));
        assert_eq!(kept.iter().map(|version| version.revision.get()).collect::<Vec<_>>(), [12, 8, 4]);
    }
}
