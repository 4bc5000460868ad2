use rusqlite::Row;

use crate::clock::Timestamp;
use crate::domain::{Email, PasswordHash, Revision, Usage, User, UserId};
use crate::records::sqlite::error::Result;

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<User> {
    Ok(User {
        id: UserId::from_bytes(row.get("id")?),
        email: Email::stored(row.get::<_, String>("email")?),
        password_hash: PasswordHash::new(row.get::<_, String>("password_hash")?),
        created: Timestamp::from_millis(row.get("created")?),
        usage: Usage { projects: row.get("usage_projects")?, bytes: row.get("usage_bytes")? },
        saves: row.get("saves")?,
        revision_floor: Revision::new(row.get("revision_floor")?),
    })
}
