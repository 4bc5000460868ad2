//! Sorts the errors of SQLite into the outcomes that a caller can act on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;
use tokio::task::JoinError;

use super::beside;
use crate::disk;
use crate::domain::InvalidValue;
use crate::error::Error;
use crate::records::{RecordKind, omit_damaged};

/// The name of this backend in errors and logs.
pub(super) const BACKEND: &str = "sqlite";

/// Why a step inside this backend failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// An outcome that is returned to the caller unchanged.
    #[error(transparent)]
    Outcome(#[from] Error),
    #[error(transparent)]
    Sqlite(SqliteError),
    /// The batch that a step was part of could not be begun or committed.
    #[error(transparent)]
    Batch(#[from] Arc<BatchFailure>),
    #[error("cannot {verb} {}", path.display())]
    Io {
        verb: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} was written by a newer version of this program: its schema is {found}, known here is {known}",
        path.display()
    )]
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    #[error("{} is a database of another program", path.display())]
    ForeignSchema { path: PathBuf },
    #[error("{} is on a file system that does not support a write-ahead log", path.display())]
    NoWriteAheadLog { path: PathBuf },
    #[error("{column} contains a value that this program does not write")]
    Column { column: &'static str },
    #[error("the database is closed")]
    Closed,
    #[error("the caller no longer waits for the query")]
    CallerGone,
    #[error("a step panicked: {message}")]
    Panicked { message: String },
}

/// Why all steps of a batch have failed together.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchFailure {
    #[error(transparent)]
    Sqlite(SqliteError),
    /// After some errors SQLite rolls back the whole transaction by itself, and with it the other steps of the batch.
    #[error("the transaction was rolled back because another step failed")]
    RolledBack {
        /// Whether that step failed for lack of space.
        is_full: bool,
    },
}

/// An error of SQLite and, if it says only that a disk operation has failed, the operating system's reason.
#[derive(Debug)]
pub(super) struct SqliteError {
    error: rusqlite::Error,
    reason: Option<io::Error>,
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

impl std::error::Error for SqliteError {}

impl SqliteError {
    fn class(&self) -> Class {
        match self.reason.as_ref().map(disk::class_of) {
            // The database cannot grow, whichever limit it has met.
            Some(disk::Class::Full | disk::Class::FileTooLarge) => Class::Full,
            Some(disk::Class::Unavailable) => Class::Unavailable,
            Some(disk::Class::Failed) | None => class_of(&self.error),
        }
    }

    /// If a disk operation has failed: finds the reason in the file system of the database at `path`.
    fn find_reason(&mut self, path: &Path) {
        if self.reason.is_none() && is_about_the_disk(&self.error) {
            self.reason = beside::why_not_writable(path);
        }
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        Self { error, reason: None }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.into())
    }
}

impl From<rusqlite::Error> for BatchFailure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.into())
    }
}

impl BatchFailure {
    /// Like [`Failure::find_reason`].
    pub(super) fn find_reason(mut self, path: &Path) -> Self {
        if let Self::Sqlite(error) = &mut self {
            error.find_reason(path);
        }
        self
    }

    /// Whether it has failed for lack of space.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.class(), Class::Full)
    }

    fn class(&self) -> Class {
        match self {
            Self::Sqlite(error) => error.class(),
            Self::RolledBack { is_full: true } => Class::Full,
            Self::RolledBack { is_full: false } => Class::Unavailable,
        }
    }
}

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<InvalidValue> for Failure {
    fn from(invalid: InvalidValue) -> Self {
        Self::Outcome(invalid.into())
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(payload) => Self::panicked(&*payload),
            Err(_cancelled) => Self::Closed,
        }
    }
}

/// Omits a damaged record: it is logged and counted, and the check reports it.
pub(super) fn unless_damaged<T>(kind: RecordKind, read: Result<T>) -> Option<Result<T>> {
    match read {
        Err(damage) if damage.is_damage() => {
            omit_damaged(kind, &damage);
            None
        }
        read => Some(read),
    }
}

