use rusqlite::{Connection, Row};

use super::projects::{read_state, state_columns, state_values, write_state};
use crate::clock::Timestamp;
use crate::domain::Version;
use crate::records::sqlite::columns::Columns;
use crate::records::sqlite::error::Result;

/// The columns of a version, as [`from_row`] reads them.
macro_rules! version_columns {
    () => {
        concat!($crate::records::sqlite::rows::projects::state_columns!(), ", replaced")
    };
}
pub(in crate::records::sqlite) use version_columns;

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Version> {
    let columns = &mut Columns::of(row);
    let project = read_state(columns)?;
    Ok(Version { project, replaced: Timestamp::from_millis(columns.next()?) })
}

const INSERT: &str = concat!(
    "INSERT INTO versions (",
    state_columns!(),
    ", replaced) VALUES (",
    state_values!(),
    ", :replaced)"
);

/// Adds a version.
pub(in crate::records::sqlite) fn insert(connection: &Connection, version: &Version) -> Result<()> {
    write_state(connection, INSERT, &version.project, (":replaced", &version.replaced.as_millis()))
}
