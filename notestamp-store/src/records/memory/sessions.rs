use std::cmp::Reverse;

use async_trait::async_trait;

use super::{MemoryRecords, State};
use crate::clock::Timestamp;
use crate::domain::{Caller, RevocationReason, Session, SessionId, UserId};
use crate::error::{Error, Result};
use crate::protocol::admit;
use crate::records::SessionStore;

#[async_trait]
impl SessionStore for MemoryRecords {
    async fn start_session(&self, session: &Session) -> Result<()> {
        let mut state = self.lock()?;
        if !state.users.contains_key(&session.user) {
            return Err(Error::NoSuchAccount);
        }
        state.sessions.insert(session.id, session.clone());
        Ok(())
    }

    async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        Ok(self.lock()?.session(id).cloned())
    }

    async fn replace_session(&self, before: &Session, after: &Session) -> Result<bool> {
        let mut state = self.lock()?;
        let unchanged = state.session(before.id).is_some_and(|it| state_of(it) == state_of(before));
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
        let Some(session) = open.cloned() else { return Ok(false) };
        state.sessions.insert(id, session.revoke(now, reason));
        Ok(true)
    }

    async fn revoke_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<u64> {
        Ok(self.lock()?.revoke_sessions(user, except, reason, now))
    }

    async fn list_sessions(&self, user: UserId, limit: usize, now: Timestamp) -> Result<Vec<Session>> {
        let state = self.lock()?;
        if !state.users.contains_key(&user) {
            return Ok(Vec::new());
        }
        let listed = |session: &&Session| {
            session.user == user && session.revoked.is_none() && session.tokens_end > now
        };
        let mut sessions: Vec<_> = state.sessions.values().filter(listed).collect();
        sessions.sort_by_key(|session| Reverse((session.last_used, session.id)));
        Ok(sessions.into_iter().take(limit).cloned().collect())
    }

    async fn forget_expired_sessions(&self, limit: usize, now: Timestamp) -> Result<usize> {
        let mut state = self.lock()?;
        let expired = state.sessions.values().filter(|session| session.tokens_end <= now);
        let expired: Vec<_> = expired.map(|session| session.id).take(limit).collect();
        expired.iter().for_each(|id| drop(state.sessions.remove(id)));
        Ok(expired.len())
    }

    async fn count_sessions(&self) -> Result<u64> {
        Ok(self.lock()?.sessions.len() as u64)
    }
}

impl State {
    pub(super) fn revoke_sessions(
        &mut self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> u64 {
        let mut revoked = 0;
        for session in self.sessions.values_mut() {
            if session.user == user && session.revoked.is_none() && Some(session.id) != except {
                *session = session.clone().revoke(now, reason);
                revoked += 1;
            }
        }
        revoked
    }

    /// Refuses a caller whose session has ended.
    pub(super) fn admit(&self, caller: Caller, now: Timestamp) -> Result<()> {
        admit(caller, caller.session.and_then(|id| self.session(id)), now)
    }

    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).filter(|session| self.users.contains_key(&session.user))
    }
}

/// The fields whose values identify the state of a session.
fn state_of(session: &Session) -> (u64, bool, bool) {
    (session.generation, session.confirmed, session.revoked.is_some())
}
