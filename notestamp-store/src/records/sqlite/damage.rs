//! Records that cannot be read.

use rusqlite::{Connection, Row, Rows};

use super::columns::row_limit;
use super::error::{Failure, Result};
use super::rows::objects::{self, object_columns};
use super::rows::projects::{self, project_columns};
use super::rows::sessions::{self, session_columns};
use super::rows::trash::{self, trashed_columns};
use super::rows::users::{self, user_columns};
use super::rows::versions::{self, version_columns};
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
        RecordKind::Version => return find_versions(connection, after, limit),
        RecordKind::Trashed => ("trash", trashed_columns!()),
        RecordKind::Object => ("objects", object_columns!()),
    };
    let some = format!("SELECT {columns} FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&some)?;
    let after: &[u8] = after.map_or(&[], |key| key);
    let rows = statement.query((after, row_limit(limit)))?;
    page(
        kind,
        rows,
        limit,
        |row| Ok(row.get(0)?),
        |row| match kind {
            RecordKind::User => users::from_row(row).map(drop),
            RecordKind::Session => sessions::from_row(row).map(drop),
            RecordKind::Project => projects::from_row(row).map(drop),
            RecordKind::Version => versions::from_row(row).map(drop),
            RecordKind::Trashed => trash::from_row(row).map(drop),
            RecordKind::Object => objects::from_row(row).map(drop),
        },
    )
}

/// The key of a version consists of its project's id and, in the last 8 bytes, its revision.
fn find_versions(connection: &Connection, after: Option<&RecordKey>, limit: usize) -> Result<DamagedPage> {
    let (id, revision): (&[u8], i64) = match after.and_then(|key| key.split_last_chunk()) {
        Some((id, revision)) => (id, i64::from_be_bytes(*revision)),
        None => (&[], 0),
    };
    const SOME: &str = concat!(
        "SELECT ",
        version_columns!(),
        " FROM versions WHERE (id, revision) > (?1, ?2) ORDER BY id, revision LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(SOME)?;
    let rows = statement.query((id, revision, row_limit(limit)))?;
    let key = |row: &Row<'_>| {
        let (mut key, revision): (RecordKey, i64) = (row.get("id")?, row.get("revision")?);
        key.extend(revision.to_be_bytes());
        Ok(key)
    };
    page(RecordKind::Version, rows, limit, key, |row| versions::from_row(row).map(drop))
}

fn page(
    kind: RecordKind,
    mut rows: Rows<'_>,
    limit: usize,
    key_of: impl Fn(&Row<'_>) -> Result<RecordKey>,
    read: impl Fn(&Row<'_>) -> Result<()>,
) -> Result<DamagedPage> {
    let mut page = DamagedPage::default();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let key = key_of(row)?;
        match read(row) {
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
