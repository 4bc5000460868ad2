//! Records that cannot be read.

use rusqlite::Connection;

use super::columns::row_limit;
use super::error::{Failure, Result};
use super::rows::objects::{self, object_columns};
use super::rows::projects::{self, project_columns};
use super::rows::sessions::{self, session_columns};
use super::rows::users::{self, user_columns};
use crate::records::{DamagedPage, DamagedRecord, RecordKey, RecordKind};

/// Reads some records of a kind, in the order of their ids.
pub(super) fn find(
    connection: &Connection,
    kind: RecordKind,
    after: Option<&RecordKey>,
    limit: usize,
) -> Result<DamagedPage> {
    let (table, columns) = match kind {
        RecordKind::User => ("users", user_columns!()),
        RecordKind::Session => ("sessions", session_columns!()),
        RecordKind::Project => ("projects", project_columns!()),
        RecordKind::Object => ("objects", object_columns!()),
    };
    let some = format!("SELECT {columns} FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&some)?;
    let after: &[u8] = after.map_or(&[], |key| key);
    let mut rows = statement.query((after, row_limit(limit)))?;
    let mut page = DamagedPage::default();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let key: RecordKey = row.get(0)?;
        let read: Result<()> = match kind {
            RecordKind::User => users::from_row(row).map(drop),
            RecordKind::Session => sessions::from_row(row).map(drop),
            RecordKind::Project => projects::from_row(row).map(drop),
            RecordKind::Object => objects::from_row(row).map(drop),
        };
        match read {
            Err(damage) if Failure::is_damage(&damage) => {
                page.damaged.push(DamagedRecord::new(kind, &key, damage.to_string()));
            }
            read => read?,
        }
        count += 1;
        page.next = (count == limit).then_some(key);
    }
    Ok(page)
}
