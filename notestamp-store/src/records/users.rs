use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{Caller, Email, PasswordHash, Session, User, UserId};
use crate::error::Result;

/// Keeps the user records, one for each account.
#[async_trait]
pub trait UserStore: fmt::Debug + Send + Sync {
    /// Creates an account: adds its user record.
    ///
    /// # Errors
    /// - [`Error::EmailTaken`](crate::Error::EmailTaken) if an account has this email address; of two concurrent
    ///   calls with one address, one succeeds.
    /// - [`Error::Restoring`](crate::Error::Restoring) if a restore has begun and not ended.
    async fn create_user(&self, user: &User) -> Result<()>;

    /// The user record of this id; absent if the account has been removed.
    async fn find_user(&self, id: UserId) -> Result<Option<User>>;

    /// The user record of the account that has this email address.
    async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>>;

    /// Up to `limit` user records in the order of their ids: those after the id `after`, or from the first on if it is
    /// absent.
    async fn list_users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>>;

    /// Compare-and-swap of the password hash: replaces `before` by `after`, and returns false if the hash is no longer
    /// `before`. Sessions stay as they are.
    async fn replace_password_hash(
        &self,
        id: UserId,
        before: &PasswordHash,
        after: &PasswordHash,
    ) -> Result<bool>;

    /// Changes the password of the account of `session`, by compare-and-swap: if the hash still is `before`, replaces
    /// it by `after`, revokes every session of the account by beginning its next epoch, and adds `session` in that
    /// epoch, all in one step. Returns the session as it was added; absent if the hash is no longer `before`, and then
    /// nothing has changed.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    async fn change_password(
        &self,
        caller: Caller,
        before: &PasswordHash,
        after: &PasswordHash,
        session: &Session,
        now: Timestamp,
    ) -> Result<Option<Session>>;

    /// Removes the caller's account; returns whether it existed.
    ///
    /// From then on lookups find neither the account nor its email address, sessions and projects, and no save and no
    /// session of the account can be committed. [`purge_removed`](Self::purge_removed) purges what it leaves.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    async fn remove_user(&self, caller: Caller, now: Timestamp) -> Result<bool>;

    /// Purges up to `limit` records of removed accounts: sessions, and projects, versions and the trash with their
    /// references in the ledger.
    /// Returns the count; 0 when nothing is left to purge.
    async fn purge_removed(&self, limit: usize, now: Timestamp) -> Result<usize>;
}
