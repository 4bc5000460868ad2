use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::error::Result as StepResult;
use super::{SqliteRecords, projects, row_limit, sessions};
use crate::clock::Timestamp;
use crate::domain::{Caller, Email, PasswordHash, Revision, RevocationReason, Session, Usage, User, UserId};
use crate::error::{Error, Result};
use crate::records::UserStore;

#[async_trait]
impl UserStore for SqliteRecords {
    async fn create_user(&self, user: &User) -> Result<()> {
        let user = user.clone();
        self.write(move |connection| {
            if insert(connection, &user)? {
                Ok(())
            } else {
                Err(Error::AlreadyExists { what: "account" }.into())
            }
        })
        .await
    }

    async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        self.read(move |connection| find(connection, id)).await
    }

    async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>> {
        let email = email.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM users WHERE email = ?1")?;
            statement.query_row([email.as_str()], |row| Ok(from_row(row))).optional()?.transpose()
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
    ) -> Result<bool> {
        let (before, after, session) = (before.clone(), after.clone(), session.clone());
        self.write_essential(move |connection| {
            sessions::admit(connection, caller, now)?;
            let replaced = replace_hash(connection, session.user, &before, &after)?;
            if replaced {
                let reason = RevocationReason::PasswordChanged;
                sessions::revoke_all(connection, session.user, None, reason, now)?;
                sessions::start(connection, &session)?;
            }
            Ok(replaced)
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
        self.write_essential(move |connection| {
            let sessions = connection.prepare_cached(PURGE_SESSIONS)?.execute([row_limit(limit)])?;
            let projects = projects::purge_removed(connection, limit - sessions, now)?;
            let purged = sessions + projects;
            if purged < limit {
                connection.prepare_cached(FORGET_REMOVED)?.execute(())?;
            }
            Ok(purged)
        })
        .await
    }
}

/// Those of whom something is left are not forgotten: what is left cannot be read.
const FORGET_REMOVED: &str = "
    DELETE FROM removed_users
    WHERE NOT EXISTS (SELECT 1 FROM projects WHERE owner = removed_users.id)
        AND NOT EXISTS (SELECT 1 FROM sessions WHERE user = removed_users.id)";

const PURGE_SESSIONS: &str = "
    DELETE FROM sessions WHERE id IN
        (SELECT id FROM sessions WHERE user IN (SELECT id FROM removed_users) LIMIT ?1)";

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

/// The user record of this id; absent if the account has been removed.
pub(super) fn find(connection: &Connection, id: UserId) -> StepResult<Option<User>> {
    let mut statement = connection.prepare_cached("SELECT * FROM users WHERE id = ?1")?;
    statement.query_row([id.as_bytes()], |row| Ok(from_row(row))).optional()?.transpose()
}

/// Writes the fields of a user record that a save or a deletion changes.
pub(super) fn update_usage(connection: &Connection, user: &User) -> StepResult<()> {
    let update = "
        UPDATE users SET usage_projects = :usage_projects, usage_bytes = :usage_bytes, saves = :saves,
            revision_floor = :revision_floor
        WHERE id = :id";
    connection.prepare_cached(update)?.execute(named_params! {
        ":id": user.id.as_bytes(),
        ":usage_projects": user.usage.projects,
        ":usage_bytes": user.usage.bytes,
        ":saves": user.saves,
        ":revision_floor": user.revision_floor.get(),
    })?;
    Ok(())
}

/// Adds a user record, if no account has its email address; returns whether it was added.
fn insert(connection: &Connection, user: &User) -> StepResult<bool> {
    let insert = "
        INSERT INTO users (id, email, password_hash, created, usage_projects, usage_bytes, saves, revision_floor)
        VALUES (:id, :email, :password_hash, :created, :usage_projects, :usage_bytes, :saves, :revision_floor)
        ON CONFLICT (email) DO NOTHING";
    let inserted = connection.prepare_cached(insert)?.execute(named_params! {
        ":id": user.id.as_bytes(),
        ":email": user.email.as_str(),
        ":password_hash": user.password_hash.as_phc(),
        ":created": user.created.as_millis(),
        ":usage_projects": user.usage.projects,
        ":usage_bytes": user.usage.bytes,
        ":saves": user.saves,
        ":revision_floor": user.revision_floor.get(),
    })?;
    Ok(inserted > 0)
}

pub(super) fn from_row(row: &Row<'_>) -> StepResult<User> {
    Ok(User {
        id: UserId::from_bytes(row.get("id")?),
        email: Email::stored(row.get::<_, String>("email")?),
        password_hash: PasswordHash::new(row.get::<_, String>("password_hash")?),
        created: Timestamp::from_millis(row.get("created")?),
        usage: Usage { projects: row.get("usage_projects")?, bytes: row.get("usage_bytes")? },
        saves: row.get("saves")?,
        revision_floor: Revision::new(row.get("revision_floor")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn purging_walks_an_index() {
        let plan = query_plan(&empty_database(), PURGE_SESSIONS);
        assert!(plan.iter().any(|step| step.contains("sessions_by_user (user=?)")), "{plan:#?}");
    }
}
