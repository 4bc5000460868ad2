//! Values of the domain as columns.

use rusqlite::Row;

use super::error::{Failure, Result};
use crate::domain::{Namespace, UserId};

/// A limit as SQLite's type of integer; a greater one becomes the greatest, which no table reaches.
pub(super) fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The stored form of a namespace: its owner's id, or no bytes if it is shared.
pub(super) fn namespace_bytes(namespace: &Namespace) -> &[u8] {
    match namespace {
        Namespace::Owner(owner) => owner.as_bytes(),
        Namespace::Shared => &[],
    }
}

/// Parses the stored form that [`namespace_bytes`] makes.
pub(super) fn namespace_from(bytes: &[u8], column: &'static str) -> Result<Namespace> {
    match bytes {
        [] => Ok(Namespace::Shared),
        bytes => match <[u8; 16]>::try_from(bytes) {
            Ok(owner) => Ok(Namespace::Owner(UserId::from_bytes(owner))),
            Err(_) => Err(Failure::Column { column }),
        },
    }
}

/// Parses the word that a column holds.
pub(super) fn parse_word<T>(row: &Row<'_>, column: &'static str, parse: fn(&str) -> Option<T>) -> Result<T> {
    let word: String = row.get(column)?;
    parse(&word).ok_or(Failure::Column { column })
}
