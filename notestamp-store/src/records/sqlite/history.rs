use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::columns::row_limit;
use super::error::{Result as StepResult, unless_damaged};
use super::rows::versions::{from_row, version_columns};
use super::{SqliteRecords, account, purge};
use crate::clock::Timestamp;
use crate::domain::{Project, ProjectId, Revision, UserId, Version, VersionTimes};
use crate::error::Result;
use crate::protocol::Holding;
use crate::protocol::thinning::surplus;
use crate::records::{HistoryStore, RecordKind, ReplacedAt, ThinnedHistory};

#[async_trait]
impl HistoryStore for SqliteRecords {
    async fn find_version(
        &self,
        owner: UserId,
        project: ProjectId,
        revision: Revision,
    ) -> Result<Option<Version>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(FIND)?;
            let params = named_params! {
                ":id": project.as_bytes(), ":revision": revision_number(revision), ":owner": owner.as_bytes(),
            };
            statement.query_row(params, |row| Ok(from_row(row))).optional()?.transpose()
        })
        .await
    }

    async fn list_versions(
        &self,
        owner: UserId,
        project: ProjectId,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Version>> {
        self.read_list(owner, move |connection| {
            let mut statement = connection.prepare_cached(LIST)?;
            let params = named_params! {
                ":id": project.as_bytes(),
                ":before": before.map_or(i64::MAX, revision_number),
                ":owner": owner.as_bytes(),
            };
            let versions = statement.query_and_then(params, from_row)?;
            versions.filter_map(|row| unless_damaged(RecordKind::Version, row)).take(limit).collect()
        })
        .await
    }

    async fn list_replaced(
        &self,
        span: Range<Timestamp>,
        after: Option<ReplacedAt>,
        limit: usize,
    ) -> Result<Vec<ReplacedAt>> {
        self.read(move |connection| {
            let (id, revision): (&[u8], _) = match &after {
                Some(after) => (after.project.as_bytes(), revision_number(after.revision)),
                None => (&[], 0),
            };
            let from = after.map_or(span.start, |after| after.replaced.max(span.start));
            let mut statement = connection.prepare_cached(REPLACED)?;
            let params = named_params! {
                ":from": from.as_millis(),
                ":id": id,
                ":revision": revision,
                ":to": span.end.as_millis(),
                ":limit": row_limit(limit),
            };
            let places = statement.query_map(params, |row| {
                Ok(ReplacedAt {
                    replaced: Timestamp::from_millis(row.get(0)?),
                    project: ProjectId::from_bytes(row.get(1)?),
                    revision: Revision::new(row.get(2)?),
                    owner: UserId::from_bytes(row.get(3)?),
                })
            })?;
            Ok(places.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn thin_history(
        &self,
        owner: UserId,
        project: ProjectId,
        history: Option<Duration>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ThinnedHistory> {
        self.write_essential(move |connection| {
            let Some(user) = account::find(connection, owner)? else { return Ok(ThinnedHistory::default()) };
            let times = times(connection, project, usize::MAX)?;
            let surplus: Vec<_> = surplus(&times, history, now).into_iter().rev().take(limit).collect();
            let states = find_readable(connection, project, &surplus)?;
            let (purged, mut doomed) = (states.len(), Vec::new());
            let user = purge::purge(connection, user, states, now, &mut doomed)?;
            account::update_usage(connection, &user)?;
            Ok(ThinnedHistory { purged, doomed })
        })
        .await
    }
}

const FIND: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM versions
    WHERE id = :id AND revision = :revision AND owner = :owner
        AND EXISTS (SELECT 1 FROM users WHERE id = :owner)"
);

const LIST: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM versions
    WHERE id = :id AND revision < :before AND owner = :owner
        AND EXISTS (SELECT 1 FROM users WHERE id = :owner)
    ORDER BY revision DESC"
);

const REPLACED: &str = "
    SELECT replaced, id, revision, owner FROM versions INDEXED BY versions_by_replaced
    WHERE (replaced, id, revision) > (:from, :id, :revision) AND replaced < :to
    ORDER BY replaced, id, revision LIMIT :limit";

const TIMES: &str = "
    SELECT revision, saved, replaced FROM versions WHERE id = ?1 ORDER BY revision DESC LIMIT ?2";

/// A revision comes from a client and may be any number; no stored one is greater than `i64::MAX`.
fn revision_number(revision: Revision) -> i64 {
    i64::try_from(revision.get()).unwrap_or(i64::MAX)
}

/// The times of the newest versions of a project, the newest first.
pub(super) fn times(
    connection: &Connection,
    project: ProjectId,
    limit: usize,
) -> StepResult<Vec<VersionTimes>> {
    let mut statement = connection.prepare_cached(TIMES)?;
    let times = statement.query_map((project.as_bytes(), row_limit(limit)), |row| {
        Ok(VersionTimes {
            revision: Revision::new(row.get(0)?),
            saved: Timestamp::from_millis(row.get(1)?),
            replaced: Timestamp::from_millis(row.get(2)?),
        })
    })?;
    Ok(times.collect::<rusqlite::Result<_>>()?)
}

/// These versions of a project, to be purged; those that are damaged are left out.
pub(super) fn find_readable(
    connection: &Connection,
    project: ProjectId,
    revisions: &[Revision],
) -> StepResult<Vec<(Holding, Project)>> {
    let mut states = Vec::with_capacity(revisions.len());
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        version_columns!(),
        " FROM versions WHERE id = ?1 AND revision = ?2"
    ))?;
    for revision in revisions {
        let params = (project.as_bytes(), revision_number(*revision));
        let found = statement.query_row(params, |row| Ok(from_row(row))).optional()?;
        if let Some(version) = found.and_then(|row| unless_damaged(RecordKind::Version, row)) {
            states.push((Holding::Version, version?.project));
        }
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn each_statement_over_versions_walks_an_index() {
        let database = empty_database();
        for (sql, index) in [
            (FIND, " (id=? AND revision=?)"),
            (LIST, " (id=? AND revision<?)"),
            (REPLACED, "versions_by_replaced ((replaced,id,revision)>(?,?,?) AND replaced<?)"),
            (TIMES, " (id=?)"),
        ] {
            let plan = query_plan(&database, sql);
            let walks = |step: &String| step.starts_with("SEARCH versions") && step.ends_with(index);
            assert!(plan.iter().any(walks), "{sql}: {plan:#?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {plan:#?}");
        }
    }
}
