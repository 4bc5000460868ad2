//! Addresses that an earlier version has kept, in the spelling that [`Email::parse`] gives them now.
//!
//! Where two accounts have one address by today's rules, the one that has that spelling already keeps it, else the older
//! one gets it. Nobody can sign in to the other one any more; it is left as it was, and reported.

use crate::domain::{Email, UserId};

/// The address that is to be stored in place of this one, if it is another.
pub(super) fn respelled(account: UserId, stored: &str) -> Option<Email> {
    match Email::parse(stored) {
        Ok(email) => (email.as_str() != stored).then_some(email),
        Err(why) => {
            tracing::warn!(%account, %why, "nobody can sign in to this account any more: its address is not one");
            None
        }
    }
}

/// Reports an account whose address another one has.
pub(super) fn report_collision(account: UserId) {
    tracing::warn!(
        %account,
        "nobody can sign in to this account any more: another one has its address, spelled otherwise"
    );
}
