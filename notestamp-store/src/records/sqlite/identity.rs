//! The store's identity, as the records hold it.

use rusqlite::{Connection, OptionalExtension};

use super::error::{Failure, Result};
use crate::domain::{ObjectKind, StoreId};
use crate::records::StoreIdentity;

/// The store's identity; absent until it has been claimed.
pub(super) fn find(connection: &Connection) -> Result<Option<StoreIdentity>> {
    let mut find = connection.prepare_cached("SELECT id, notes_marked, media_marked FROM store")?;
    let found = find.query_row((), |row| {
        Ok(StoreIdentity {
            id: StoreId::from_bytes(row.get(0)?),
            notes_marked: row.get(1)?,
            media_marked: row.get(2)?,
        })
    });
    Ok(found.optional()?)
}

/// Returns the store's identity; if the records have none, `proposed` becomes its id.
pub(super) fn claim(connection: &Connection, proposed: StoreId) -> Result<StoreIdentity> {
    let claim = "INSERT INTO store (only_one, id) VALUES (1, ?1) ON CONFLICT DO NOTHING";
    connection.prepare_cached(claim)?.execute([proposed.as_bytes()])?;
    find(connection)?.ok_or(Failure::Column { column: "store.id" })
}

/// Records that the blob store of this kind has been given the id.
pub(super) fn mark(connection: &Connection, kind: ObjectKind) -> Result<()> {
    let mark = match kind {
        ObjectKind::Notes => "UPDATE store SET notes_marked = 1",
        ObjectKind::Media => "UPDATE store SET media_marked = 1",
    };
    connection.prepare_cached(mark)?.execute(())?;
    Ok(())
}
