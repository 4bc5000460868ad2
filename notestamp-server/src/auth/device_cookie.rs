//! The device cookie: it tells that a browser has signed in to an account before.
//!
//! If many users share an address, as they do behind a proxy that is not configured as trusted, an attacker among them
//! can use up the failed sign-ins of that address. A browser with the cookie has failures of its own, so the right
//! password still works there. The cookie authenticates nothing.

use notestamp_store::User;

use super::keys::SigningKeys;
use super::purpose_keys::PurposeKeys;

/// Makes and verifies the value of the cookie: a signature over the account and its password hash.
///
/// A new password makes it invalid, and so does the removal of the account. The value is the
/// same for all browsers of an account, and contains no name or id: it identifies neither a browser nor a user.
#[derive(Debug)]
pub(crate) struct DeviceCookie {
    keys: PurposeKeys,
}

const PURPOSE: &[u8] = b"notestamp-server device cookie 1";

impl DeviceCookie {
    /// How many digits a value has.
    pub(crate) const DIGITS: usize = 64;

    pub(crate) fn new(keys: &SigningKeys) -> Self {
        Self { keys: PurposeKeys::derive(keys, PURPOSE) }
    }

    /// The value for browsers that sign in to this account.
    pub(crate) fn value(&self, account: &User) -> String {
        self.keys.sign(&message(account))
    }

    /// Returns whether a browser with this value has signed in to the account with its present password.
    pub(crate) fn verify(&self, value: &str, account: &User) -> bool {
        self.keys.verify(&message(account), value)
    }
}

/// The message that is signed. The length of the id is fixed, so no two accounts have the same bytes.
fn message(account: &User) -> Vec<u8> {
    [account.id.as_bytes().as_slice(), account.password_hash.as_phc().as_bytes()].concat()
}
