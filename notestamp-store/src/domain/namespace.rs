use std::fmt;
use std::str::FromStr;

use super::{InvalidValue, UserId};

/// The scope in which equal media bytes share one blob.
///
/// Media is found by its digest only inside its namespace. With one namespace for each account (the default), an
/// account cannot learn what another account stores, not even from the time that a save takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Namespace {
    /// The objects of one account.
    Owner(UserId),
    /// The media of all accounts, if an operator has chosen to store equal files only once.
    Shared,
}

/// The first part of an object's path.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(owner) => fmt::Display::fmt(owner, f),
            Self::Shared => f.write_str("shared"),
        }
    }
}

impl FromStr for Namespace {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "shared" => Ok(Self::Shared),
            owner => owner.parse().map(Self::Owner),
        }
    }
}
