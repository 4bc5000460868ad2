use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::columns::row_limit;
use super::error::{Result as StepResult, unless_damaged};
use super::media_use::media_use;
use super::projects::{find, find_by_key};
use super::rows::projects::put;
use super::rows::trash::{from_row, insert, trashed_columns};
use super::{SqliteRecords, account, ngrams, purge, sessions};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, MediaRef, Object, Precondition, Project, ProjectId, ProjectKey, TrashCursor, Trashed, UserId,
};
use crate::error::{Error, Result};
use crate::protocol::{
    Holding, MediaUse, TrashReads, TrashRestore, TrashRestoreReads, check_precondition, plan_trash,
    plan_trash_restore,
};
use crate::records::{Deleted, RecordKind, TrashStore};

#[async_trait]
impl TrashStore for SqliteRecords {
    async fn trash_project_if(
        &self,
        caller: Caller,
        key: &ProjectKey,
        precondition: &Precondition,
        trashed_max: u64,
        now: Timestamp,
    ) -> Result<Deleted> {
        let (key, precondition) = (key.clone(), precondition.clone());
        self.write_essential(move |connection| {
            sessions::admit(connection, caller, now)?;
            let project = find_by_key(connection, caller.user, &key)?.ok_or(Error::NoSuchProject)?;
            check_precondition(&precondition, Some(project.revision))?;
            let mut doomed = Vec::new();
            trash(connection, project, trashed_max, now, &mut doomed)?;
            Ok(Deleted { doomed })
        })
        .await
    }

    async fn list_trash(
        &self,
        owner: UserId,
        after: Option<TrashCursor>,
        limit: usize,
    ) -> Result<Vec<Trashed>> {
        self.read_list(owner, move |connection| {
            let mut statement = connection.prepare_cached(LIST)?;
            let (deleted, id) = match &after {
                Some(after) => (after.deleted.as_millis(), *after.id.as_bytes()),
                None => (i64::MAX, [0xff; 16]),
            };
            let params = named_params! { ":owner": owner.as_bytes(), ":deleted": deleted, ":id": id };
            let trash = statement.query_and_then(params, from_row)?;
            trash.filter_map(|row| unless_damaged(RecordKind::Trashed, row)).take(limit).collect()
        })
        .await
    }

    async fn restore_trashed(&self, restore: &TrashRestore) -> Result<Project> {
        let restore = restore.clone();
        self.write(move |connection| {
            sessions::admit(connection, restore.caller, restore.now)?;
            let reads = restore_reads(connection, &restore)?;
            let plan = plan_trash_restore(reads, &restore)?;
            put(connection, &plan.project)?;
            ngrams::add(connection, plan.project.owner, plan.project.id, &plan.project.metadata.title)?;
            account::update_usage(connection, &plan.user)?;
            Ok(plan.project)
        })
        .await
    }

    async fn purge_trashed(
        &self,
        caller: Caller,
        ids: &[ProjectId],
        now: Timestamp,
    ) -> Result<(usize, Deleted)> {
        let ids = ids.to_vec();
        self.write_essential(move |connection| {
            sessions::admit(connection, caller, now)?;
            let (mut count, mut doomed) = (0, Vec::new());
            for id in &ids {
                let Some(trashed) = find_trashed(connection, caller.user, *id)? else { continue };
                purge_one(connection, trashed, now, &mut doomed)?;
                count += 1;
            }
            Ok((count, Deleted { doomed }))
        })
        .await
    }

