//! The user record of an account, as the steps that change something of the account read and write it.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::columns::Columns;
use super::error::Result;
use super::rows::users::{epoch_columns, from_row, read_epoch, user_columns};
use crate::domain::{SessionEpoch, User, UserId};

const FIND: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1");

const FIND_EPOCH: &str = concat!("SELECT ", epoch_columns!(), " FROM users WHERE id = ?1");

/// The user record of this id; absent if the account has been removed.
pub(super) fn find(connection: &Connection, id: UserId) -> Result<Option<User>> {
    let mut statement = connection.prepare_cached(FIND)?;
    statement.query_row([id.as_bytes()], |row| Ok(from_row(row))).optional()?.transpose()
}

/// The epoch of the sessions of this account; absent if the account has been removed.
pub(super) fn find_epoch(connection: &Connection, id: UserId) -> Result<Option<SessionEpoch>> {
    let mut statement = connection.prepare_cached(FIND_EPOCH)?;
    let found = statement.query_row([id.as_bytes()], |row| Ok(read_epoch(&mut Columns::of(row))));
    found.optional()?.transpose()
}

/// Writes the epoch of the sessions of this account.
pub(super) fn update_epoch(connection: &Connection, id: UserId, epoch: SessionEpoch) -> Result<()> {
    let update = "
        UPDATE users SET session_epoch = :number, epoch_begun_at = :at, epoch_begun_reason = :reason
        WHERE id = :id";
    connection.prepare_cached(update)?.execute(named_params! {
        ":id": id.as_bytes(),
        ":number": epoch.number,
        ":at": epoch.begun_by.map(|revocation| revocation.at.as_millis()),
        ":reason": epoch.begun_by.map(|revocation| revocation.reason.as_str()),
    })?;
    Ok(())
}

/// Writes the fields of a user record that a save or a deletion changes.
pub(super) fn update_usage(connection: &Connection, user: &User) -> Result<()> {
    let update = "
        UPDATE users SET usage_projects = :usage_projects, usage_bytes = :usage_bytes,
            usage_record_bytes = :usage_record_bytes, usage_trashed = :usage_trashed,
            usage_kept_bytes = :usage_kept_bytes, usage_kept_record_bytes = :usage_kept_record_bytes,
            saves = :saves, revision_floor = :revision_floor
        WHERE id = :id";
    connection.prepare_cached(update)?.execute(named_params! {
        ":id": user.id.as_bytes(),
        ":usage_projects": user.usage.projects,
        ":usage_bytes": user.usage.bytes,
        ":usage_record_bytes": user.usage.record_bytes,
        ":usage_trashed": user.usage.trashed,
        ":usage_kept_bytes": user.usage.kept_bytes,
        ":usage_kept_record_bytes": user.usage.kept_record_bytes,
        ":saves": user.saves,
        ":revision_floor": user.revision_floor.get(),
    })?;
    Ok(())
}
