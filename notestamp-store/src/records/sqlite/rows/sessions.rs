use rusqlite::{Connection, Row, named_params};

use super::revocation;
use crate::clock::Timestamp;
use crate::domain::{Session, SessionId, TokenId, UserId};
use crate::records::sqlite::columns::Columns;
use crate::records::sqlite::error::Result;

/// The columns of a session, as [`read`] reads them.
macro_rules! session_columns {
    () => {
        "sessions.id, user, epoch, generation, current, previous, rotated_at, refresh_expires, confirmed, \
         sessions.created, last_used, absolute_end, tokens_end, user_agent, revoked_at, revoked_reason"
    };
}
pub(in crate::records::sqlite) use session_columns;

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Session> {
    read(&mut Columns::of(row))
}

/// Reads a session from its columns.
pub(in crate::records::sqlite) fn read(columns: &mut Columns<'_>) -> Result<Session> {
    let time = |columns: &mut Columns<'_>| columns.next().map(Timestamp::from_millis);
    Ok(Session {
        id: SessionId::from_bytes(columns.next()?),
        user: UserId::from_bytes(columns.next()?),
        epoch: columns.next()?,
        generation: columns.next()?,
        current: TokenId::from_bytes(columns.next()?),
        previous: columns.next::<Option<_>>()?.map(TokenId::from_bytes),
        rotated_at: time(columns)?,
        refresh_expires: time(columns)?,
        confirmed: columns.next()?,
        created: time(columns)?,
        last_used: time(columns)?,
        absolute_end: time(columns)?,
        tokens_end: time(columns)?,
        user_agent: columns.next()?,
        revoked: revocation::read(columns, "sessions.revoked_reason")?,
    })
}

/// Executes a statement that has all columns of a session as parameters.
pub(in crate::records::sqlite) fn execute_with(
    connection: &Connection,
    sql: &str,
    session: &Session,
) -> Result<usize> {
    Ok(connection.prepare_cached(sql)?.execute(named_params! {
        ":id": session.id.as_bytes(),
        ":user": session.user.as_bytes(),
        ":epoch": session.epoch,
        ":generation": session.generation,
        ":current": session.current.as_bytes(),
        ":previous": session.previous.as_ref().map(TokenId::as_bytes),
        ":rotated_at": session.rotated_at.as_millis(),
        ":refresh_expires": session.refresh_expires.as_millis(),
        ":confirmed": session.confirmed,
        ":created": session.created.as_millis(),
        ":last_used": session.last_used.as_millis(),
        ":absolute_end": session.absolute_end.as_millis(),
        ":tokens_end": session.tokens_end.as_millis(),
        ":user_agent": session.user_agent,
        ":revoked_at": session.revoked.map(|revoked| revoked.at.as_millis()),
        ":revoked_reason": session.revoked.map(|revoked| revoked.reason.as_str()),
    })?)
}
