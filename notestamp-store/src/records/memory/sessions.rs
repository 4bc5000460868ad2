use std::cmp::Reverse;

use async_trait::async_trait;

use super::{MemoryRecords, State};
use crate::clock::Timestamp;
use crate::domain::{Caller, RevocationReason, Session, SessionId, UserId};
use crate::error::{Error, Result};
use crate::protocol::admit;
use crate::records::SessionStore;
use crate::records::sessions::REVOKED_MAX;

#[async_trait]
impl SessionStore for MemoryRecords {
    async fn start_session(&self, session: &Session, open_max: usize, now: Timestamp) -> Result<bool> {
        let mut state = self.lock()?;
        let user = state.users.get(&session.user).ok_or(Error::NoSuchAccount)?;
        if session.epoch != user.session_epoch.number {
            return Ok(false);
        }
        let surplus = state.listed_sessions(session.user, now).into_iter().skip(open_max.saturating_sub(1));
        for surplus in surplus.take(REVOKED_MAX) {
            state.sessions.insert(surplus.id, surplus.revoke(now, RevocationReason::TooMany));
        }
        state.sessions.insert(session.id, session.clone());
        Ok(true)
    }

    async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        Ok(self.lock()?.session(id))
    }

    async fn replace_session(&self, before: &Session, after: &Session) -> Result<bool> {
        let mut state = self.lock()?;
        let unchanged = state.session(before.id).is_some_and(|stored| stored.is_unchanged_in(before));
        if unchanged {
            state.sessions.insert(before.id, after.clone());
        }
        Ok(unchanged)
    }

    async fn revoke_session(
        &self,
        caller: Caller,
        id: SessionId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool> {
        let mut state = self.lock()?;
        state.admit(caller, now)?;
        let open = state.session(id).filter(|session| session.user == caller.user && session.is_open(now));
        let Some(session) = open else { return Ok(false) };
        state.sessions.insert(id, session.revoke(now, reason));
        Ok(true)
    }

    async fn revoke_all_sessions(
        &self,
        user: UserId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool> {
        let mut state = self.lock()?;
        let Some(user) = state.users.get_mut(&user) else { return Ok(false) };
        user.session_epoch = user.session_epoch.next(now, reason);
        Ok(true)
    }

    async fn list_sessions(&self, user: UserId, limit: usize, now: Timestamp) -> Result<Vec<Session>> {
        let mut sessions = self.lock()?.listed_sessions(user, now);
        sessions.truncate(limit);
        Ok(sessions)
    }

    async fn forget_expired_sessions(&self, limit: usize, now: Timestamp) -> Result<usize> {
        let mut state = self.lock()?;
        let expired = state.sessions.values().filter(|session| session.tokens_end <= now);
        let expired: Vec<_> = expired.map(|session| session.id).take(limit).collect();
        expired.iter().for_each(|id| drop(state.sessions.remove(id)));
        Ok(expired.len())
    }
}

impl State {
    /// Refuses a caller whose session has ended.
    pub(super) fn admit(&self, caller: Caller, now: Timestamp) -> Result<()> {
        admit(caller, caller.session.and_then(|id| self.session(id)).as_ref(), now)
    }

    /// The session of this id in its account's epoch; absent if its account has been removed.
    pub(super) fn session(&self, id: SessionId) -> Option<Session> {
        let session = self.sessions.get(&id)?;
        Some(self.users.get(&session.user)?.session_epoch.apply_to(session.clone()))
    }

    /// The sessions that [`SessionStore::list_sessions`] lists, in its order.
    fn listed_sessions(&self, user: UserId, now: Timestamp) -> Vec<Session> {
        let Some(epoch) = self.users.get(&user).map(|user| user.session_epoch) else { return Vec::new() };
        let of_user = self.sessions.values().filter(|session| session.user == user);
        let in_epoch = of_user.map(|session| epoch.apply_to(session.clone()));
        let mut listed: Vec<_> =
            in_epoch.filter(|session| session.revoked.is_none() && session.tokens_end > now).collect();
        listed.sort_by_key(|session| Reverse((session.last_used, session.id)));
        listed
    }
}
