//! Sessions: the pure state machine of [`Session`] decides, and a compare-and-swap commits its decision.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::{
    AccessUse, Caller, PasswordHash, Refresh, RefreshUse, RevocationReason, Session, SessionId, TokenId,
    User, UserId,
};
use crate::error::{Error, Result};
use crate::protocol;
use crate::records::{RecordKind, omit_damaged};

use super::Store;

/// How many times a decision is retried after a lost compare-and-swap. Each loss means that another caller's decision
/// was committed, so contention ends by itself; this limit only prevents an endless loop after a fault.
const RACES_MAX: usize = 64;

impl Store {
    /// Starts a session for an account whose password has just been verified against this user record.
    ///
    /// Returns `None` if all sessions of the account have been ended since the record was read, as a password change
    /// does: the verification may no longer be valid.
    ///
    /// If the account then has more open sessions than it may have
    /// ([`sessions_open_max`](crate::StoreSettings::sessions_open_max)), the least recently used ones are ended.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`] if the account has been removed.
    pub async fn start_session(&self, user: &User, user_agent: &str) -> Result<Option<Session>> {
        let session = self.new_session(user, user_agent);
        let open_max = self.settings().sessions_open_max;
        let started = self.shared.records.start_session(&session, open_max, session.created).await?;
        Ok(started.then_some(session))
    }

    /// Changes a password that has just been verified against this user record: revokes every session of the account
    /// and starts a new one. Returns `None` if the password has changed since the record was read.
    ///
    /// `by` is the session of the caller; `None` if the embedding program uses no sessions.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if that session has ended.
    pub async fn change_password(
        &self,
        user: &User,
        by: Option<SessionId>,
        new: &PasswordHash,
        user_agent: &str,
    ) -> Result<Option<Session>> {
        let caller = Caller { session: by, ..Caller::from(user.id) };
        let session = self.new_session(user, user_agent);
        let (before, now) = (&user.password_hash, self.shared.clock.now());
        self.shared.records.change_password(caller, before, new, &session, now).await
    }