    async fn list_expired_trash(&self, before: Timestamp, limit: usize) -> Result<Vec<(UserId, ProjectId)>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(EXPIRED)?;
            let expired = statement.query_map((before.as_millis(), row_limit(limit)), |row| {
                Ok((UserId::from_bytes(row.get(0)?), ProjectId::from_bytes(row.get(1)?)))
            })?;
            Ok(expired.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

const FIND: &str = concat!(
    "SELECT ",
    trashed_columns!(),
    " FROM trash
    WHERE id = :id AND owner = :owner AND EXISTS (SELECT 1 FROM users WHERE id = :owner)"
);

const FORGET: &str = "DELETE FROM trash WHERE id = ?1";

const LIST: &str = concat!("SELECT ", trashed_columns!(), " FROM trash INDEXED BY trash_of_owner_by_deleted
    WHERE owner = :owner AND (deleted, id) < (:deleted, :id) AND EXISTS (SELECT 1 FROM users WHERE id = :owner)
    ORDER BY deleted DESC, id DESC");

const EXPIRED: &str = "
    SELECT owner, id FROM trash INDEXED BY trash_by_deleted
    WHERE deleted < ?1 AND owner IN (SELECT id FROM users) ORDER BY deleted, id LIMIT ?2";

/// Moves a project to the trash, and purges what was deleted first if the trash has too many projects then.
fn trash(
    connection: &Connection,
    project: Project,
    trashed_max: u64,
    now: Timestamp,
    doomed: &mut Vec<Object>,
) -> StepResult<()> {
    let owner = project.owner;
    let user = account::find(connection, owner)?.ok_or(Error::NoSuchProject)?;
    connection.prepare_cached("DELETE FROM projects WHERE id = ?1")?.execute([project.id.as_bytes()])?;
    ngrams::remove(connection, project.id)?;
    let others = other_use(connection, owner, project.media)?;
    let plan = plan_trash(TrashReads { user, project, others }, now);
    insert(connection, &plan.trashed)?;
    account::update_usage(connection, &plan.user)?;
    for _ in trashed_max..plan.user.usage.trashed {
        let Some(first) = purge::first_deleted(connection, owner)? else { break };
        purge_one(connection, first, now, doomed)?;
    }
    Ok(())
}

/// Purges a project from the trash.
fn purge_one(
    connection: &Connection,
    trashed: Trashed,
    now: Timestamp,
    doomed: &mut Vec<Object>,
) -> StepResult<()> {
    let Some(user) = account::find(connection, trashed.project.owner)? else { return Ok(()) };
    let states = purge::with_versions(connection, Holding::Trashed, trashed.project)?;
    let user = purge::purge(connection, user, states, now, doomed)?;
    account::update_usage(connection, &user)
}

/// Reads what restoring needs, and removes the project from the trash.
fn restore_reads(connection: &Connection, restore: &TrashRestore) -> StepResult<TrashRestoreReads> {
    let owner = restore.caller.user;
    let trashed = find_trashed(connection, owner, restore.id)?;
    let title_taken = match &trashed {
        Some(trashed) => find(connection, owner, restore.title(trashed))?.is_some(),
        None => false,
    };
    connection.prepare_cached(FORGET)?.execute([restore.id.as_bytes()])?;
    let media = trashed.as_ref().and_then(|trashed| trashed.project.media);
    let others = other_use(connection, owner, media)?;
    Ok(TrashRestoreReads { user: account::find(connection, owner)?, trashed, title_taken, others })
}

/// How the other records of an account use the media of a project, whose own record has been removed.
fn other_use(connection: &Connection, owner: UserId, media: Option<MediaRef>) -> StepResult<MediaUse> {
    match media {
        Some(media) => media_use(connection, owner, media.digest, None),
        None => Ok(MediaUse::default()),
    }
}

fn find_trashed(connection: &Connection, owner: UserId, id: ProjectId) -> StepResult<Option<Trashed>> {
    let mut statement = connection.prepare_cached(FIND)?;
    let params = named_params! { ":id": id.as_bytes(), ":owner": owner.as_bytes() };
    statement.query_row(params, |row| Ok(from_row(row))).optional()?.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn each_statement_over_the_trash_walks_an_index() {
        let database = empty_database();
        for (sql, index) in [
            (FIND, " (id=?)"),
            (LIST, "trash_of_owner_by_deleted (owner=? AND (deleted,id)<(?,?))"),
            (EXPIRED, "trash_by_deleted (deleted<?)"),
        ] {
            let plan = query_plan(&database, sql);
            let walks = |step: &String| step.starts_with("SEARCH trash") && step.ends_with(index);
            assert!(plan.iter().any(walks), "{sql}: {plan:#?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {plan:#?}");
        }
    }
}
