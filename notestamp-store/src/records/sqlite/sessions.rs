use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::columns::{Columns, row_limit};
use super::error::{Failure, Result as StepResult, unless_damaged};
use super::rows::sessions::{execute_with, from_row, read, session_columns};
use super::rows::users::{epoch_columns, read_epoch};
use super::{SqliteRecords, account};
use crate::clock::Timestamp;
use crate::domain::{Caller, RevocationReason, Session, SessionId, UserId};
use crate::error::{Error, Result};
use crate::protocol;
use crate::records::sessions::REVOKED_MAX;
use crate::records::{RecordKind, SessionStore};

#[async_trait]
impl SessionStore for SqliteRecords {
    async fn start_session(&self, session: &Session, open_max: usize, now: Timestamp) -> Result<bool> {
        let session = session.clone();
        self.write_essential(move |connection| start(connection, &session, open_max, now)).await
    }

    async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        let read_after = match self.sessions.find(id) {
            Ok(session) => return Ok(Some(session)),
            Err(read_after) => read_after,
        };
        let found = self.look_up(move |connection| find(connection, id)).await?;
        if let Some(session) = &found {
            self.sessions.keep(session, read_after);
        }
        Ok(found)
    }

    async fn replace_session(&self, before: &Session, after: &Session) -> Result<bool> {
        let (before, after) = (before.clone(), after.clone());
        let ends_it = after.revoked.is_some();
        let step = move |connection: &Connection| {
            let stored = find(connection, before.id)?;
            let unchanged = stored.is_some_and(|stored| stored.is_unchanged_in(&before));
            if unchanged {
                execute_with(connection, REPLACE, &after)?;
            }
            Ok(unchanged)
        };
        if ends_it { self.write_essential(step).await } else { self.write(step).await }
    }

    async fn revoke_session(
        &self,
        caller: Caller,
        id: SessionId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool> {
        self.write_essential(move |connection| {
            admit(connection, caller, now)?;
            let open = find(connection, id)?.filter(|it| it.user == caller.user && it.is_open(now));
            let Some(session) = open else { return Ok(false) };
            execute_with(connection, REPLACE, &session.revoke(now, reason))?;
            Ok(true)
        })
        .await
    }

    async fn revoke_all_sessions(
        &self,
        user: UserId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool> {
        self.write_essential(move |connection| revoke_all(connection, user, reason, now)).await
    }

    async fn list_sessions(&self, user: UserId, limit: usize, now: Timestamp) -> Result<Vec<Session>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(LIST)?;
            let sessions = statement.query_and_then(
                named_params! { ":user": user.as_bytes(), ":now": now.as_millis() },
                from_row,
            )?;
            sessions.filter_map(|row| unless_damaged(RecordKind::Session, row)).take(limit).collect()
        })
        .await
    }

    async fn forget_expired_sessions(&self, limit: usize, now: Timestamp) -> Result<usize> {
        self.write_essential(move |connection| {
            let params = named_params! { ":now": now.as_millis(), ":limit": row_limit(limit) };
            Ok(connection.prepare_cached(FORGET_EXPIRED)?.execute(params)?)
        })
        .await
    }
}

/// The session of this id; absent if its account has been removed.
fn find(connection: &Connection, id: SessionId) -> StepResult<Option<Session>> {
    let mut statement = connection.prepare_cached(FIND)?;
    let found = statement.query_row([id.as_bytes()], |row| {
        let columns = &mut Columns::of(row);
        Ok(read(columns).and_then(|session| Ok(read_epoch(columns)?.apply_to(session))))
    });
    found.optional()?.transpose()
}

/// The session by which the caller acts; absent if the caller names none.
pub(super) fn find_of(connection: &Connection, caller: Caller) -> StepResult<Option<Session>> {
    match caller.session {
        Some(id) => find(connection, id),
        None => Ok(None),
    }
}

/// Refuses a caller whose session has ended.
pub(super) fn admit(connection: &Connection, caller: Caller, now: Timestamp) -> StepResult<()> {
    Ok(protocol::admit(caller, find_of(connection, caller)?.as_ref(), now)?)
}

/// Adds a session, if its epoch is that of its account, and revokes those that are too many then.
fn start(connection: &Connection, session: &Session, open_max: usize, now: Timestamp) -> StepResult<bool> {
    let epoch = account::find_epoch(connection, session.user)?;
    let epoch = epoch.ok_or_else(|| Failure::from(Error::NoSuchAccount))?;
    if session.epoch != epoch.number {
        return Ok(false);
    }
    connection.prepare_cached(REVOKE_SURPLUS)?.execute(named_params! {
        ":user": session.user.as_bytes(),
        ":epoch": epoch.number,
        ":now": now.as_millis(),
        ":kept": row_limit(open_max.saturating_sub(1)),
        ":limit": row_limit(REVOKED_MAX),
        ":reason": RevocationReason::TooMany.as_str(),
    })?;
    insert(connection, session)?;
    Ok(true)
}

