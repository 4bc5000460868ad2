//! When this process has rotated sessions, in monotonic time: the grace period of a replaced refresh token must not
//! depend on a civil clock that is set in between.

use std::collections::HashMap;

use crate::clock::MonotonicTime;
use crate::domain::{Session, SessionId};

/// How many rotations each of the two maps holds. For a rotation that is not held, the civil clock decides.
const REMEMBERED_MAX: usize = 10_000;

/// The newest rotations: at least [`REMEMBERED_MAX`] of them, at most twice as many.
#[derive(Debug, Default)]
pub(super) struct Rotations {
    recent: HashMap<SessionId, Rotation>,
    /// What `recent` was when it became full.
    older: HashMap<SessionId, Rotation>,
}

#[derive(Clone, Copy, Debug)]
struct Rotation {
    /// The generation that began with it.
    generation: u64,
    at: MonotonicTime,
}

impl Rotations {
    /// Remembers that this process has just rotated the session.
    pub(super) fn remember(&mut self, session: &Session, at: MonotonicTime) {
        if self.recent.len() >= REMEMBERED_MAX {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(session.id, Rotation { generation: session.generation, at });
    }

    /// When the session was rotated last; `None` if another process has done that, or it was forgotten.
    pub(super) fn of(&self, session: &Session) -> Option<MonotonicTime> {
        let found = self.recent.get(&session.id).or_else(|| self.older.get(&session.id));
        found.filter(|rotation| rotation.generation == session.generation).map(|rotation| rotation.at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{SessionTtl, TokenId, UserId};

    fn session(number: u64, generation: u64) -> Session {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let hour = Duration::from_secs(3_600);
        let ttl = SessionTtl { access: hour, refresh: hour, session_max: hour };
        let (user, first) = (UserId::from_bytes([1; 16]), TokenId::from_bytes([2; 16]));
        let started =
            Session::start(SessionId::from_bytes(id), user, first, "", Timestamp::from_millis(0), &ttl);
        Session { generation, ..started }
    }

    #[test]
    fn only_the_last_rotation_of_a_session_is_known() {
        let (first, second) =
            (MonotonicTime::new(Duration::ZERO), MonotonicTime::new(Duration::from_secs(1)));
        let mut rotations = Rotations::default();
        rotations.remember(&session(1, 1), first);
        assert_eq!(rotations.of(&session(1, 1)), Some(first));
        assert_eq!(rotations.of(&session(1, 2)), None, "another process has rotated it since");
        rotations.remember(&session(1, 3), second);
        assert_eq!(rotations.of(&session(1, 3)), Some(second));
        assert_eq!(rotations.of(&session(1, 1)), None);
        assert_eq!(rotations.of(&session(2, 1)), None);
    }

    #[test]
    fn however_many_sessions_are_rotated_the_newest_are_known_and_few_are_kept() {
        let (mut rotations, count) = (Rotations::default(), 5 * REMEMBERED_MAX as u64 / 2);
        let at = |number| MonotonicTime::new(Duration::from_secs(number));
        for number in 0..count {
            rotations.remember(&session(number, 1), at(number));
            assert!(rotations.recent.len() + rotations.older.len() <= 2 * REMEMBERED_MAX);
        }
        for number in count - REMEMBERED_MAX as u64..count {
            assert_eq!(rotations.of(&session(number, 1)), Some(at(number)), "{number}");
        }
    }
}
