use super::{Email, PasswordHash, UserId};
use crate::clock::Timestamp;

/// An account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Names it.
    pub id: UserId,
    /// Its address, unique among the accounts.
    pub email: Email,
    /// What is kept of its password.
    pub password_hash: PasswordHash,
    /// When it was created.
    pub created: Timestamp,
    /// What it uses, exact at each commit.
    pub usage: Usage,
    /// How many saves it has made: orders its projects by their latest save.
    pub saves: u64,
}

impl User {
    /// A new account, which uses nothing yet.
    pub fn new(id: UserId, email: Email, password_hash: PasswordHash, created: Timestamp) -> Self {
        Self { id, email, password_hash, created, usage: Usage::default(), saves: 0 }
    }
}

/// What an account uses of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// How many projects it has.
    pub projects: u64,
    /// The bytes of the distinct media that they refer to, and of their current notes.
    pub bytes: u64,
}
