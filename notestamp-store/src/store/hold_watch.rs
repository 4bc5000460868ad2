//! Which holds their processes have stopped to renew.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::MonotonicTime;
use crate::domain::{Hold, HoldId};

/// How long a process must have seen a hold unchanged until it takes it for that of a process that has ended.
pub(super) const HOLD_TIME: Duration = Duration::from_secs(5 * 60);

/// What this process has seen of the holds.
#[derive(Debug, Default)]
pub(super) struct HoldWatch(HashMap<HoldId, (u64, MonotonicTime)>);

impl HoldWatch {
    /// Sorts out those of the present holds that have been unchanged for too long.
    pub(super) fn find_expired(&mut self, holds: &[Hold], now: MonotonicTime) -> Vec<Hold> {
        self.0.retain(|id, _| holds.iter().any(|hold| hold.id == *id));
        let is_expired = |hold: &&Hold| {
            let seen = self.0.entry(hold.id).or_insert((hold.renewals, now));
            if seen.0 != hold.renewals {
                *seen = (hold.renewals, now);
            }
            now.since(seen.1) >= HOLD_TIME
        };
        holds.iter().filter(is_expired).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> MonotonicTime {
        MonotonicTime::new(Duration::from_secs(secs))
    }

    #[test]
    fn a_hold_expires_when_it_has_been_unchanged_for_its_time() {
        let (mut watch, id) = (HoldWatch::default(), HoldId::from_bytes([1; 16]));
        let hold = |renewals| Hold { id, renewals };
        assert_eq!(watch.find_expired(&[hold(0)], at(1_000)), []);
        assert_eq!(watch.find_expired(&[hold(0)], at(1_299)), []);
        assert_eq!(watch.find_expired(&[hold(1)], at(1_300)), []);
        assert_eq!(watch.find_expired(&[hold(1)], at(1_599)), []);
        assert_eq!(watch.find_expired(&[hold(1)], at(1_600)), [hold(1)]);
    }

    #[test]
    fn a_hold_that_was_gone_is_watched_anew() {
        let (mut watch, id) = (HoldWatch::default(), HoldId::from_bytes([1; 16]));
        let hold = Hold { id, renewals: 0 };
        assert_eq!(watch.find_expired(&[hold], at(0)), []);
        assert_eq!(watch.find_expired(&[], at(10)), []);
        assert_eq!(watch.find_expired(&[hold], at(400)), []);
    }
}
