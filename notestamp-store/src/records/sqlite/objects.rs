use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};

use super::error::{Failure, Result as StepResult, unless_damaged};
use super::{SqliteRecords, row_limit};
use crate::clock::Timestamp;
use crate::domain::{Digest, Namespace, Object, ObjectId, ObjectKind, ObjectState, UserId};
use crate::error::{Error, Result};
use crate::protocol::{StaleBefore, discard, doom_if_stale};
use crate::records::{ObjectLedger, RecordKind};

#[async_trait]
impl ObjectLedger for SqliteRecords {
    async fn reserve(&self, rows: &[Object]) -> Result<()> {
        let rows = rows.to_vec();
        self.write(move |connection| {
            for row in &rows {
                if execute_with(connection, INSERT, row)? == 0 {
                    return Err(Error::AlreadyExists { what: "object" }.into());
                }
            }
            Ok(())
        })
        .await
    }

    async fn find_object(&self, id: ObjectId) -> Result<Option<Object>> {
        self.read(move |connection| find(connection, id)).await
    }

    async fn find_live_media(&self, namespace: Namespace, digest: Digest) -> Result<Option<Object>> {
        self.read(move |connection| live_media(connection, namespace, digest)).await
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
                if let Ok(doomed) = discard(row.as_ref(), now) {
                    update(connection, &doomed)?;
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
                update(connection, &doomed)?;
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
}

const INSERT: &str = "
    INSERT INTO objects (id, kind, namespace, state, digest, size, reference_count, since)
    VALUES (:id, :kind, :namespace, :state, :digest, :size, :reference_count, :since)
    ON CONFLICT (id) DO NOTHING";

const UPDATE: &str = "
    UPDATE objects SET
        kind = :kind, namespace = :namespace, state = :state, digest = :digest, size = :size,
        reference_count = :reference_count, since = :since
    WHERE id = :id";

const LIVE_MEDIA: &str = "
    SELECT * FROM objects
    WHERE namespace = :namespace AND digest = :digest AND kind = 'media' AND state = 'live'";

/// The ids come from `projects`: each project has notes, and no index covers live notes.
const LIVE_NOTES_SAMPLE: &str = "
    SELECT * FROM objects WHERE id IN (SELECT notes FROM projects LIMIT ?1) AND state = 'live'";

const LIVE_MEDIA_SAMPLE: &str = "
    SELECT * FROM objects INDEXED BY objects_live_media WHERE kind = 'media' AND state = 'live' LIMIT ?1";

const STALE_RESERVED: &str = "
    SELECT * FROM objects INDEXED BY objects_reserved
    WHERE state = 'reserved' AND since < :from ORDER BY since";

const STALE_UNREFERENCED: &str = "
    SELECT * FROM objects INDEXED BY objects_unreferenced
    WHERE state = 'live' AND reference_count = 0 AND since < :from ORDER BY since";

const DOOMED: &str = "
    SELECT * FROM objects INDEXED BY objects_doomed
    WHERE state = 'doomed' AND id > :from ORDER BY id";

const ALL: &str = "SELECT * FROM objects WHERE id > :from ORDER BY id";

pub(super) fn find(connection: &Connection, id: ObjectId) -> StepResult<Option<Object>> {
    let mut statement = connection.prepare_cached("SELECT * FROM objects WHERE id = ?1")?;
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

/// Writes a row that exists.
pub(super) fn update(connection: &Connection, row: &Object) -> StepResult<()> {
    execute_with(connection, UPDATE, row).map(drop)
}

/// The stored form of a namespace: its owner's id, or no bytes if it is shared.
pub(super) fn namespace_bytes(namespace: &Namespace) -> &[u8] {
    match namespace {
        Namespace::Owner(owner) => owner.as_bytes(),
        Namespace::Shared => &[],
    }
}

/// Parses the stored form that [`namespace_bytes`] makes.
pub(super) fn namespace_from(bytes: &[u8], column: &'static str) -> StepResult<Namespace> {
    match bytes {
        [] => Ok(Namespace::Shared),
        bytes => match <[u8; 16]>::try_from(bytes) {
            Ok(owner) => Ok(Namespace::Owner(UserId::from_bytes(owner))),
            Err(_) => Err(Failure::Column { column }),
        },
    }
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

/// Executes a statement that has all columns of a row as parameters.
fn execute_with(connection: &Connection, sql: &str, row: &Object) -> StepResult<usize> {
    let digest = row.content.as_ref().map(|(digest, _)| digest.as_bytes());
    Ok(connection.prepare_cached(sql)?.execute(named_params! {
        ":id": row.id.as_bytes(),
        ":kind": kind_word(row.kind),
        ":namespace": namespace_bytes(&row.namespace),
        ":state": state_word(row.state),
        ":digest": digest,
        ":size": row.content.map(|(_, size)| size),
        ":reference_count": row.references,
        ":since": row.since.as_millis(),
    })?)
}

pub(super) fn from_row(row: &Row<'_>) -> StepResult<Object> {
    let digest = row.get::<_, Option<_>>("digest")?.map(Digest::from_bytes);
    Ok(Object {
        id: ObjectId::from_bytes(row.get("id")?),
        kind: parse_word(row, "kind", [ObjectKind::Notes, ObjectKind::Media], kind_word)?,
        namespace: namespace_from(&row.get::<_, Vec<u8>>("namespace")?, "objects.namespace")?,
        state: parse_word(
            row,
            "state",
            [ObjectState::Reserved, ObjectState::Live, ObjectState::Doomed],
            state_word,
        )?,
        content: digest.zip(row.get("size")?),
        references: row.get("reference_count")?,
        since: Timestamp::from_millis(row.get("since")?),
    })
}

fn kind_word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Notes => "notes",
        ObjectKind::Media => "media",
    }
}

fn state_word(state: ObjectState) -> &'static str {
    match state {
        ObjectState::Reserved => "reserved",
        ObjectState::Live => "live",
        ObjectState::Doomed => "doomed",
    }
}

/// Parses the word that a column holds.
fn parse_word<T: Copy, const N: usize>(
    row: &Row<'_>,
    column: &'static str,
    values: [T; N],
    word: fn(T) -> &'static str,
) -> StepResult<T> {
    let found: String = row.get(column)?;
    values.into_iter().find(|value| word(*value) == found).ok_or(Failure::Column { column })
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
            (STALE_RESERVED, "SEARCH objects USING INDEX objects_reserved (since<?)"),
            (STALE_UNREFERENCED, "SEARCH objects USING INDEX objects_unreferenced (since<?)"),
            (DOOMED, "SEARCH objects USING INDEX objects_doomed (id>?)"),
            (ALL, "SEARCH objects USING PRIMARY KEY (id>?)"),
        ] {
            assert_eq!(query_plan(&database, sql), [step], "{sql}");
        }
    }
}
