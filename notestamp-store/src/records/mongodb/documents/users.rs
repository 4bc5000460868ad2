use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};

use super::sessions::RevocationDocument;
use crate::domain::{Email, PasswordHash, Revision, SessionEpoch, Usage, User, UserId};
use crate::records::mongodb::bson::{date, timestamp, uuid};
use crate::records::mongodb::error::{Failure, Result};

#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct UserDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    email: String,
    password_hash: String,
    created: DateTime,
    usage: UsageDocument,
    saves: u64,
    /// Absent if an earlier version has written the document.
    #[serde(default)]
    revision_floor: u64,
    /// Absent in an account's first epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_epoch: Option<EpochDocument>,
    /// Incremented by each transaction that relies on the record, to make concurrent ones conflict.
    writes: u64,
}

#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct EpochDocument {
    number: u64,
    begun_by: RevocationDocument,
}

/// The part of a user record that concerns the epoch of its sessions.
#[derive(Deserialize)]
pub(in crate::records::mongodb) struct WithEpoch {
    session_epoch: Option<EpochDocument>,
}

#[derive(Serialize, Deserialize)]
struct UsageDocument {
    projects: u64,
    bytes: u64,
    record_bytes: u64,
    trashed: u64,
    kept_bytes: u64,
    kept_record_bytes: u64,
}

/// The fields that saves and deletions change.
#[derive(Serialize)]
pub(in crate::records::mongodb) struct UsageFields {
    usage: UsageDocument,
    saves: u64,
    revision_floor: u64,
}

/// A removed account that is not purged yet.
#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct RemovedUser {
    #[serde(rename = "_id")]
    pub(in crate::records::mongodb) id: Uuid,
}

impl UserDocument {
    pub(in crate::records::mongodb) fn of(user: &User) -> Self {
        Self {
            id: uuid(user.id.as_bytes()),
            email: user.email.as_str().to_owned(),
            password_hash: user.password_hash.as_phc().to_owned(),
            created: date(user.created),
            usage: UsageDocument::of(user),
            saves: user.saves,
            revision_floor: user.revision_floor.get(),
            session_epoch: EpochDocument::of(user.session_epoch),
            writes: 0,
        }
    }
}

impl UsageFields {
    pub(in crate::records::mongodb) fn of(user: &User) -> Self {
        Self { usage: UsageDocument::of(user), saves: user.saves, revision_floor: user.revision_floor.get() }
    }
}

impl EpochDocument {
    /// Absent for an account's first epoch.
    pub(in crate::records::mongodb) fn of(epoch: SessionEpoch) -> Option<Self> {
        let begun_by = RevocationDocument::of(epoch.begun_by?);
        Some(Self { number: epoch.number, begun_by })
    }
}

impl TryFrom<WithEpoch> for SessionEpoch {
    type Error = Failure;

    fn try_from(document: WithEpoch) -> Result<Self> {
        let Some(EpochDocument { number, begun_by }) = document.session_epoch else {
            return Ok(Self::default());
        };
        Ok(Self { number, begun_by: Some(begun_by.try_into()?) })
    }
}

impl UsageDocument {
    fn of(user: &User) -> Self {
        let Usage { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes } = user.usage;
        Self { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes }
    }
}

impl TryFrom<UserDocument> for User {
    type Error = Failure;

    fn try_from(document: UserDocument) -> Result<Self> {
        let UserDocument { id, email, password_hash, created, usage, saves, revision_floor, .. } = document;
        let UsageDocument { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes } = usage;
        let usage = Usage { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes };
        let session_epoch = WithEpoch { session_epoch: document.session_epoch };
        Ok(Self {
            id: UserId::from_bytes(id.bytes()),
            email: Email::stored(email),
            password_hash: PasswordHash::new(password_hash),
            created: timestamp(created),
            usage,
            saves,
            revision_floor: Revision::new(revision_floor),
            session_epoch: session_epoch.try_into()?,
        })
    }
}
