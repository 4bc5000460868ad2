use rusqlite::Row;

use crate::clock::Timestamp;
use crate::domain::{
    Email, PasswordHash, Revision, Revocation, RevocationReason, SessionEpoch, Usage, User, UserId,
};
use crate::records::sqlite::error::{Failure, Result};

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<User> {
    Ok(User {
        id: UserId::from_bytes(row.get("id")?),
        email: Email::stored(row.get::<_, String>("email")?),
        password_hash: PasswordHash::new(row.get::<_, String>("password_hash")?),
        created: Timestamp::from_millis(row.get("created")?),
        usage: Usage { projects: row.get("usage_projects")?, bytes: row.get("usage_bytes")? },
        saves: row.get("saves")?,
        revision_floor: Revision::new(row.get("revision_floor")?),
        session_epoch: epoch_from_row(row)?,
    })
}

/// The epoch in a row that has these columns of a user record.
pub(in crate::records::sqlite) fn epoch_from_row(row: &Row<'_>) -> Result<SessionEpoch> {
    let (at, reason): (_, Option<String>) = (row.get("epoch_begun_at")?, row.get("epoch_begun_reason")?);
    let begun_by = match (at, reason.as_deref().map(RevocationReason::parse)) {
        (None, None) => None,
        (Some(at), Some(Some(reason))) => Some(Revocation { at: Timestamp::from_millis(at), reason }),
        _ => return Err(Failure::Column { column: "users.epoch_begun_reason" }),
    };
    Ok(SessionEpoch { number: row.get("session_epoch")?, begun_by })
}
