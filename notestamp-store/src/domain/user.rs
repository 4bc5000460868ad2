use super::{Email, PasswordHash, Revision, SessionEpoch, UserId};
use crate::clock::Timestamp;

/// The user record of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The id of the account.
    pub id: UserId,
    /// The email address, unique among all accounts.
    pub email: Email,
    /// The hash of the password.
    pub password_hash: PasswordHash,
    /// When the account was created.
    pub created: Timestamp,
    /// What the account uses; each commit updates it.
    pub usage: Usage,
    /// How many saves the account has made; the number of a save orders the projects by their latest save.
    pub saves: u64,
    /// At least the revision of every deleted project of the account. A new project begins above it, so that an old
    /// entity tag never matches a new project of the same title.
    pub revision_floor: Revision,
    /// The sessions that started in an earlier epoch are revoked.
    pub session_epoch: SessionEpoch,
}

impl User {
    /// The record of a new account without projects.
    pub fn new(id: UserId, email: Email, password_hash: PasswordHash, created: Timestamp) -> Self {
        Self {
            id,
            email,
            password_hash,
            created,
            usage: Usage::default(),
            saves: 0,
            revision_floor: Revision::NONE,
            session_epoch: SessionEpoch::default(),
        }
    }
}

/// What an account uses of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// The number of projects.
    pub projects: u64,
    /// The bytes of the distinct media of all projects, plus those of their current notes.
    pub bytes: u64,
    /// What the records of the projects cost, in bytes ([`Project::record_bytes`](super::Project::record_bytes)).
    pub record_bytes: u64,
    /// The number of projects in the trash.
    pub trashed: u64,
    /// The bytes of the notes of all versions and of the trash, plus those of the distinct media that only these refer
    /// to.
    pub kept_bytes: u64,
    /// What the records of the versions and of the trash cost, in bytes.
    pub kept_record_bytes: u64,
}

impl Usage {
    /// The part of the quota that the projects use. Only their owner can reduce it.
    pub fn current(&self) -> u64 {
        self.bytes + self.record_bytes
    }

    /// The part of the quota that is used, by history and trash too.
    pub fn total(&self) -> u64 {
        self.current() + self.kept_bytes + self.kept_record_bytes
    }
}
