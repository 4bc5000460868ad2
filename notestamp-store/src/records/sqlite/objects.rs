use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, ToSql, named_params};

use super::columns::{namespace_bytes, row_limit};
use super::error::{Result as StepResult, unless_damaged};
use super::rows::objects::{execute_with, from_row, object_columns};
use super::{SqliteRecords, holds};
use crate::clock::Timestamp;
use crate::domain::{Digest, Namespace, Object, ObjectId, ObjectKind, ObjectState};
use crate::error::{Error, Result};
use crate::protocol::{StaleBefore, doom_if_stale, doom_reserved};
use crate::records::{ObjectLedger, RecordKind};

#[async_trait]
impl ObjectLedger for SqliteRecords {
    async fn reserve(&self, rows: &[Object]) -> Result<()> {
        let rows = rows.to_vec();
        self.write(move |connection| {
            for row in &rows {
                if !insert(connection, row)? {
                    return Err(Error::ObjectExists.into());
                }
            }
            Ok(())
        })
        .await
    }

    async fn find_object(&self, id: ObjectId) -> Result<Option<Object>> {
        self.look_up(move |connection| find(connection, id)).await
    }

    async fn find_live_media(&self, namespace: Namespace, digest: Digest) -> Result<Option<Object>> {
        self.look_up(move |connection| live_media(connection, namespace, digest)).await
    }

    async fn sample_live(&self, kind: ObjectKind, limit: usize) -> Result<Vec<Object>> {
        let sample = match kind {
            ObjectKind::Notes => LIVE_NOTES_SAMPLE,
            ObjectKind::Media => LIVE_MEDIA_SAMPLE,
        };
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(sample)?;
            let rows = statement.query_and_then([row_limit(limit)], from_row)?;
            rows.filter_map(|row| unless_damaged(RecordKind::Object, row)).collect()
        })
        .await
    }

    async fn doom_reserved(&self, ids: &[ObjectId], now: Timestamp) -> Result<Vec<ObjectId>> {
        let ids = ids.to_vec();
        self.write_essential(move |connection| {
            let mut live = Vec::new();
            for id in &ids {
                let row = find(connection, *id)?;
                if let Ok(doomed) = doom_reserved(row.as_ref(), now) {
                    write(connection, &doomed)?;
                } else if row.is_some_and(|row| row.state == ObjectState::Live) {
                    live.push(*id);
                }
            }
            Ok(live)
        })
        .await
    }

    async fn doom_stale(&self, before: &StaleBefore, limit: usize, now: Timestamp) -> Result<usize> {
        let before = *before;
        self.write_essential(move |connection| {
            let mut stale = list(connection, STALE_RESERVED, &before.reserved.as_millis(), limit)?;
            let limit = limit - stale.len();
            stale.extend(list(connection, STALE_UNREFERENCED, &before.unreferenced.as_millis(), limit)?);
            let mut count = 0;
            for doomed in stale.iter().filter_map(|row| doom_if_stale(row, &before, now)) {
                write(connection, &doomed)?;
                count += 1;
            }
            Ok(count)
        })
        .await
    }

    async fn list_doomed(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>> {
        self.read(move |connection| list(connection, DOOMED, &place(&after), limit)).await
    }

    async fn forget_doomed(&self, ids: &[ObjectId]) -> Result<()> {
        let ids = ids.to_vec();
        self.write_essential(move |connection| {
            let mut forget =
                connection.prepare_cached("DELETE FROM objects WHERE id = ?1 AND state = 'doomed'")?;
            for id in &ids {
                forget.execute([id.as_bytes()])?;
            }
            Ok(())
        })
        .await
    }

    async fn list_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>> {
        self.read(move |connection| list(connection, ALL, &place(&after), limit)).await
    }

    async fn find_with_bytes(&self, id: ObjectId) -> Result<Option<(Object, Option<Bytes>)>> {
        self.look_up(move |connection| {
            let mut statement = connection.prepare_cached(FIND_WITH_BYTES)?;
            let found = statement.query_row([id.as_bytes()], |row| {
                let bytes: Option<Vec<u8>> = row.get("bytes")?;
                Ok(from_row(row).map(|object| (object, bytes.map(Bytes::from))))
            });
            found.optional()?.transpose()
        })
        .await
    }

    async fn find_inline_bytes(&self, id: ObjectId) -> Result<Option<Bytes>> {
        self.look_up(move |connection| {
            let mut statement = connection.prepare_cached("SELECT bytes FROM inline_bytes WHERE id = ?1")?;
            let bytes = statement.query_row([id.as_bytes()], |row| row.get::<_, Vec<u8>>(0));
            Ok(bytes.optional()?.map(Bytes::from))
        })
        .await
    }
}

const INSERT: &str = "
    INSERT INTO objects (id, kind, namespace, inline, state, digest, size, reference_count, since)
    VALUES (:id, :kind, :namespace, :inline, :state, :digest, :size, :reference_count, :since)
    ON CONFLICT (id) DO NOTHING";

const UPDATE: &str = "
    UPDATE objects SET
        kind = :kind, namespace = :namespace, inline = :inline, state = :state, digest = :digest, size = :size,
        reference_count = :reference_count, since = :since
    WHERE id = :id";

const FIND: &str = concat!("SELECT ", object_columns!(), " FROM objects WHERE id = ?1");