fn revoke_all(
    connection: &Connection,
    user: UserId,
    reason: RevocationReason,
    now: Timestamp,
) -> StepResult<bool> {
    let Some(epoch) = account::find_epoch(connection, user)? else { return Ok(false) };
    account::update_epoch(connection, user, epoch.next(now, reason))?;
    Ok(true)
}

/// Adds a session of an account that exists.
pub(super) fn insert(connection: &Connection, session: &Session) -> StepResult<()> {
    execute_with(connection, INSERT, session).map(drop)
}

const INSERT: &str = "
    INSERT INTO sessions
        (id, user, epoch, generation, current, previous, rotated_at, refresh_expires, confirmed, created,
         last_used, absolute_end, tokens_end, user_agent, revoked_at, revoked_reason)
    VALUES
        (:id, :user, :epoch, :generation, :current, :previous, :rotated_at, :refresh_expires, :confirmed,
         :created, :last_used, :absolute_end, :tokens_end, :user_agent, :revoked_at, :revoked_reason)";

const REPLACE: &str = "
    UPDATE sessions SET
        user = :user, epoch = :epoch, generation = :generation, current = :current, previous = :previous,
        rotated_at = :rotated_at, refresh_expires = :refresh_expires, confirmed = :confirmed,
        created = :created, last_used = :last_used, absolute_end = :absolute_end,
        tokens_end = :tokens_end, user_agent = :user_agent, revoked_at = :revoked_at,
        revoked_reason = :revoked_reason
    WHERE id = :id";

/// The columns of the session, and those of its account's epoch.
const FIND: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", ",
    epoch_columns!(),
    " FROM sessions JOIN users ON users.id = sessions.user WHERE sessions.id = ?1",
);

const REVOKE_SURPLUS: &str = "
    UPDATE sessions SET revoked_at = :now, revoked_reason = :reason
    WHERE id IN (
        SELECT id FROM sessions
        WHERE user = :user AND epoch = :epoch AND revoked_at IS NULL AND tokens_end > :now
        ORDER BY last_used DESC, id DESC
        LIMIT :limit OFFSET :kept)";

const LIST: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions
    WHERE user = :user AND epoch = (SELECT session_epoch FROM users WHERE id = :user)
        AND revoked_at IS NULL AND tokens_end > :now
    ORDER BY last_used DESC, id DESC",
);

const FORGET_EXPIRED: &str = "
    DELETE FROM sessions WHERE id IN
        (SELECT id FROM sessions WHERE tokens_end <= :now ORDER BY tokens_end LIMIT :limit)";

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Email, PasswordHash, SessionTtl, TokenId, User};
    use crate::records::sqlite::schema::{empty_database, query_plan};
    use crate::records::sqlite::users;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    /// Creates an account that has so many open sessions; returns it and one more session, not stored yet.
    pub(in crate::records::sqlite) fn user_with_sessions(
        database: &Connection,
        count: u16,
    ) -> (User, Session) {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let ttl = SessionTtl { access: DAY, refresh: DAY, session_max: DAY };
        let email = Email::parse("ada@example.org").unwrap();
        let user = User::new(UserId::from_bytes([1; 16]), email, PasswordHash::new("$argon2id$"), NOW);
        assert!(users::insert(database, &user).unwrap());
        let session = |n: u16| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            Session::start(SessionId::from_bytes(id), user.id, TokenId::from_bytes(id), "", NOW, &ttl)
        };
        for n in 0..count {
            assert!(start(database, &session(n), usize::from(u16::MAX), NOW).unwrap());
        }
        (user.clone(), session(count))
    }

    #[test]
    fn ending_all_sessions_writes_one_row_however_many_they_are() {
        for count in [0, 1, 300] {
            let database = empty_database();
            let (user, _) = user_with_sessions(&database, count);
            let rows = database.total_changes();
            assert!(revoke_all(&database, user.id, RevocationReason::Ended, NOW).unwrap());
            assert_eq!(database.total_changes() - rows, 1, "of {count} sessions");
        }
    }

    #[test]
    fn each_statement_over_many_sessions_walks_an_index() {
        let database = empty_database();
        for (sql, step) in [
            (LIST, "SEARCH sessions USING INDEX sessions_by_user (user=? AND epoch=? AND revoked_at=?)"),
            (
                REVOKE_SURPLUS,
                "SEARCH sessions USING INDEX sessions_by_user (user=? AND epoch=? AND revoked_at=?)",
            ),
            (FORGET_EXPIRED, "SEARCH sessions USING INDEX sessions_by_tokens_end (tokens_end<?)"),
        ] {
            let plan = query_plan(&database, sql);
            assert!(plan.iter().any(|it| it == step), "{sql}: {plan:#?}");
            assert!(!plan.iter().any(|it| it.contains("TEMP B-TREE FOR ORDER")), "{sql}: {plan:#?}");
            assert!(!plan.iter().any(|it| it.starts_with("SCAN sessions")), "{sql}: {plan:#?}");
        }
    }
}
