//! Purges what removed accounts have left.

use rusqlite::Connection;

use super::columns::row_limit;
use super::error::{Result, unless_damaged};
use super::{ngrams, objects};
use crate::clock::Timestamp;
use crate::domain::{ObjectId, ProjectId};
use crate::protocol::plan_purge;
use crate::records::RecordKind;

/// Purges up to `limit` records of removed accounts; returns the count.
pub(super) fn purge_removed(connection: &Connection, limit: usize, now: Timestamp) -> Result<usize> {
    let sessions = connection.prepare_cached(PURGE_SESSIONS)?.execute([row_limit(limit)])?;
    let purged = sessions + purge_projects(connection, limit - sessions, now)?;
    if purged < limit {
        connection.prepare_cached(FORGET_REMOVED)?.execute(())?;
    }
    Ok(purged)
}

/// Accounts with remaining records are not forgotten: these records cannot be read.
const FORGET_REMOVED: &str = "
    DELETE FROM removed_users
    WHERE NOT EXISTS (SELECT 1 FROM projects WHERE owner = removed_users.id)
        AND NOT EXISTS (SELECT 1 FROM sessions WHERE user = removed_users.id)";

const PURGE_SESSIONS: &str = "
    DELETE FROM sessions WHERE id IN
        (SELECT id FROM sessions WHERE user IN (SELECT id FROM removed_users) LIMIT ?1)";

const OF_REMOVED: &str = "
    SELECT id, notes, media FROM projects WHERE owner IN (SELECT id FROM removed_users)";

/// Purges up to `limit` projects; returns the count. Only their references need be readable.
fn purge_projects(connection: &Connection, limit: usize, now: Timestamp) -> Result<usize> {
    let mut statement = connection.prepare_cached(OF_REMOVED)?;
    let left = statement.query_and_then((), |row| {
        let (id, media): (Vec<u8>, Option<[u8; 16]>) = (row.get("id")?, row.get("media")?);
        Ok((id, ObjectId::from_bytes(row.get("notes")?), media.map(ObjectId::from_bytes)))
    })?;
    let left = left.filter_map(|row| unless_damaged(RecordKind::Project, row)).take(limit);
    let left: Vec<_> = left.collect::<Result<_>>()?;
    let count = left.len();
    for (id, notes, media) in left {
        let notes = objects::find_readable(connection, notes)?;
        let media = match media {
            Some(media) => objects::find_readable(connection, media)?,
            None => None,
        };
        connection.prepare_cached("DELETE FROM projects WHERE id = ?1")?.execute([&id])?;
        if let Ok(id) = <[u8; 16]>::try_from(&*id) {
            ngrams::remove(connection, ProjectId::from_bytes(id))?;
        }
        for row in plan_purge(notes.as_ref(), media.as_ref(), now) {
            objects::update(connection, &row)?;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn purging_walks_an_index() {
        let database = empty_database();
        for (sql, index) in [(PURGE_SESSIONS, "sessions_by_user (user=?)"), (OF_REMOVED, "(owner=?)")] {
            let plan = query_plan(&database, sql);
            assert!(plan.iter().any(|step| step.starts_with("SEARCH") && step.contains(index)), "{plan:#?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER")), "{sql}: {plan:#?}");
        }
    }
}
