//! Checks the precondition of a save or a deletion, in the transaction that it is for.

use crate::domain::{Precondition, Revision};
use crate::error::{Error, Result};

/// Checks a precondition against the project's current revision; `None` means that the project is absent.
///
/// # Errors
/// [`Error::PreconditionFailed`] if it does not hold.
pub fn check_precondition(precondition: &Precondition, current: Option<Revision>) -> Result<()> {
    match precondition.is_met_by(current) {
        true => Ok(()),
        false => Err(Error::PreconditionFailed { current }),
    }
}
