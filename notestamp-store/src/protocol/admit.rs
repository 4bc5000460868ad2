//! Checks that the session of an operation is still open when the operation takes effect.

use crate::clock::Timestamp;
use crate::domain::{Caller, Session};
use crate::error::{Error, Result};

/// Refuses an operation whose session has ended. `session` is the record of the session that the caller names, read in
/// the transaction that writes the changes of the operation.
///
/// Under snapshot isolation, a transaction that only reads the session has no write conflict with one that revokes it.
/// So both write the user record: the operation does anyway, and a revocation does for this reason.
///
/// # Errors
/// [`Error::SessionEnded`] if the session is revoked, expired or absent.
pub fn admit(caller: Caller, session: Option<&Session>, now: Timestamp) -> Result<()> {
    let Some(id) = caller.session else { return Ok(()) };
    let is_open = |session: &&Session| {
        session.id == id && session.user == caller.user && session.is_open(now) && now < session.tokens_end
    };
    session.filter(is_open).map(drop).ok_or(Error::SessionEnded)
}
