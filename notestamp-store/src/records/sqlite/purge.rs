//! Purges states of projects: of an account by the rules of the protocol, and what removed accounts have left.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::columns::row_limit;
use super::error::{Result, unless_damaged};
use super::media_use::media_use;
use super::rows::trash::{self, trashed_columns};
use super::rows::versions::{self, version_columns};
use super::{ngrams, objects};
use crate::clock::Timestamp;
use crate::domain::{Object, ObjectId, Project, ProjectId, Trashed, User, UserId};
use crate::protocol::{Holding, PurgeReads, plan_purge, release};
use crate::records::RecordKind;

/// Purges up to `limit` records of removed accounts; returns the count.
pub(super) fn purge_removed(connection: &Connection, limit: usize, now: Timestamp) -> Result<usize> {
    let sessions = connection.prepare_cached(PURGE_SESSIONS)?.execute([row_limit(limit)])?;
    let purged = sessions + purge_states_of_removed(connection, limit - sessions, now)?;
    if purged < limit {
        connection.prepare_cached(FORGET_REMOVED)?.execute(())?;
    }
    Ok(purged)
}

/// Accounts with remaining records are not forgotten: these records cannot be read.
const FORGET_REMOVED: &str = "
    DELETE FROM removed_users
    WHERE NOT EXISTS (SELECT 1 FROM projects WHERE owner = removed_users.id)
        AND NOT EXISTS (SELECT 1 FROM versions WHERE owner = removed_users.id)
        AND NOT EXISTS (SELECT 1 FROM trash WHERE owner = removed_users.id)
        AND NOT EXISTS (SELECT 1 FROM sessions WHERE user = removed_users.id)";

const PURGE_SESSIONS: &str = "
    DELETE FROM sessions WHERE id IN
        (SELECT id FROM sessions WHERE user IN (SELECT id FROM removed_users) LIMIT ?1)";

/// The states of projects of removed accounts: where they are on record, the query, and how one is removed.
const OF_REMOVED: [(RecordKind, &str, &str); 3] = [
    (
        RecordKind::Project,
        "SELECT rowid, id, notes, media FROM projects WHERE owner IN (SELECT id FROM removed_users)",
        "DELETE FROM projects WHERE rowid = ?1",
    ),
    (
        RecordKind::Version,
        "SELECT rowid, id, notes, media FROM versions WHERE owner IN (SELECT id FROM removed_users)",
        "DELETE FROM versions WHERE rowid = ?1",
    ),
    (
        RecordKind::Trashed,
        "SELECT rowid, id, notes, media FROM trash WHERE owner IN (SELECT id FROM removed_users)",
        "DELETE FROM trash WHERE rowid = ?1",
    ),
];

/// Purges up to `limit` states of projects of removed accounts; returns the count. Only their references need be
/// readable.
fn purge_states_of_removed(connection: &Connection, limit: usize, now: Timestamp) -> Result<usize> {
    let mut count = 0;
    for (kind, find, remove) in OF_REMOVED {
        let mut statement = connection.prepare_cached(find)?;
        let left = statement.query_and_then((), |row| {
            let (row_id, id): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let media: Option<[u8; 16]> = row.get(3)?;
            let objects = [Some(row.get(2)?), media];
            Ok((row_id, id, objects.into_iter().flatten().map(ObjectId::from_bytes).collect::<Vec<_>>()))
        })?;
        let left = left.filter_map(|row| unless_damaged(kind, row)).take(limit - count);
        let left: Vec<_> = left.collect::<Result<_>>()?;
        count += left.len();
        for (row_id, id, objects) in left {
            connection.prepare_cached(remove)?.execute([row_id])?;
            if let (RecordKind::Project, Ok(id)) = (kind, <[u8; 16]>::try_from(&*id)) {
                ngrams::remove(connection, ProjectId::from_bytes(id))?;
            }
            let rows = readable_rows(connection, &objects)?;
            for row in release(objects, &rows, now) {
                objects::write(connection, &row)?;
            }
        }
    }
    Ok(count)
}

