use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::SqliteRecords;
use super::columns::row_limit;
use super::error::{Result as StepResult, unless_damaged};
use super::rows::sessions::{execute_with, from_row};
use crate::clock::Timestamp;
use crate::domain::{Caller, RevocationReason, Session, SessionId, UserId};
use crate::error::{Error, Result};
use crate::protocol;
use crate::records::{RecordKind, SessionStore};

#[async_trait]
impl SessionStore for SqliteRecords {
    async fn start_session(&self, session: &Session) -> Result<()> {
        let session = session.clone();
        self.write_essential(move |connection| start(connection, &session)).await
    }

    async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        self.read(move |connection| find(connection, id)).await
    }

    async fn replace_session(&self, before: &Session, after: &Session) -> Result<bool> {
        let (before, after) = (before.clone(), after.clone());
        let ends_it = after.revoked.is_some();
        let step = move |connection: &Connection| {
            let unchanged = connection.prepare_cached(IS_UNCHANGED)?.query_one(
                named_params! {
                    ":id": before.id.as_bytes(),
                    ":generation": before.generation,
                    ":confirmed": before.confirmed,
                    ":revoked": before.revoked.is_some(),
                },
                |row| row.get(0),
            )?;
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

    async fn revoke_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<u64> {
        self.write_essential(move |connection| revoke_all(connection, user, except, reason, now)).await
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

    async fn count_sessions(&self) -> Result<u64> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT count(*) FROM sessions")?;
            Ok(statement.query_one((), |row| row.get(0))?)
        })
        .await
    }
}

/// The session of this id; absent if its account has been removed.
fn find(connection: &Connection, id: SessionId) -> StepResult<Option<Session>> {
    let mut statement = connection.prepare_cached(FIND)?;
    statement.query_row([id.as_bytes()], |row| Ok(from_row(row))).optional()?.transpose()
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

/// Adds a session, if its account exists.
pub(super) fn start(connection: &Connection, session: &Session) -> StepResult<()> {
    match execute_with(connection, START, session)? {
        0 => Err(Error::NoSuchAccount.into()),
        _ => Ok(()),
    }
}

/// Revokes the sessions of an account that are not revoked yet, except `except`; returns the count.
pub(super) fn revoke_all(
    connection: &Connection,
    user: UserId,
    except: Option<SessionId>,
    reason: RevocationReason,
    now: Timestamp,
) -> StepResult<u64> {
    let revoked = connection.prepare_cached(REVOKE)?.execute(named_params! {
        ":user": user.as_bytes(),
        ":except": except.as_ref().map(SessionId::as_bytes),
        ":revoked_at": now.as_millis(),
        ":revoked_reason": reason.as_str(),
    })?;
    Ok(revoked as u64)
}

const START: &str = "
    INSERT INTO sessions
        (id, user, generation, current, previous, rotated_at, refresh_expires, confirmed, created,
         last_used, absolute_end, tokens_end, user_agent, revoked_at, revoked_reason)
    SELECT
        :id, :user, :generation, :current, :previous, :rotated_at, :refresh_expires, :confirmed, :created,
        :last_used, :absolute_end, :tokens_end, :user_agent, :revoked_at, :revoked_reason
    WHERE EXISTS (SELECT 1 FROM users WHERE id = :user)";

const REPLACE: &str = "
    UPDATE sessions SET
        user = :user, generation = :generation, current = :current, previous = :previous,
        rotated_at = :rotated_at, refresh_expires = :refresh_expires, confirmed = :confirmed,
        created = :created, last_used = :last_used, absolute_end = :absolute_end,
        tokens_end = :tokens_end, user_agent = :user_agent, revoked_at = :revoked_at,
        revoked_reason = :revoked_reason
    WHERE id = :id";

const FIND: &str = "
    SELECT * FROM sessions WHERE id = ?1 AND EXISTS (SELECT 1 FROM users WHERE id = sessions.user)";

const IS_UNCHANGED: &str = "
    SELECT EXISTS (
        SELECT 1 FROM sessions
        WHERE id = :id AND generation = :generation AND confirmed = :confirmed
            AND (revoked_at IS NOT NULL) = :revoked
            AND EXISTS (SELECT 1 FROM users WHERE id = sessions.user))";

const REVOKE: &str = "
    UPDATE sessions SET revoked_at = :revoked_at, revoked_reason = :revoked_reason
    WHERE user = :user AND revoked_at IS NULL AND id IS NOT :except";

const LIST: &str = "
    SELECT * FROM sessions
    WHERE user = :user AND revoked_at IS NULL AND tokens_end > :now
        AND EXISTS (SELECT 1 FROM users WHERE id = :user)
    ORDER BY last_used DESC, id DESC";

const FORGET_EXPIRED: &str = "
    DELETE FROM sessions WHERE id IN
        (SELECT id FROM sessions WHERE tokens_end <= :now ORDER BY tokens_end LIMIT :limit)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn each_statement_over_many_sessions_walks_an_index() {
        let database = empty_database();
        for (sql, step) in [
            (LIST, "SEARCH sessions USING INDEX sessions_by_user (user=? AND revoked_at=?)"),
            (REVOKE, "SEARCH sessions USING INDEX sessions_by_user (user=? AND revoked_at=?)"),
            (FORGET_EXPIRED, "SEARCH sessions USING INDEX sessions_by_tokens_end (tokens_end<?)"),
        ] {
            let plan = query_plan(&database, sql);
            assert!(plan.iter().any(|it| it == step), "{sql}: {plan:#?}");
            assert!(!plan.iter().any(|it| it.contains("TEMP B-TREE FOR ORDER")), "{sql}: {plan:#?}");
            assert!(!plan.iter().any(|it| it.starts_with("SCAN sessions")), "{sql}: {plan:#?}");
        }
    }
}
