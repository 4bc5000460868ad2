use super::{Email, PasswordHash, Revision, UserId};
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
    /// No less than the revision of any project that it has deleted. A new one begins after it, so that what was
    /// read of a project is never taken for another of the same title.
    pub revision_floor: Revision,
}

impl User {
    /// A new account, which uses nothing yet.
    pub fn new(id: UserId, email: Email, password_hash: PasswordHash, created: Timestamp) -> Self {
        Self {
            id,
            email,
            password_hash,
            created,
            usage: Usage::default(),
            saves: 0,
            revision_floor: Revision::NONE,
        }
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