const FIND_WITH_BYTES: &str = concat!(
    "SELECT ",
    object_columns!(),
    ", bytes FROM objects LEFT JOIN inline_bytes USING (id) WHERE id = ?1"
);

const LIVE_MEDIA: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM objects WHERE namespace = :namespace AND digest = :digest AND kind = 'media' AND state = 'live'",
);

const LIVE_NOTES_SAMPLE: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM objects INDEXED BY objects_live_notes
    WHERE kind = 'notes' AND state = 'live' AND inline = 0 LIMIT ?1",
);

const LIVE_MEDIA_SAMPLE: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM objects INDEXED BY objects_live_media WHERE kind = 'media' AND state = 'live' LIMIT ?1",
);

const STALE_RESERVED: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM objects INDEXED BY objects_reserved WHERE state = 'reserved' AND since < :from ORDER BY since",
);

const STALE_UNREFERENCED: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM objects INDEXED BY objects_unreferenced \
     WHERE state = 'live' AND reference_count = 0 AND since < :from ORDER BY since",
);

const DOOMED: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM objects INDEXED BY objects_doomed WHERE state = 'doomed' AND id > :from ORDER BY id",
);

const ALL: &str = concat!("SELECT ", object_columns!(), " FROM objects WHERE id > :from ORDER BY id");

pub(super) fn find(connection: &Connection, id: ObjectId) -> StepResult<Option<Object>> {
    let mut statement = connection.prepare_cached(FIND)?;
    statement.query_row([id.as_bytes()], |row| Ok(from_row(row))).optional()?.transpose()
}

/// The same; a row that is damaged is absent.
pub(super) fn find_readable(connection: &Connection, id: ObjectId) -> StepResult<Option<Object>> {
    unless_damaged(RecordKind::Object, find(connection, id)).unwrap_or(Ok(None))
}

/// The live media row of this namespace and digest.
pub(super) fn live_media(
    connection: &Connection,
    namespace: Namespace,
    digest: Digest,
) -> StepResult<Option<Object>> {
    let mut statement = connection.prepare_cached(LIVE_MEDIA)?;
    let params = named_params! { ":namespace": namespace_bytes(&namespace), ":digest": digest.as_bytes() };
    statement.query_row(params, |row| Ok(from_row(row))).optional()?.transpose()
}

/// Whether there is a row of this id, readable or not.
pub(super) fn is_present(connection: &Connection, id: ObjectId) -> StepResult<bool> {
    let exists = "SELECT EXISTS (SELECT 1 FROM objects WHERE id = ?1)";
    Ok(connection.prepare_cached(exists)?.query_one([id.as_bytes()], |row| row.get(0))?)
}

/// Adds a row, if there is none of its id; returns whether it was added.
pub(super) fn insert(connection: &Connection, row: &Object) -> StepResult<bool> {
    Ok(execute_with(connection, INSERT, row)? > 0)
}

/// Adds the row and the bytes of an inline object.
pub(super) fn insert_inline(connection: &Connection, row: &Object, bytes: &[u8]) -> StepResult<()> {
    if !insert(connection, row)? {
        return Err(Error::ObjectExists.into());
    }
    let add = "INSERT INTO inline_bytes (id, bytes) VALUES (?1, ?2)";
    connection.prepare_cached(add)?.execute((row.id.as_bytes(), bytes))?;
    Ok(())
}

/// Writes a row that exists; removes it, with its bytes, if it is gone. No record may refer to it any more then.
pub(super) fn write(connection: &Connection, row: &Object) -> StepResult<()> {
    if !row.is_gone() {
        return execute_with(connection, UPDATE, row).map(drop);
    }
    holds::keep_bytes(connection, row.id)?;
    for remove in ["DELETE FROM inline_bytes WHERE id = ?1", "DELETE FROM objects WHERE id = ?1"] {
        connection.prepare_cached(remove)?.execute([row.id.as_bytes()])?;
    }
    Ok(())
}

/// Runs a statement that lists rows: those after the id `from`, or those with a time before `from`, as the statement
/// says. They are read one by one until there are enough, so that a damaged row makes no page shorter.
fn list(connection: &Connection, sql: &str, from: &dyn ToSql, limit: usize) -> StepResult<Vec<Object>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_and_then(named_params! { ":from": from }, from_row)?;
    rows.filter_map(|row| unless_damaged(RecordKind::Object, row)).take(limit).collect()
}

/// The bytes of an id; without an id no bytes, which sort before all ids.
fn place(after: &Option<ObjectId>) -> &[u8] {
    after.as_ref().map_or(&[], |id| id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn each_statement_over_the_ledger_walks_an_index() {
        let database = empty_database();
        for (sql, step) in [
            (LIVE_MEDIA, "SEARCH objects USING INDEX objects_live_media (namespace=? AND digest=?)"),
            (LIVE_NOTES_SAMPLE, "SCAN objects USING INDEX objects_live_notes"),
            (STALE_RESERVED, "SEARCH objects USING INDEX objects_reserved (since<?)"),
            (STALE_UNREFERENCED, "SEARCH objects USING INDEX objects_unreferenced (since<?)"),
            (DOOMED, "SEARCH objects USING INDEX objects_doomed (id>?)"),
            (ALL, "SEARCH objects USING PRIMARY KEY (id>?)"),
        ] {
            assert_eq!(query_plan(&database, sql), [step], "{sql}");
        }
    }
}