/// Purges these states of an account: removes their records, and takes away their references. Adds the doomed objects
/// to `doomed`, and returns the changed user record, which is not written yet.
pub(super) fn purge(
    connection: &Connection,
    user: User,
    states: Vec<(Holding, Project)>,
    now: Timestamp,
    doomed: &mut Vec<Object>,
) -> Result<User> {
    if states.is_empty() {
        return Ok(user);
    }
    for (holding, project) in &states {
        let id = project.id.as_bytes();
        match holding {
            Holding::Current => {
                connection.prepare_cached("DELETE FROM projects WHERE id = ?1")?.execute([id])?;
                ngrams::remove(connection, project.id)?;
            }
            Holding::Version => {
                let remove = "DELETE FROM versions WHERE id = ?1 AND revision = ?2";
                connection.prepare_cached(remove)?.execute((id, project.revision.get()))?;
            }
            Holding::Trashed => {
                connection.prepare_cached("DELETE FROM trash WHERE id = ?1")?.execute([id])?;
            }
        }
    }
    let media = || states.iter().filter_map(|(_, project)| project.media);
    let notes = states.iter().map(|(_, project)| project.notes.object);
    let objects: BTreeSet<_> = notes.chain(media().map(|media| media.object)).collect();
    let digests: BTreeSet<_> = media().map(|media| media.digest).collect();
    let mut others = Vec::with_capacity(digests.len());
    for digest in digests {
        others.push((digest, media_use(connection, user.id, digest, None)?));
    }
    let rows = readable_rows(connection, &objects.into_iter().collect::<Vec<_>>())?;
    let plan = plan_purge(&PurgeReads { user, states, rows, others }, now);
    for row in &plan.rows {
        objects::write(connection, row)?;
    }
    doomed.extend(plan.doomed().cloned());
    Ok(plan.user)
}

/// A project's current state and its versions, to be purged together. Damaged versions are left out.
pub(super) fn with_versions(
    connection: &Connection,
    holding: Holding,
    project: Project,
) -> Result<Vec<(Holding, Project)>> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT ", version_columns!(), " FROM versions WHERE id = ?1"))?;
    let versions = statement.query_and_then([project.id.as_bytes()], versions::from_row)?;
    let versions = versions.filter_map(|row| unless_damaged(RecordKind::Version, row));
    let versions = versions.map(|version| Ok((Holding::Version, version?.project)));
    let mut states = vec![(holding, project)];
    states.extend(versions.collect::<Result<Vec<_>>>()?);
    Ok(states)
}

const OLDEST_VERSION: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM versions INDEXED BY versions_of_owner_by_replaced
    WHERE owner = ?1 ORDER BY replaced, id, revision"
);

/// Of the versions and the trash of an account, what was replaced or deleted first, with the versions of a project in
/// the trash. Empty if there is nothing.
pub(super) fn oldest_kept(connection: &Connection, owner: UserId) -> Result<Vec<(Holding, Project)>> {
    let mut statement = connection.prepare_cached(OLDEST_VERSION)?;
    let mut versions = statement.query_and_then([owner.as_bytes()], versions::from_row)?;
    let version = versions.find_map(|row| unless_damaged(RecordKind::Version, row)).transpose()?;
    match (version, first_deleted(connection, owner)?) {
        (Some(version), trashed) if trashed.as_ref().is_none_or(|it| version.replaced <= it.deleted) => {
            Ok(vec![(Holding::Version, version.project)])
        }
        (_, Some(trashed)) => with_versions(connection, Holding::Trashed, trashed.project),
        (_, None) => Ok(Vec::new()),
    }
}

const FIRST_DELETED: &str = concat!(
    "SELECT ",
    trashed_columns!(),
    " FROM trash INDEXED BY trash_of_owner_by_deleted WHERE owner = ?1 ORDER BY deleted, id"
);

/// The project in the trash that was deleted first.
pub(super) fn first_deleted(connection: &Connection, owner: UserId) -> Result<Option<Trashed>> {
    let mut statement = connection.prepare_cached(FIRST_DELETED)?;
    let mut trash = statement.query_and_then([owner.as_bytes()], trash::from_row)?;
    trash.find_map(|row| unless_damaged(RecordKind::Trashed, row)).transpose()
}

fn readable_rows(connection: &Connection, objects: &[ObjectId]) -> Result<Vec<Object>> {
    let rows = objects.iter().map(|id| objects::find_readable(connection, *id));
    rows.filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn purging_walks_an_index() {
        let database = empty_database();
        let [(_, projects, _), (_, versions, _), (_, trashed, _)] = OF_REMOVED;
        for (sql, index) in [
            (PURGE_SESSIONS, "sessions_by_user (user=?)"),
            (projects, "(owner=?)"),
            (versions, "(owner=?)"),
            (trashed, "(owner=?)"),
            (OLDEST_VERSION, "versions_of_owner_by_replaced (owner=?)"),
            (FIRST_DELETED, "trash_of_owner_by_deleted (owner=?)"),
        ] {
            let plan = query_plan(&database, sql);
            assert!(plan.iter().any(|step| step.starts_with("SEARCH") && step.contains(index)), "{plan:#?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER")), "{sql}: {plan:#?}");
        }
    }
}
