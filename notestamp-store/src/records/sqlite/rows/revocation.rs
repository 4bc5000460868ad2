use crate::clock::Timestamp;
use crate::domain::{Revocation, RevocationReason};
use crate::records::sqlite::columns::Columns;
use crate::records::sqlite::error::{Failure, Result};

/// Reads a revocation from the columns of its time and of its reason; absent if both are NULL. `column` is the name of
/// the second one, for errors.
pub(super) fn read(columns: &mut Columns<'_>, column: &'static str) -> Result<Option<Revocation>> {
    let (at, reason): (_, Option<String>) = (columns.next()?, columns.next()?);
    match (at, reason.as_deref().map(RevocationReason::parse)) {
        (None, None) => Ok(None),
        (Some(at), Some(Some(reason))) => Ok(Some(Revocation { at: Timestamp::from_millis(at), reason })),
        _ => Err(Failure::Column { column }),
    }
}
