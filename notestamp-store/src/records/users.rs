use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{Caller, Email, PasswordHash, Session, User, UserId};
use crate::error::Result;

/// Keeps the accounts.
#[async_trait]
pub trait UserStore: fmt::Debug + Send + Sync {
    /// Adds an account.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) where an account has this email
    /// address; of two at the same moment, one succeeds.
    async fn create_user(&self, user: &User) -> Result<()>;

    /// The account of that id, unless it has been removed.
    async fn find_user(&self, id: UserId) -> Result<Option<User>>;

    /// The account of that email address.
    async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>>;

    /// Replaces the password's hash, if it still is `before`; says whether it was. Nothing else changes.
    async fn replace_password_hash(
        &self,
        id: UserId,
        before: &PasswordHash,
        after: &PasswordHash,
    ) -> Result<bool>;

    /// Changes the password of the session's user, if its hash still is `before`: replaces the hash by `after`,
    /// revokes every session of the user, and adds `session`, all in one step. Says whether it was.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) where the caller's session has ended.
    async fn change_password(
        &self,
        caller: Caller,
        before: &PasswordHash,
        after: &PasswordHash,
        session: &Session,
        now: Timestamp,
    ) -> Result<bool>;

    /// Removes an account; says whether it was there.
    ///
    /// From now on the account, its address, its sessions and its projects are found no more, and a save or a session
    /// of it cannot be committed. What is left of it is taken away by [`purge_removed`](Self::purge_removed).
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) where the caller's session has ended.
    async fn remove_user(&self, caller: Caller, now: Timestamp) -> Result<bool>;

    /// Takes away up to `limit` records (projects, with what that does to the ledger, and sessions) of
    /// removed accounts; answers how many those were, none when nothing is left.
    async fn purge_removed(&self, limit: usize, now: Timestamp) -> Result<usize>;
}
