use rusqlite::{Connection, Row};

use super::projects::{read_state, state_columns, state_values, write_state};
use crate::clock::Timestamp;
use crate::domain::Trashed;
use crate::records::sqlite::columns::Columns;
use crate::records::sqlite::error::Result;

/// The columns of a project in the trash, as [`from_row`] reads them.
macro_rules! trashed_columns {
    () => {
        concat!($crate::records::sqlite::rows::projects::state_columns!(), ", deleted")
    };
}
pub(in crate::records::sqlite) use trashed_columns;

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Trashed> {
    let columns = &mut Columns::of(row);
    let project = read_state(columns)?;
    Ok(Trashed { project, deleted: Timestamp::from_millis(columns.next()?) })
}

const INSERT: &str =
    concat!("INSERT INTO trash (", state_columns!(), ", deleted) VALUES (", state_values!(), ", :deleted)");

/// Adds a project in the trash.
pub(in crate::records::sqlite) fn insert(connection: &Connection, trashed: &Trashed) -> Result<()> {
    write_state(connection, INSERT, &trashed.project, (":deleted", &trashed.deleted.as_millis()))
}
