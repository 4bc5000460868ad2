//! Values of the domain as columns.

use rusqlite::Row;
use rusqlite::types::FromSql;

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

/// Reads the columns of a row from left to right.
///
/// SQLite finds a column by its number at once, but by its name only by comparing all names. So each module of
/// [`rows`](super::rows) lists its columns once, in the order in which it reads them.
pub(super) struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    /// The columns of a row, from the first one on.
    pub(super) fn of(row: &'a Row<'a>) -> Self {
        Self { row, next: 0 }
    }

    /// The value of the next column.
    pub(super) fn next<T: FromSql>(&mut self) -> Result<T> {
        Ok(self.row.get(self.advance())?)
    }

    /// What `parse` makes of the text in the next column, which is called `column` in errors.
    pub(super) fn parse<T>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let text = self.row.get_ref(self.advance())?.as_str().ok();
        text.and_then(parse).ok_or(Failure::Column { column })
    }

    /// The namespace whose stored form, made by [`namespace_bytes`], is in the next column; it is called `column` in
    /// errors.
    pub(super) fn namespace(&mut self, column: &'static str) -> Result<Namespace> {
        let stored = self.row.get_ref(self.advance())?.as_blob().map_err(|_| Failure::Column { column })?;
        match (stored, <[u8; 16]>::try_from(stored)) {
            ([], _) => Ok(Namespace::Shared),
            (_, Ok(owner)) => Ok(Namespace::Owner(UserId::from_bytes(owner))),
            (_, Err(_)) => Err(Failure::Column { column }),
        }
    }

    /// Skips the next `count` columns.
    pub(super) fn skip(&mut self, count: usize) {
        self.next += count;
    }

    /// The number of the next column.
    fn advance(&mut self) -> usize {
        let number = self.next;
        self.next += 1;
        number
    }
}
