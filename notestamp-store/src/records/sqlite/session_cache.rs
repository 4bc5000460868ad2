//! The sessions that requests have used since the last commit.
//!
//! Each request reads its session, some of them twice, and a server commits far less often than it is read from. Only
//! this process writes the database, so between two of its commits a session stays as it was read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Session, SessionId};

/// How many sessions are kept; when there are more, all are read again.
const SESSIONS_MAX: usize = 1_000;

/// Counts the commits of the writer, before their results are returned.
#[derive(Clone, Debug, Default)]
pub(super) struct Commits(Arc<AtomicU64>);

impl Commits {
    /// Counts a commit, or an attempt whose outcome is unknown.
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Sessions as they were after the last commit.
#[derive(Debug)]
pub(super) struct SessionCache {
    commits: Commits,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// How many commits there had been when the sessions were read.
    commits: u64,
    sessions: HashMap<SessionId, Session>,
}

/// The state of the database before a session is read from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAfter(u64);

impl SessionCache {
    /// Keeps no session yet.
    pub(super) fn new(commits: Commits) -> Self {
        Self { commits, kept: Mutex::default() }
    }

    /// The session, if it has been read since the last commit; otherwise the caller reads it, and then [keeps](Self::keep)
    /// it.
    pub(super) fn find(&self, id: SessionId) -> Result<Session, ReadAfter> {
        let commits = self.commits.so_far();
        let kept = self.kept();
        let found = (kept.commits == commits).then(|| kept.sessions.get(&id).cloned()).flatten();
        found.ok_or(ReadAfter(commits))
    }

    /// Keeps a session that has been read, unless there was a commit meanwhile.
    pub(super) fn keep(&self, session: &Session, ReadAfter(commits): ReadAfter) {
        let mut kept = self.kept();
        if commits != self.commits.so_far() {
            return;
        }
        if kept.commits != commits || kept.sessions.len() >= SESSIONS_MAX {
            kept.sessions.clear();
            kept.commits = commits;
        }
        kept.sessions.insert(session.id, session.clone());
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{SessionTtl, TokenId, UserId};

    fn session(number: u64) -> Session {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let ttl = SessionTtl { access: DAY, refresh: DAY, session_max: DAY };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let (user, first, now) = (UserId::from_bytes(id), TokenId::from_bytes(id), Timestamp::from_millis(0));
        Session::start(SessionId::from_bytes(id), user, first, "", now, &ttl)
    }

    #[test]
    fn a_session_is_kept_until_the_next_commit() {
        let commits = Commits::default();
        let cache = SessionCache::new(commits.clone());
        let before = cache.find(session(1).id).unwrap_err();
        cache.keep(&session(1), before);
        assert_eq!(cache.find(session(1).id).unwrap(), session(1));
        assert!(cache.find(session(2).id).is_err());
        commits.count();
        let after = cache.find(session(1).id).unwrap_err();
        cache.keep(&session(2), after);
        assert!(cache.find(session(1).id).is_err());
        assert!(cache.find(session(2).id).is_ok());
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_kept_after_it() {
        let commits = Commits::default();
        let cache = SessionCache::new(commits.clone());
        let before = cache.find(session(1).id).unwrap_err();
        commits.count();
        cache.keep(&session(1), before);
        assert!(cache.find(session(1).id).is_err());
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let cache = SessionCache::new(Commits::default());
        let before = cache.find(session(0).id).unwrap_err();
        for number in 0..2 * SESSIONS_MAX as u64 + 1 {
            cache.keep(&session(number), before);
        }
        assert_eq!(cache.kept().sessions.len(), 1);
    }
}
