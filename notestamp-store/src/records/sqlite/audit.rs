//! Counts anew what the records keep as numbers.

use async_trait::async_trait;
use rusqlite::{Connection, Row};

use super::error::{Result as StepResult, unless_damaged};
use super::rows::objects::object_columns;
use super::rows::projects::project_columns;
use super::rows::users::user_columns;
use super::rows::{objects as rows_of_objects, projects as rows_of_projects, users as rows_of_users};
use super::{SqliteRecords, objects};
use crate::clock::Timestamp;
use crate::domain::{Object, ObjectId, Project, ProjectId, Title, Usage, User, UserId};
use crate::error::Result;
use crate::protocol::recount;
use crate::records::{AuditedObject, DanglingPage, RecordAudit, RecordKind, Referrers};

#[async_trait]
impl RecordAudit for SqliteRecords {
    async fn count_objects(&self) -> Result<u64> {
        self.read(
            |connection| Ok(connection.query_one("SELECT count(*) FROM objects", (), |row| row.get(0))?),
        )
        .await
    }

    async fn audit_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<AuditedObject>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(OBJECTS)?;
            let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
            let rows = statement.query_and_then([after], |row| -> StepResult<_> {
                let (counted, inline_size) = (row.get("counted")?, row.get("inline_size")?);
                Ok(AuditedObject { row: rows_of_objects::from_row(row)?, counted, inline_size })
            })?;
            rows.filter_map(|row| unless_damaged(RecordKind::Object, row)).take(limit).collect()
        })
        .await
    }

    async fn find_referrers(&self, id: ObjectId) -> Result<Referrers> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(REFERRERS)?;
            let mut rows = statement.query([id.as_bytes()])?;
            let mut found = Referrers::default();
            while let Some(row) = rows.next()? {
                found.count += 1;
                found.first = found.first.or_else(|| referrer(row));
            }
            Ok(found)
        })
        .await
    }

    async fn find_dangling(&self, after: Option<ProjectId>, limit: usize) -> Result<DanglingPage> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(DANGLING)?;
            let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
            let rows = statement.query_and_then([after], |row| -> StepResult<(bool, Project)> {
                Ok((row.get("dangles")?, rows_of_projects::from_row(row)?))
            })?;
            let rows = rows.filter_map(|row| unless_damaged(RecordKind::Project, row)).take(limit);
            let rows: Vec<_> = rows.collect::<StepResult<_>>()?;
            let next = rows.last().filter(|_| rows.len() == limit).map(|(_, project)| project.id);
            let dangling = rows.into_iter().filter(|(dangles, _)| *dangles);
            Ok(DanglingPage { projects: dangling.map(|(_, project)| project).collect(), next })
        })
        .await
    }

    async fn audit_usage(&self, after: Option<UserId>, limit: usize) -> Result<Vec<(User, Usage)>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(USERS)?;
            let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
            let users = statement.query_and_then([after], |row| -> StepResult<_> {
                let usage = Usage {
                    projects: row.get("counted_projects")?,
                    bytes: row.get("counted_bytes")?,
                    record_bytes: row.get("counted_record_bytes")?,
                    trashed: row.get("counted_trashed")?,
                    kept_bytes: row.get("counted_kept_bytes")?,
                    kept_record_bytes: row.get("counted_kept_record_bytes")?,
                };
                Ok((rows_of_users::from_row(row)?, usage))
            })?;
            users.filter_map(|user| unless_damaged(RecordKind::User, user)).take(limit).collect()
        })
        .await
    }

    async fn correct_references(&self, id: ObjectId, now: Timestamp) -> Result<bool> {
        self.write_essential(move |connection| {
            let Some(row) = objects::find(connection, id)? else { return Ok(false) };
            match recount(&row, count_references(connection, id)?, now) {
                None => Ok(false),
                Some(corrected) => objects::write(connection, &corrected).map(|()| true),
            }
        })
        .await
    }

    async fn correct_usage(&self, id: UserId) -> Result<bool> {
        self.write_essential(move |connection| {
            Ok(connection.prepare_cached(CORRECT_USAGE)?.execute([id.as_bytes()])? > 0)
        })
        .await
    }

    async fn restore_row(&self, row: &Object) -> Result<bool> {
        let row = row.clone();
        self.write_essential(move |connection| {
            let references = count_references(connection, row.id)?;
            if references == 0 || objects::is_present(connection, row.id)? {
                return Ok(false);
            }
            objects::insert(connection, &Object { references, ..row.clone() })
        })
        .await
    }
}

/// Counts the references to the object of this id: of projects, versions and the trash.
macro_rules! references {
    ($id:literal) => {
        concat!(
            "(SELECT count(*) FROM projects WHERE notes = ",
            $id,
            ") + (SELECT count(*) FROM projects WHERE media = ",
            $id,
            ") + (SELECT count(*) FROM versions WHERE notes = ",
            $id,
            ") + (SELECT count(*) FROM versions WHERE media = ",
            $id,
            ") + (SELECT count(*) FROM trash WHERE notes = ",
            $id,
            ") + (SELECT count(*) FROM trash WHERE media = ",
            $id,
            ")"
        )
    };
}

