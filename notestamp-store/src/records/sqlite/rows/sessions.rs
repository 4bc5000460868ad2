use rusqlite::{Connection, Row, named_params};

use crate::clock::Timestamp;
use crate::domain::{Revocation, RevocationReason, Session, SessionId, TokenId, UserId};
use crate::records::sqlite::error::{Failure, Result};

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Session> {
    let at = |column| row.get(column).map(Timestamp::from_millis);
    let (revoked_at, reason): (_, Option<String>) = (row.get("revoked_at")?, row.get("revoked_reason")?);
    let revoked = match (revoked_at, reason.as_deref().map(RevocationReason::parse)) {
        (None, None) => None,
        (Some(millis), Some(Some(reason))) => Some(Revocation { at: Timestamp::from_millis(millis), reason }),
        _ => return Err(Failure::Column { column: "sessions.revoked_reason" }),
    };
    Ok(Session {
        id: SessionId::from_bytes(row.get("id")?),
        user: UserId::from_bytes(row.get("user")?),
        epoch: row.get("epoch")?,
        generation: row.get("generation")?,
        current: TokenId::from_bytes(row.get("current")?),
        previous: row.get::<_, Option<_>>("previous")?.map(TokenId::from_bytes),
        rotated_at: at("rotated_at")?,
        refresh_expires: at("refresh_expires")?,
        confirmed: row.get("confirmed")?,
        created: at("created")?,
        last_used: at("last_used")?,
        absolute_end: at("absolute_end")?,
        tokens_end: at("tokens_end")?,
        user_agent: row.get("user_agent")?,
        revoked,
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
