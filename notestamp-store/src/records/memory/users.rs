use std::collections::hash_map::Entry;

use async_trait::async_trait;

use super::{MemoryRecords, State};
use crate::clock::Timestamp;
use crate::domain::{Caller, Email, PasswordHash, RevocationReason, Session, SessionId, User, UserId};
use crate::error::{Error, Result};
use crate::records::UserStore;

#[async_trait]
impl UserStore for MemoryRecords {
    async fn create_user(&self, user: &User) -> Result<()> {
        let mut state = self.lock()?;
        if state.restore.is_some() {
            return Err(Error::Restoring);
        }
        match state.emails.entry(user.email.clone()) {
            Entry::Occupied(_) => return Err(Error::EmailTaken),
            Entry::Vacant(email) => email.insert(user.id),
        };
        state.users.insert(user.id, user.clone());
        Ok(())
    }

    async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        Ok(self.lock()?.users.get(&id).cloned())
    }

    async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>> {
        let state = self.lock()?;
        Ok(state.emails.get(email).and_then(|id| state.users.get(id)).cloned())
    }

    async fn list_users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>> {
        let state = self.lock()?;
        let mut users: Vec<_> = state.users.values().filter(|user| Some(user.id) > after).cloned().collect();
        users.sort_unstable_by_key(|user| user.id);
        users.truncate(limit);
        Ok(users)
    }

    async fn replace_password_hash(
        &self,
        id: UserId,
        before: &PasswordHash,
        after: &PasswordHash,
    ) -> Result<bool> {
        let mut state = self.lock()?;
        let user = state.users.get_mut(&id).filter(|user| user.password_hash == *before);
        Ok(user.map(|user| user.password_hash.clone_from(after)).is_some())
    }

    async fn change_password(
        &self,
        caller: Caller,
        before: &PasswordHash,
        after: &PasswordHash,
        session: &Session,
        now: Timestamp,
    ) -> Result<Option<Session>> {
        let mut state = self.lock()?;
        state.admit(caller, now)?;
        let user = state.users.get_mut(&session.user).filter(|user| user.password_hash == *before);
        let Some(user) = user else { return Ok(None) };
        user.password_hash.clone_from(after);
        user.session_epoch = user.session_epoch.next(now, RevocationReason::PasswordChanged);
        let session = session.clone().in_epoch(user.session_epoch);
        state.sessions.insert(session.id, session.clone());
        Ok(Some(session))
    }

    async fn remove_user(&self, caller: Caller, now: Timestamp) -> Result<bool> {
        let mut state = self.lock()?;
        state.admit(caller, now)?;
        let id = caller.user;
        let Some(user) = state.users.remove(&id) else { return Ok(false) };
        state.emails.remove(&user.email);
        state.removed.insert(id);
        Ok(true)
    }

    async fn purge_removed(&self, limit: usize, now: Timestamp) -> Result<usize> {
        let mut state = self.lock()?;
        let mut purged = 0;
        while purged < limit
            && let Some(owner) = state.removed.first().copied()
        {
            let sessions = state.sessions_of(owner, limit - purged);
            purged += sessions.len();
            sessions.iter().for_each(|id| drop(state.sessions.remove(id)));

            purged += state.purge_states(owner, limit - purged, now);

            if purged < limit {
                state.libraries.remove(&owner);
                state.removed.remove(&owner);
            }
        }
        Ok(purged)
    }
}

impl State {
    fn sessions_of(&self, user: UserId, limit: usize) -> Vec<SessionId> {
        let sessions = self.sessions.values().filter(|session| session.user == user);
        sessions.map(|session| session.id).take(limit).collect()
    }
}
