//! Migrates email addresses that an earlier version stored to the spelling that [`Email::parse`] gives them now.
//!
//! If two accounts have the same address by the current rules, the account that already has this spelling keeps it;
//! otherwise the older account gets it. The other account keeps its stored address, can no longer be signed in to, and
//! is reported.

use crate::domain::{Email, UserId};

/// The address to store in place of `stored`; absent if the spelling is current already, or if `stored` is invalid.
pub(super) fn respelled(account: UserId, stored: &str) -> Option<Email> {
    match Email::parse(stored) {
        Ok(email) => (email.as_str() != stored).then_some(email),
        Err(why) => {
            tracing::warn!(%account, %why, "this account cannot be signed in to any more: its address is invalid");
            None
        }
    }
}

/// Reports an account whose address, in the current spelling, belongs to another account.
pub(super) fn report_collision(account: UserId) {
    tracing::warn!(
        %account,
        "this account cannot be signed in to any more: another account has its address, in another spelling"
    );
}
