//! Whether an operation may still take effect: its session may have ended since it was asked for.

use crate::clock::Timestamp;
use crate::domain::{Caller, Session};
use crate::error::{Error, Result};

/// Refuses an operation whose session has ended. `session` is the record of the session that the caller names, read in
/// the transaction that writes what the operation changes.
///
/// Under snapshot isolation a transaction that only reads the session does not conflict with one that ends it. So both
/// write the account: the operation anyway, and whatever ends a session before its time for this reason.
///
/// # Errors
/// [`Error::SessionEnded`] where the session has been revoked, has expired, or is not on record any more.
pub fn admit(caller: Caller, session: Option<&Session>, now: Timestamp) -> Result<()> {
    let Some(id) = caller.session else { return Ok(()) };
    let is_open = |session: &&Session| {
        session.id == id && session.user == caller.user && session.is_open(now) && now < session.tokens_end
    };
    session.filter(is_open).map(drop).ok_or(Error::SessionEnded)
}