impl Failure {
    /// Whether a single row cannot be read, while others can.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Column { .. } => true,
            Self::Sqlite(error) => is_conversion(&error.error),
            _ => false,
        }
    }

    /// Whether another process has the database locked.
    pub(super) fn is_busy(&self) -> bool {
        let code = match self {
            Self::Sqlite(error) => error.error.sqlite_error_code(),
            _ => None,
        };
        matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// A failure with the message of a panic.
    pub(super) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::Panicked { message: message.unwrap_or("for no stated reason").to_owned() }
    }

    /// If SQLite says only that a disk operation has failed: finds the reason in the file system of the database at
    /// `path`.
    pub(super) fn find_reason(mut self, path: &Path) -> Self {
        if let Self::Sqlite(error) = &mut self {
            error.find_reason(path);
        }
        self
    }

    /// Whether it has failed for lack of space.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.class(), Class::Full)
    }

    fn class(&self) -> Class {
        match self {
            Self::Sqlite(error) => error.class(),
            Self::Batch(batch) => batch.class(),
            Self::Io { source, .. } => match disk::class_of(source) {
                disk::Class::Full | disk::Class::FileTooLarge => Class::Full,
                disk::Class::Unavailable | disk::Class::Failed => Class::Unavailable,
            },
            Self::Closed => Class::Unavailable,
            Self::Outcome(Error::Full { .. }) => Class::Full,
            Self::Column { .. } | Self::ForeignSchema { .. } => Class::Corrupt,
            Self::CallerGone
            | Self::NewerSchema { .. }
            | Self::NoWriteAheadLog { .. }
            | Self::Panicked { .. }
            | Self::Outcome(_) => Class::Other,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match (failure.class(), failure) {
            (_, Failure::Outcome(outcome)) => outcome,
            (Class::Full, _) => Self::Full { backend: BACKEND },
            (Class::Unavailable, failure) => Self::Unavailable { backend: BACKEND, source: failure.into() },
            (Class::Corrupt, failure) => Self::Corrupt(format!("{BACKEND}: {failure}")),
            (Class::Other, failure) => Self::Backend { backend: BACKEND, source: failure.into() },
        }
    }
}

enum Class {
    Full,
    Unavailable,
    Corrupt,
    Other,
}

/// Whether a column holds something else than is read from it.
fn is_conversion(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;

    // Every write obeys the schema, so a column that cannot be read was damaged.
    matches!(
        error,
        E::FromSqlConversionFailure(..)
            | E::InvalidColumnType(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..)
    )
}

fn class_of(error: &rusqlite::Error) -> Class {
    // Written values obey the schema, so a column that cannot be read was damaged.
    if is_conversion(error) {
        return Class::Corrupt;
    }
    if error.sqlite_extended_error_code() == Some(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY) {
        return Class::Corrupt;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::NoLargeFileSupport) => Class::Full,
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory,
        ) => Class::Unavailable,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Class::Corrupt,
        _ => Class::Other,
    }
}

/// Whether SQLite means that a call to the file system has failed.
fn is_about_the_disk(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[track_caller]
    fn outcome(code: std::ffi::c_int) -> Error {
        Failure::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).into()
    }

    #[test]
    fn error_codes_are_classified_by_what_a_caller_can_do() {
        assert!(matches!(outcome(ffi::SQLITE_FULL), Error::Full { backend: "sqlite" }));
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_CANTOPEN, ffi::SQLITE_READONLY] {
            assert!(matches!(outcome(code), Error::Unavailable { backend: "sqlite", .. }), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_CONSTRAINT_FOREIGNKEY] {
            assert!(matches!(outcome(code), Error::Corrupt(_)), "{code}");
        }
        assert!(matches!(outcome(ffi::SQLITE_MISUSE), Error::Backend { backend: "sqlite", .. }));
    }

    #[test]
    fn a_full_disk_under_the_lock_file_is_full() {
        let source = io::ErrorKind::StorageFull.into();
        let failure = Failure::Io { verb: "create", path: "metadata.db.lock".into(), source };
        assert!(matches!(failure.into(), Error::Full { backend: "sqlite" }));
    }
}
