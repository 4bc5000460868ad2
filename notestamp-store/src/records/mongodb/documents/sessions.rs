use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};

use crate::domain::{Revocation, RevocationReason, Session, SessionId, TokenId, UserId};
use crate::records::mongodb::bson::{date, timestamp, uuid};
use crate::records::mongodb::error::{Failure, Result};

#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct SessionDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    user: Uuid,
    epoch: u64,
    generation: u64,
    current: Uuid,
    previous: Option<Uuid>,
    rotated_at: DateTime,
    refresh_expires: DateTime,
    confirmed: bool,
    created: DateTime,
    last_used: DateTime,
    absolute_end: DateTime,
    tokens_end: DateTime,
    user_agent: String,
    is_revoked: bool,
    revoked: Option<RevocationDocument>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RevocationDocument {
    at: DateTime,
    reason: String,
}

impl RevocationDocument {
    pub(super) fn of(revocation: Revocation) -> Self {
        Self { at: date(revocation.at), reason: revocation.reason.as_str().to_owned() }
    }
}

impl TryFrom<RevocationDocument> for Revocation {
    type Error = Failure;

    fn try_from(document: RevocationDocument) -> Result<Self> {
        let reason = RevocationReason::parse(&document.reason);
        let reason = reason.ok_or(Failure::Field { field: "the reason of a revocation" })?;
        Ok(Self { at: timestamp(document.at), reason })
    }
}

impl SessionDocument {
    pub(in crate::records::mongodb) fn of(session: &Session) -> Self {
        Self {
            id: uuid(session.id.as_bytes()),
            user: uuid(session.user.as_bytes()),
            epoch: session.epoch,
            generation: session.generation,
            current: uuid(session.current.as_bytes()),
            previous: session.previous.map(|previous| uuid(previous.as_bytes())),
            rotated_at: date(session.rotated_at),
            refresh_expires: date(session.refresh_expires),
            confirmed: session.confirmed,
            created: date(session.created),
            last_used: date(session.last_used),
            absolute_end: date(session.absolute_end),
            tokens_end: date(session.tokens_end),
            user_agent: session.user_agent.clone(),
            is_revoked: session.revoked.is_some(),
            revoked: session.revoked.map(RevocationDocument::of),
        }
    }
}

impl TryFrom<SessionDocument> for Session {
    type Error = Failure;

    fn try_from(document: SessionDocument) -> Result<Self> {
        Ok(Self {
            id: SessionId::from_bytes(document.id.bytes()),
            user: UserId::from_bytes(document.user.bytes()),
            epoch: document.epoch,
            generation: document.generation,
            current: TokenId::from_bytes(document.current.bytes()),
            previous: document.previous.map(|previous| TokenId::from_bytes(previous.bytes())),
            rotated_at: timestamp(document.rotated_at),
            refresh_expires: timestamp(document.refresh_expires),
            confirmed: document.confirmed,
            created: timestamp(document.created),
            last_used: timestamp(document.last_used),
            absolute_end: timestamp(document.absolute_end),
            tokens_end: timestamp(document.tokens_end),
            user_agent: document.user_agent,
            revoked: document.revoked.map(Revocation::try_from).transpose()?,
        })
    }
}
