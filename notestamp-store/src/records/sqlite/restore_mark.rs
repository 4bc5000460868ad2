use rusqlite::{Connection, OptionalExtension};

use super::error::Result;
use crate::domain::{Digest, RestoreId, RestoreMark};

/// The mark of the restore that has begun and not ended.
pub(super) fn find(connection: &Connection) -> Result<Option<RestoreMark>> {
    let mut find = connection.prepare_cached("SELECT id, snapshot FROM restore")?;
    let found = find.query_row((), |row| {
        Ok(RestoreMark { id: RestoreId::from_bytes(row.get(0)?), snapshot: Digest::from_bytes(row.get(1)?) })
    });
    Ok(found.optional()?)
}