/// What the records of an account in this table cost: see [`Project::record_bytes`].
macro_rules! record_bytes {
    ($states:literal) => {
        concat!(
            "(SELECT coalesce(sum(1024 + octet_length(title) + octet_length(type) + octet_length(label)
                + octet_length(src) + octet_length(mimetype) + octet_length(last_modified_text)
                + octet_length(extra)), 0) FROM ",
            $states,
            " WHERE owner = users.id)"
        )
    };
}

const _: () = assert!(Project::RECORD_BYTES == 1024);

/// The bytes of the notes of an account in this table.
macro_rules! notes_bytes {
    ($states:literal) => {
        concat!("(SELECT coalesce(sum(notes_size), 0) FROM ", $states, " WHERE owner = users.id)")
    };
}

/// What an account uses: see [`Usage`].
macro_rules! usage {
    (projects) => {
        "(SELECT count(*) FROM projects WHERE owner = users.id)"
    };
    (bytes) => {
        concat!(
            notes_bytes!("projects"),
            " + (SELECT coalesce(sum(media_size), 0) FROM
                (SELECT DISTINCT media_digest, media_size FROM projects
                 WHERE owner = users.id AND media_digest IS NOT NULL))"
        )
    };
    (record_bytes) => {
        record_bytes!("projects")
    };
    (trashed) => {
        "(SELECT count(*) FROM trash WHERE owner = users.id)"
    };
    (kept_bytes) => {
        concat!(
            notes_bytes!("versions"),
            " + ",
            notes_bytes!("trash"),
            " + (SELECT coalesce(sum(media_size), 0) FROM
                (SELECT media_digest, media_size FROM versions
                 WHERE owner = users.id AND media_digest IS NOT NULL
                 UNION SELECT media_digest, media_size FROM trash
                 WHERE owner = users.id AND media_digest IS NOT NULL) AS kept
                WHERE NOT EXISTS (SELECT 1 FROM projects
                    WHERE owner = users.id AND projects.media_digest = kept.media_digest))"
        )
    };
    (kept_record_bytes) => {
        concat!(record_bytes!("versions"), " + ", record_bytes!("trash"))
    };
}

const OBJECTS: &str = concat!(
    "SELECT ",
    object_columns!(),
    ", ",
    references!("objects.id"),
    " AS counted,
        (SELECT octet_length(bytes) FROM inline_bytes WHERE inline_bytes.id = objects.id) AS inline_size
    FROM objects WHERE id > ?1 ORDER BY id"
);

const COUNT_REFERENCES: &str = concat!("SELECT ", references!("?1"));

const REFERRERS: &str = "
    SELECT owner, title FROM projects WHERE notes = ?1
    UNION ALL SELECT owner, title FROM projects WHERE media = ?1
    UNION ALL SELECT owner, title FROM versions WHERE notes = ?1
    UNION ALL SELECT owner, title FROM versions WHERE media = ?1
    UNION ALL SELECT owner, title FROM trash WHERE notes = ?1
    UNION ALL SELECT owner, title FROM trash WHERE media = ?1";

const DANGLING: &str = concat!(
    "SELECT ",
    project_columns!(),
    ",
        NOT EXISTS (SELECT 1 FROM objects WHERE objects.id = projects.notes AND state = 'live'
            AND size = notes_size)
        OR media IS NOT NULL AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.id = projects.media
            AND state = 'live' AND digest = media_digest AND size = media_size)
        AS dangles
    FROM projects WHERE id > ?1 ORDER BY id"
);

const USERS: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    usage!(projects),
    " AS counted_projects, ",
    usage!(bytes),
    " AS counted_bytes, ",
    usage!(record_bytes),
    " AS counted_record_bytes, ",
    usage!(trashed),
    " AS counted_trashed, ",
    usage!(kept_bytes),
    " AS counted_kept_bytes, ",
    usage!(kept_record_bytes),
    " AS counted_kept_record_bytes FROM users WHERE id > ?1 ORDER BY id"
);

const CORRECT_USAGE: &str = concat!(
    "UPDATE users SET usage_projects = ",
    usage!(projects),
    ", usage_bytes = ",
    usage!(bytes),
    ", usage_record_bytes = ",
    usage!(record_bytes),
    ", usage_trashed = ",
    usage!(trashed),
    ", usage_kept_bytes = ",
    usage!(kept_bytes),
    ", usage_kept_record_bytes = ",
    usage!(kept_record_bytes),
    " WHERE id = ?1"
);

fn count_references(connection: &Connection, id: ObjectId) -> StepResult<u64> {
    Ok(connection.prepare_cached(COUNT_REFERENCES)?.query_one([id.as_bytes()], |row| row.get(0))?)
}

/// The owner and the title of a project, unless they are damaged.
fn referrer(row: &Row<'_>) -> Option<(UserId, Title)> {
    let (owner, title) = (row.get("owner").ok()?, row.get::<_, String>("title").ok()?);
    Some((UserId::from_bytes(owner), Title::parse(&title).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn each_count_walks_an_index() {
        let database = empty_database();
        for sql in [OBJECTS, COUNT_REFERENCES, REFERRERS, DANGLING, USERS, CORRECT_USAGE] {
            for step in query_plan(&database, sql) {
                for table in ["projects", "versions", "trash", "objects", "inline_bytes"] {
                    assert!(!step.starts_with(&format!("SCAN {table}")), "{sql}: {step}");
                }
            }
        }
    }
}
