//! Accounts: creation, the password's hash, removal.

use crate::domain::{Caller, Email, PasswordHash, RevocationReason, User, UserId};
use crate::error::Result;

use super::Store;

impl Store {
    /// Creates an account.
    ///
    /// # Errors
    /// - [`Error::EmailTaken`](crate::Error::EmailTaken) if another account has this address.
    /// - [`Error::Full`](crate::Error::Full) if too little space is free.
    pub async fn create_account(&self, email: Email, password_hash: PasswordHash) -> Result<User> {
        self.ensure_room_for(&[]).await?;
        let now = self.shared.clock.now();
        let id = UserId::generate(now, &*self.shared.random);
        let user = User::new(id, email, password_hash, now);
        self.shared.records.create_user(&user).await?;
        Ok(user)
    }

    /// The account with this id; `None` if it is absent.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn find_account(&self, id: UserId) -> Result<Option<User>> {
        self.shared.records.find_user(id).await
    }

    /// The account with this address; `None` if it is absent.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn find_account_by_email(&self, email: &Email) -> Result<Option<User>> {
        self.shared.records.find_user_by_email(email).await
    }

    /// Up to `limit` accounts in the order of their ids: those after the id `after`, or from the first on if it is
    /// absent.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>> {
        self.shared.records.list_users(after, limit).await
    }

    /// Replaces the password of an account whose user has forgotten it, and ends all its sessions. Returns whether there
    /// is such an account.
    ///
    /// After a failure the password may be replaced while sessions are still open; repeat it then.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn reset_password(&self, id: UserId, new: &PasswordHash) -> Result<bool> {
        loop {
            let Some(user) = self.find_account(id).await? else { return Ok(false) };
            if self.shared.records.replace_password_hash(id, &user.password_hash, new).await? {
                return self.revoke_all_sessions(id, RevocationReason::PasswordChanged).await;
            }
        }
    }

    /// Replaces the password hash by a stronger one of the same password: a compare-and-swap, which does nothing if
    /// the hash has changed since `user` was read.
    ///
    /// # Errors
    /// If the records do not respond.
    pub async fn upgrade_password_hash(&self, user: &User, stronger: &PasswordHash) -> Result<()> {
        self.shared.records.replace_password_hash(user.id, &user.password_hash, stronger).await?;
        Ok(())
    }

    /// Removes an account with its sessions, projects, notes and media: every later request, in every process, finds
    /// them absent. The next sweep deletes the bytes. Returns whether there was such an account.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    pub async fn remove_account(&self, caller: impl Into<Caller>) -> Result<bool> {
        self.shared.records.remove_user(caller.into(), self.shared.clock.now()).await
    }
}