    /// Ends every session of an account at once; returns whether there is such an account.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn revoke_all_sessions(&self, user: UserId, reason: RevocationReason) -> Result<bool> {
        self.shared.records.revoke_all_sessions(user, reason, self.shared.clock.now()).await
    }

    /// The open sessions of an account, at most `limit`, the most recently used first.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn list_sessions(&self, user: UserId, limit: usize) -> Result<Vec<Session>> {
        self.shared.records.list_sessions(user, limit, self.shared.clock.now()).await
    }

    fn new_session(&self, user: &User, user_agent: &str) -> Session {
        let (now, random) = (self.shared.clock.now(), &*self.shared.random);
        let (id, first) = (SessionId::generate(now, random), TokenId::generate(now, random));
        let session = Session::start(id, user.id, first, user_agent, now, &self.settings().session_ttl);
        session.in_epoch(user.session_epoch)
    }

    /// The session with this id; `None` if it is absent or has ended.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn find_open_session(&self, id: SessionId) -> Result<Option<Session>> {
        let found = self.find_session(id).await?;
        Ok(found.filter(|session| session.is_open(self.shared.clock.now())))
    }

    /// Uses an access token of this generation: returns its session, or `None` if the token is refused. The first
    /// token of its generation confirms that generation.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn use_session(&self, user: UserId, id: SessionId, generation: u64) -> Result<Option<Session>> {
        let decide = |session: Session| {
            if session.user != user {
                return Decision::Keep(None);
            }
            let now = self.shared.clock.now();
            match session.use_access(generation, now) {
                AccessUse::Good(session) => used(session, now),
                AccessUse::Confirmed(after) => Decision::Record { outcome: Some(after.clone()), after },
                AccessUse::Refused => Decision::Keep(None),
            }
        };
        Ok(self.decide_session(id, decide).await?.flatten())
    }

    /// Uses a refresh token to rotate its session: returns the session whose tokens the response carries, or `None`
    /// if the token is refused. A replay revokes the session.
    ///
    /// # Errors
    /// If the records do not respond. After [`Error::Full`] the token is still valid:
    /// [`use_refresh_token`](Self::use_refresh_token) needs no space.
    pub async fn refresh_session(
        &self,
        user: UserId,
        id: SessionId,
        token: TokenId,
        generation: u64,
    ) -> Result<Option<Session>> {
        let next = TokenId::generate(self.shared.clock.now(), &*self.shared.random);
        let decide = |session: Session| {
            if session.user != user {
                return Decision::Keep(None);
            }
            let (now, ttl) = (self.shared.clock.now(), &self.settings().session_ttl);
            let since = self.since_rotation(&session);
            match session.refresh(token, generation, next, now, since, ttl) {
                Refresh::Rotated(after) => Decision::Replace { outcome: Some(after.clone()), after },
                Refresh::SameSuccessor(session) => Decision::Keep(Some(session)),
                Refresh::Replayed(after) => replayed(after),
                Refresh::Refused => Decision::Keep(None),
            }
        };
        let refreshed = self.decide_session(id, decide).await?.flatten();
        if let Some(rotated) = refreshed.as_ref().filter(|session| session.current == next) {
            self.shared.rotations().remember(rotated, self.shared.clock.monotonic());
        }
        Ok(refreshed)
    }

    /// Uses a refresh token without rotation, for a request whose response sets no cookies: returns the session, or
    /// `None` if the token is refused. A replay revokes the session.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn use_refresh_token(
        &self,
        user: UserId,
        id: SessionId,
        token: TokenId,
        generation: u64,
    ) -> Result<Option<Session>> {
        let decide = |session: Session| {
            if session.user != user {
                return Decision::Keep(None);
            }
            let (now, since) = (self.shared.clock.now(), self.since_rotation(&session));
            match session.use_refresh(token, generation, now, since) {
                RefreshUse::Good(session) => used(session, now),
                RefreshUse::Confirmed(after) => Decision::Record { outcome: Some(after.clone()), after },
                RefreshUse::Replayed(after) => replayed(after),
                RefreshUse::Refused => Decision::Keep(None),
            }
        };
        Ok(self.decide_session(id, decide).await?.flatten())
    }

    /// The time since the last rotation of a session; `None` if it cannot be known.
    ///
    /// For a rotation by this process, the monotonic clock measures it, and steps of the civil clock do not matter. For
    /// a rotation by another process, or before the start of this one, only the civil time in the record is known. It
    /// is compared with the time that all readings of the last hour agree on, so a clock that is set ahead causes no
    /// replay.
    fn since_rotation(&self, session: &Session) -> Option<Duration> {
        let rotated = self.shared.rotations().of(session);
        match rotated {
            Some(rotated) => Some(self.shared.clock.monotonic().since(rotated)),
            None => session.since_rotation(self.shared.read_clock().now),
        }
    }

    /// Revokes one session of the caller's account; returns whether that session was open.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if the caller's own session has ended.
    pub async fn revoke_session(
        &self,
        caller: impl Into<Caller>,
        id: SessionId,
        reason: RevocationReason,
    ) -> Result<bool> {
        let now = self.shared.clock.now();
        match self.shared.records.revoke_session(caller.into(), id, reason, now).await {
            // A session with a damaged record counts as absent.
            Err(Error::Corrupt(_)) => Ok(false),
            revoked => revoked,
        }
    }

    /// Checks that the caller's session is open, for long operations that change nothing. An operation that changes
    /// something checks the session in its own transaction.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if it has ended.
    pub async fn admit(&self, caller: impl Into<Caller>) -> Result<()> {
        let caller = caller.into();
        let session = match caller.session {
            Some(id) => self.find_session(id).await?,
            None => None,
        };
        protocol::admit(caller, session.as_ref(), self.shared.clock.now())
    }

    /// Forgets the sessions whose last token has expired, in steps of at most `limit` sessions; returns the count.
    ///
    /// A token counts as expired only if two readings of the civil clock, an hour of monotonic time apart, agree on it.
    /// So a process forgets no session in its first hour.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn forget_expired_sessions(&self, limit: usize) -> Result<usize> {
        let mut forgotten = 0;
        let reading = self.shared.read_clock();
        if !reading.is_confirmed {
            return Ok(forgotten);
        }
        loop {
            match self.shared.records.forget_expired_sessions(limit, reading.now).await? {
                0 => return Ok(forgotten),
                count => forgotten += count,
            }
        }
    }

    /// The session with this id. A session with a damaged record counts as absent: its user must sign in again.
    async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        match self.shared.records.find_session(id).await {
            Err(Error::Corrupt(damage)) => {
                omit_damaged(RecordKind::Session, &format_args!("{id}: {damage}"));
                Ok(None)
            }
            found => found,
        }
    }

    /// Reads a session, decides, and commits the decision. Retries if the session has changed meanwhile.
    async fn decide_session<T>(
        &self,
        id: SessionId,
        decide: impl Fn(Session) -> Decision<T>,
    ) -> Result<Option<T>> {
        for _ in 0..RACES_MAX {
            let Some(before) = self.find_session(id).await? else {
                return Ok(None);
            };
            match decide(before.clone()) {
                Decision::Keep(outcome) => return Ok(Some(outcome)),
                Decision::Replace { outcome, after } => {
                    if self.shared.records.replace_session(&before, &after).await? {
                        return Ok(Some(outcome));
                    }
                }
                Decision::Record { outcome, after } => {
                    match self.shared.records.replace_session(&before, &after).await {
                        Ok(true) | Err(Error::Full { .. }) => return Ok(Some(outcome)),
                        Ok(false) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Err(Error::Unavailable {
            backend: self.shared.records.name(),
            source: "a session changes faster than it can be decided".into(),
        })
    }
}

/// A request with a valid token. A session that only saves is never rotated, so its use is recorded here.
fn used(session: Session, now: Timestamp) -> Decision<Option<Session>> {
    match session.recorded(now) {
        Some(after) => Decision::Record { outcome: Some(after.clone()), after },
        None => Decision::Keep(Some(session)),
    }
}

fn replayed(after: Session) -> Decision<Option<Session>> {
    tracing::warn!(session = %after.id, user = %after.user, "replayed refresh token: session revoked");
    // The token is refused even if the revocation cannot be written.
    Decision::Record { outcome: None, after }
}

enum Decision<T> {
    Keep(T),
    Replace {
        outcome: T,
        after: Session,
    },
    /// Like `Replace`, but the result is valid even if the write fails for lack of space: reads work on a full disk.
    Record {
        outcome: T,
        after: Session,
    },
}
