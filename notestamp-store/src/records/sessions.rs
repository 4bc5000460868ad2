use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{Caller, RevocationReason, Session, SessionId, UserId};
use crate::error::Result;

/// How many sessions one [`SessionStore::start_session`] revokes at most, so that its transaction stays short.
pub(crate) const REVOKED_MAX: usize = 1_000;

/// Keeps the sessions. The revoked sessions among them are the log of revoked tokens.
///
/// Every operation that takes effect is serialized with a change that ends its session early: if the session ended
/// first, the operation is refused ([`admit`](crate::protocol::admit)).
///
/// A session that started in an earlier [`SessionEpoch`](crate::SessionEpoch) of its account counts as revoked in every
/// method, and is returned so.
#[async_trait]
pub trait SessionStore: fmt::Debug + Send + Sync {
    /// Adds a session, if its epoch still is that of its account; returns whether it did.
    ///
    /// The account then has at most `open_max` sessions that [`list_sessions`](Self::list_sessions) would list, this
    /// one included: the least recently used others are revoked in the same step ([`RevocationReason::TooMany`]). One
    /// call revokes at most a thousand, which is fewer than necessary only after `open_max` was lowered.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`](crate::Error::NoSuchAccount) if its account has been removed.
    async fn start_session(&self, session: &Session, open_max: usize, now: Timestamp) -> Result<bool>;

    /// The session of this id, revoked or not; absent if its account has been removed.
    async fn find_session(&self, id: SessionId) -> Result<Option<Session>>;

    /// Compare-and-swap: replaces `before` by `after`, and returns false if the session has changed since it was read.
    ///
    /// Compared are the generation, whether the session is confirmed, and whether it is revoked: no two states of a
    /// session are equal in all three. The session of a removed account counts as absent: false.
    async fn replace_session(&self, before: &Session, after: &Session) -> Result<bool>;

    /// Revokes the session of this id if it is open and belongs to the caller's account; returns whether it did.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    async fn revoke_session(
        &self,
        caller: Caller,
        id: SessionId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool>;

    /// Revokes all sessions of an account, by beginning its next [`SessionEpoch`](crate::SessionEpoch): one write,
    /// however many sessions there are. Returns whether the account exists.
    async fn revoke_all_sessions(
        &self,
        user: UserId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool>;

    /// The sessions of an account that are not revoked and of which a token may still be valid (`tokens_end` after
    /// `now`), the most recently used first; at most `limit`.
    async fn list_sessions(&self, user: UserId, limit: usize, now: Timestamp) -> Result<Vec<Session>>;

    /// Forgets up to `limit` sessions whose last token has expired (`tokens_end` not after `now`); returns the count.
    async fn forget_expired_sessions(&self, limit: usize, now: Timestamp) -> Result<usize>;
}
