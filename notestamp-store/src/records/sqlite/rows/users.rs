use rusqlite::Row;

use super::revocation;
use crate::clock::Timestamp;
use crate::domain::{Email, PasswordHash, Revision, SessionEpoch, Usage, User, UserId};
use crate::records::sqlite::columns::Columns;
use crate::records::sqlite::error::Result;

/// The columns of the epoch of an account's sessions, as [`read_epoch`] reads them.
macro_rules! epoch_columns {
    () => {
        "session_epoch, epoch_begun_at, epoch_begun_reason"
    };
}
pub(in crate::records::sqlite) use epoch_columns;

/// The columns of a user record, as [`from_row`] reads them.
macro_rules! user_columns {
    () => {
        "id, email, password_hash, created, usage_projects, usage_bytes, usage_record_bytes, usage_trashed, \
         usage_kept_bytes, usage_kept_record_bytes, saves, revision_floor, session_epoch, epoch_begun_at, epoch_begun_reason"
    };
}
pub(in crate::records::sqlite) use user_columns;

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<User> {
    let columns = &mut Columns::of(row);
    Ok(User {
        id: UserId::from_bytes(columns.next()?),
        email: Email::stored(columns.next::<String>()?),
        password_hash: PasswordHash::new(columns.next::<String>()?),
        created: Timestamp::from_millis(columns.next()?),
        usage: Usage {
            projects: columns.next()?,
            bytes: columns.next()?,
            record_bytes: columns.next()?,
            trashed: columns.next()?,
            kept_bytes: columns.next()?,
            kept_record_bytes: columns.next()?,
        },
        saves: columns.next()?,
        revision_floor: Revision::new(columns.next()?),
        session_epoch: read_epoch(columns)?,
    })
}

/// Reads the epoch of an account's sessions from its columns.
pub(in crate::records::sqlite) fn read_epoch(columns: &mut Columns<'_>) -> Result<SessionEpoch> {
    let number = columns.next()?;
    let begun_by = revocation::read(columns, "users.epoch_begun_reason")?;
    Ok(SessionEpoch { number, begun_by })
}
