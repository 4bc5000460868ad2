use notestamp_store::backup::BackupError;
use notestamp_store::{Error, InvalidValue, error_chain};
use serde::{Deserialize, Serialize};

use super::exit::Exit;
use crate::error::ApiError;
use crate::storage::StorageError;

/// Why a tool could not do what it should.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) exit: Exit,
    /// Whether all that the tool has left to do would fail too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_final: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), is_final: exit == Exit::Unreachable }
    }

    pub(super) fn unreachable(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(Exit::Unreachable, format!("{what}: {}", error_chain(error)))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Invalid(_) | Error::NotEmpty | Error::Restoring => Exit::WrongUse,
            Error::Unavailable { .. }
            | Error::Backend { .. }
            | Error::InUse { .. }
            | Error::ForeignStore { .. } => Exit::Unreachable,
            _ => Exit::Incomplete,
        };
        Self::new(exit, error_chain(&error))
    }
}

impl From<InvalidValue> for Failure {
    fn from(error: InvalidValue) -> Self {
        Error::from(error).into()
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        let exit = match &error {
            StorageError::Open { source: Error::Restoring, .. } => Exit::WrongUse,
            _ => Exit::Unreachable,
        };
        Self::new(exit, error_chain(&error))
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            BackupError::Remote(error) => match error.downcast::<Self>() {
                Ok(failure) => *failure,
                Err(error) => Self::unreachable("the server does not respond", &*error),
            },
            BackupError::WrongUse(message) => Self::new(Exit::WrongUse, message),
            error => Self::new(Exit::Incomplete, error_chain(&error)),
        }
    }
}

/// A password could not be hashed.
impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::new(Exit::Incomplete, error.to_string())
    }
}
