//! The user record of an account, as the steps that change something of the account read and write it.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::error::Result;
use super::rows::users::from_row;
use crate::domain::{User, UserId};

/// The user record of this id; absent if the account has been removed.
pub(super) fn find(connection: &Connection, id: UserId) -> Result<Option<User>> {
    let mut statement = connection.prepare_cached("SELECT * FROM users WHERE id = ?1")?;
    statement.query_row([id.as_bytes()], |row| Ok(from_row(row))).optional()?.transpose()
}

/// Writes the fields of a user record that a save or a deletion changes.
pub(super) fn update_usage(connection: &Connection, user: &User) -> Result<()> {
    let update = "
        UPDATE users SET usage_projects = :usage_projects, usage_bytes = :usage_bytes, saves = :saves,
            revision_floor = :revision_floor
        WHERE id = :id";
    connection.prepare_cached(update)?.execute(named_params! {
        ":id": user.id.as_bytes(),
        ":usage_projects": user.usage.projects,
        ":usage_bytes": user.usage.bytes,
        ":saves": user.saves,
        ":revision_floor": user.revision_floor.get(),
    })?;
    Ok(())
}
