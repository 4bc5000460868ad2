use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::account::{find_epoch, update_epoch};
use super::error::{Result as StepResult, unless_damaged};
use super::rows::users::{from_row, user_columns};
use super::{SqliteRecords, account, purge, restore_mark, sessions};
use crate::clock::Timestamp;
use crate::domain::{Caller, Email, PasswordHash, RevocationReason, Session, User, UserId};
use crate::error::{Error, Result};
use crate::records::{RecordKind, UserStore};

#[async_trait]
impl UserStore for SqliteRecords {
    async fn create_user(&self, user: &User) -> Result<()> {
        let user = user.clone();
        self.write(move |connection| {
            if restore_mark::find(connection)?.is_some() {
                return Err(Error::Restoring.into());
            }
            if insert(connection, &user)? { Ok(()) } else { Err(Error::EmailTaken.into()) }
        })
        .await
    }

    async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        self.look_up(move |connection| account::find(connection, id)).await
    }

    async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>> {
        let email = email.clone();
        self.look_up(move |connection| {
            let mut statement = connection.prepare_cached(FIND_BY_EMAIL)?;
            statement.query_row([email.as_str()], |row| Ok(from_row(row))).optional()?.transpose()
        })
        .await
    }

    async fn list_users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(concat!(
                "SELECT ",
                user_columns!(),
                " FROM users WHERE id > ?1 ORDER BY id"
            ))?;
            let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
            let users = statement.query_and_then([after], from_row)?;
            users.filter_map(|user| unless_damaged(RecordKind::User, user)).take(limit).collect()
        })
        .await
    }

    async fn replace_password_hash(
        &self,
        id: UserId,
        before: &PasswordHash,
        after: &PasswordHash,
    ) -> Result<bool> {
        let (before, after) = (before.clone(), after.clone());
        self.write_essential(move |connection| replace_hash(connection, id, &before, &after)).await
    }

    async fn change_password(
        &self,
        caller: Caller,
        before: &PasswordHash,
        after: &PasswordHash,
        session: &Session,
        now: Timestamp,
    ) -> Result<Option<Session>> {
        let (before, after, session) = (before.clone(), after.clone(), session.clone());
        self.write_essential(move |connection| {
            change_password(connection, caller, &before, &after, &session, now)
        })
        .await
    }

    async fn remove_user(&self, caller: Caller, now: Timestamp) -> Result<bool> {
        self.write_essential(move |connection| {
            sessions::admit(connection, caller, now)?;
            let id = caller.user;
            let removed =
                connection.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([id.as_bytes()])?;
            if removed > 0 {
                let remember = "INSERT INTO removed_users (id) VALUES (?1)";
                connection.prepare_cached(remember)?.execute([id.as_bytes()])?;
            }
            Ok(removed > 0)
        })
        .await
    }

    async fn purge_removed(&self, limit: usize, now: Timestamp) -> Result<usize> {
        self.write_essential(move |connection| purge::purge_removed(connection, limit, now)).await
    }
}

const FIND_BY_EMAIL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE email = ?1");

fn change_password(
    connection: &Connection,
    caller: Caller,
    before: &PasswordHash,
    after: &PasswordHash,
    session: &Session,
    now: Timestamp,
) -> StepResult<Option<Session>> {
    sessions::admit(connection, caller, now)?;
    let Some(epoch) = find_epoch(connection, session.user)? else { return Ok(None) };
    if !replace_hash(connection, session.user, before, after)? {
        return Ok(None);
    }
    let next = epoch.next(now, RevocationReason::PasswordChanged);
    update_epoch(connection, session.user, next)?;
    let session = session.clone().in_epoch(next);
    sessions::insert(connection, &session)?;
    Ok(Some(session))
}

/// Compare-and-swap: returns false if the hash is no longer `before`.
fn replace_hash(
    connection: &Connection,
    id: UserId,
    before: &PasswordHash,
    after: &PasswordHash,
) -> StepResult<bool> {
    let replace = "UPDATE users SET password_hash = :after WHERE id = :id AND password_hash = :before";
    let replaced = connection.prepare_cached(replace)?.execute(named_params! {
        ":id": id.as_bytes(),
        ":before": before.as_phc(),
        ":after": after.as_phc(),
    })?;
    Ok(replaced > 0)
}

/// Adds a user record, if no account has its email address; returns whether it was added.
pub(super) fn insert(connection: &Connection, user: &User) -> StepResult<bool> {
    let insert = "
        INSERT INTO users
            (id, email, password_hash, created, usage_projects, usage_bytes, usage_record_bytes, usage_trashed,
             usage_kept_bytes, usage_kept_record_bytes, saves, revision_floor, session_epoch, epoch_begun_at,
             epoch_begun_reason)
        VALUES
            (:id, :email, :password_hash, :created, :usage_projects, :usage_bytes, :usage_record_bytes,
             :usage_trashed, :usage_kept_bytes, :usage_kept_record_bytes, :saves, :revision_floor, :session_epoch,
             :epoch_begun_at, :epoch_begun_reason)
        ON CONFLICT (email) DO NOTHING";
    let inserted = connection.prepare_cached(insert)?.execute(named_params! {
        ":id": user.id.as_bytes(),
        ":email": user.email.as_str(),
        ":password_hash": user.password_hash.as_phc(),
        ":created": user.created.as_millis(),
        ":usage_projects": user.usage.projects,
        ":usage_bytes": user.usage.bytes,
        ":usage_record_bytes": user.usage.record_bytes,
        ":usage_trashed": user.usage.trashed,
        ":usage_kept_bytes": user.usage.kept_bytes,
        ":usage_kept_record_bytes": user.usage.kept_record_bytes,
        ":saves": user.saves,
        ":revision_floor": user.revision_floor.get(),
        ":session_epoch": user.session_epoch.number,
        ":epoch_begun_at": user.session_epoch.begun_by.map(|revocation| revocation.at.as_millis()),
        ":epoch_begun_reason": user.session_epoch.begun_by.map(|revocation| revocation.reason.as_str()),
    })?;
    Ok(inserted > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::empty_database;

    #[test]
    fn a_password_change_writes_the_same_count_of_rows_for_any_count_of_sessions() {
        let written = [0, 1, 300].map(|count| {
            let database = empty_database();
            let (user, session) = sessions::tests::user_with_sessions(&database, count);
            let (before, after) = (&user.password_hash, PasswordHash::new("$argon2id$other"));
            let rows = database.total_changes();
            let caller = user.id.into();
            let changed = change_password(&database, caller, before, &after, &session, user.created).unwrap();
            assert!(changed.is_some());
            database.total_changes() - rows
        });
        assert_eq!(written, [3; 3], "the hash, the epoch and the new session");
    }
}
