use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{Caller, RevocationReason, Session, SessionId, UserId};
use crate::error::Result;

/// Keeps the sessions. The revoked among them are the log of revoked tokens.
///
/// What ends a session before its time excludes every operation of that session that takes effect: of the two, one
/// comes first, and the operation is refused where that is the end ([`admit`](crate::protocol::admit)).
#[async_trait]
pub trait SessionStore: fmt::Debug + Send + Sync {
    /// Adds a session.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) where its user has been removed.
    async fn start_session(&self, session: &Session) -> Result<()>;

    /// The session of that id, revoked or not; none where its user has been removed.
    async fn find_session(&self, id: SessionId) -> Result<Option<Session>>;

    /// Replaces a session by what became of it, if it still is as it was read; says whether it was.
    ///
    /// Compared are the generation, whether it is confirmed, and whether it is revoked: no two
    /// states of a session agree in all three. A session whose user has been removed is not there.
    async fn replace_session(&self, before: &Session, after: &Session) -> Result<bool>;

    /// Revokes the session of that id, if it is the caller's user's and open; says whether it was.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) where the caller's session has ended.
    async fn revoke_session(
        &self,
        caller: Caller,
        id: SessionId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool>;

    /// Revokes all sessions of a user that are not revoked yet, but for `except`; answers how many.
    async fn revoke_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<u64>;

    /// The sessions of a user that are neither revoked nor past the end of their tokens, the latest used first; at most `limit`.
    async fn list_sessions(&self, user: UserId, limit: usize, now: Timestamp) -> Result<Vec<Session>>;

    /// Forgets up to `limit` sessions whose last token has expired (`tokens_end` not after `now`);
    /// answers how many.
    async fn forget_expired_sessions(&self, limit: usize, now: Timestamp) -> Result<usize>;

    /// How many sessions are on record: open, revoked, and expired but not yet forgotten.
    async fn count_sessions(&self) -> Result<u64>;
}
