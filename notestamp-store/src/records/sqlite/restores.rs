use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;

use super::error::Result as StepResult;
use super::rows::{projects, trash, versions};
use super::{SqliteRecords, account, ngrams, objects, restore_mark, users};
use crate::domain::{Object, ObjectState, RestoreMark, Trashed, User, Version};
use crate::error::{Error, Result};
use crate::records::{RestoreStore, StateKind, StateRecord};

#[async_trait]
impl RestoreStore for SqliteRecords {
    async fn begin_restore(&self, proposed: RestoreMark) -> Result<RestoreMark> {
        self.write(move |connection| {
            match restore_mark::find(connection)? {
                Some(mark) if mark.snapshot == proposed.snapshot => return Ok(mark),
                Some(_) => return Err(Error::Restoring.into()),
                None if !is_empty(connection)? => return Err(Error::NotEmpty.into()),
                None => {}
            }
            let begin = "INSERT INTO restore (only_one, id, snapshot) VALUES (1, ?1, ?2)";
            let mark = (proposed.id.as_bytes(), proposed.snapshot.as_bytes());
            connection.prepare_cached(begin)?.execute(mark)?;
            Ok(proposed)
        })
        .await
    }

    async fn find_restore(&self) -> Result<Option<RestoreMark>> {
        self.look_up(restore_mark::find).await
    }

    async fn restore_object(&self, row: &Object, inline: Option<&Bytes>) -> Result<()> {
        let (row, inline) = (row.clone(), inline.cloned());
        self.write(move |connection| match (objects::find(connection, row.id)?, &inline) {
            (None, Some(bytes)) => objects::insert_inline(connection, &row, bytes),
            (None, None) => objects::insert(connection, &row).map(drop),
            (Some(found), _) if found.state == ObjectState::Reserved => objects::write(connection, &row),
            (Some(_), _) => Ok(()),
        })
        .await
    }

    async fn restore_states(&self, states: &[StateRecord]) -> Result<()> {
        let states = states.to_vec();
        self.write(move |connection| states.iter().try_for_each(|state| restore_state(connection, state)))
            .await
    }

    async fn restore_users(&self, users: &[User]) -> Result<()> {
        let users = users.to_vec();
        self.write(move |connection| {
            for user in &users {
                if account::find(connection, user.id)?.is_none() && !users::insert(connection, user)? {
                    return Err(Error::EmailTaken.into());
                }
            }
            Ok(())
        })
        .await
    }

    async fn end_restore(&self, mark: RestoreMark) -> Result<()> {
        self.write(move |connection| {
            let end = "DELETE FROM restore WHERE id = ?1";
            connection.prepare_cached(end)?.execute([mark.id.as_bytes()])?;
            Ok(())
        })
        .await
    }
}

fn is_empty(connection: &Connection) -> StepResult<bool> {
    let any = "SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM removed_users)
        OR EXISTS (SELECT 1 FROM projects) OR EXISTS (SELECT 1 FROM versions) OR EXISTS (SELECT 1 FROM trash)
        OR EXISTS (SELECT 1 FROM objects)";
    let has_any: bool = connection.prepare_cached(any)?.query_one((), |row| row.get(0))?;
    Ok(!has_any)
}

/// Adds a state of a project, unless an earlier attempt has.
fn restore_state(connection: &Connection, state: &StateRecord) -> StepResult<()> {
    let StateRecord { kind, project, .. } = state;
    let exists = match kind {
        StateKind::Current => "SELECT EXISTS (SELECT 1 FROM projects WHERE id = ?1 AND revision = ?2)",
        StateKind::Replaced(_) => "SELECT EXISTS (SELECT 1 FROM versions WHERE id = ?1 AND revision = ?2)",
        StateKind::Trashed(_) => "SELECT EXISTS (SELECT 1 FROM trash WHERE id = ?1 AND revision = ?2)",
    };
    let key = (project.id.as_bytes(), project.revision.get());
    if connection.prepare_cached(exists)?.query_one(key, |row| row.get(0))? {
        return Ok(());
    }
    let project = project.clone();
    match *kind {
        StateKind::Current => {
            projects::put(connection, &project)?;
            ngrams::add(connection, project.owner, project.id, &project.metadata.title)
        }
        StateKind::Replaced(replaced) => versions::insert(connection, &Version { project, replaced }),
        StateKind::Trashed(deleted) => trash::insert(connection, &Trashed { project, deleted }),
    }
}
