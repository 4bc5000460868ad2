//! Sorts the errors of MongoDB into the outcomes that a caller can act on.

use std::error::Error as _;
use std::time::Duration;

use mongodb::error::{
    Error as DriverError, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
    WriteFailure,
};

use crate::domain::InvalidValue;
use crate::error::Error;

/// The name of this backend in errors and logs.
pub(super) const BACKEND: &str = "mongodb";

/// Why a step inside this backend failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// An outcome that is returned to the caller unchanged.
    #[error(transparent)]
    Outcome(#[from] Error),
    #[error("{}", said(.0))]
    Driver(#[from] DriverError),
    /// A unique index contains this key already, written by a transaction that is not in our snapshot.
    #[error("another transaction has written the same key")]
    DuplicateKey,
    #[error("no response within {} s{}", limit.as_secs(), last.as_ref().map(|it| format!(", and before that: {it}")).unwrap_or_default())]
    TimedOut { limit: Duration, last: Option<String> },
    #[error("no primary responds; where the replica set is new, run rs.initiate() once in mongosh ({said})")]
    NoPrimary { said: String },
    #[error(
        "this is a standalone server, and transactions need a replica set: start mongod with --replSet NAME \
         and run rs.initiate() once in mongosh; one node is enough"
    )]
    Standalone,
    #[error(
        "the database {database} was written by a newer version of this program: its schema is {found}, \
         known here is {known}"
    )]
    NewerSchema { database: String, found: i64, known: i64 },
    #[error("the database {database} belongs to another program")]
    ForeignSchema { database: String },
    #[error("{field} contains a value that this program does not write")]
    Field { field: &'static str },
    #[error("a row that was read no longer exists")]
    RowLost,
    #[error("the store is closed")]
    Closed,
}

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<InvalidValue> for Failure {
    fn from(invalid: InvalidValue) -> Self {
        Self::Outcome(invalid.into())
    }
}

impl Failure {
    /// Whether the transaction has been aborted, and may succeed if it is retried as a whole.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Driver(error) => {
                error.contains_label(TRANSIENT_TRANSACTION_ERROR)
                    || is_duplicate_key(error)
                    || codes(error).contains(&INTERRUPTED)
            }
            Self::DuplicateKey => true,
            _ => false,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Driver(error) => class_of(error),
            Self::DuplicateKey | Self::TimedOut { .. } | Self::NoPrimary { .. } | Self::Closed => {
                Class::Unavailable
            }
            Self::Field { .. } | Self::RowLost | Self::ForeignSchema { .. } => Class::Corrupt,
            Self::Standalone | Self::NewerSchema { .. } | Self::Outcome(_) => Class::Other,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match (failure.class(), failure) {
            (_, Failure::Outcome(outcome)) => outcome,
            (Class::Full, _) => Self::Full { backend: BACKEND },
            // Only the text is kept: the driver's error contains the server's whole response, with values such as an
            // email address.
            (Class::Unavailable, failure) => {
                Self::Unavailable { backend: BACKEND, source: failure.to_string().into() }
            }
            (Class::Corrupt, failure) => Self::Corrupt(format!("{BACKEND}: {failure}")),
            (Class::Other, failure) => Self::Backend { backend: BACKEND, source: failure.to_string().into() },
        }
    }
}

/// Whether a unique index has refused a write.
pub(super) fn is_duplicate_key(error: &DriverError) -> bool {
    codes(error).contains(&DUPLICATE_KEY)
}

/// Whether a commit must be repeated to know its outcome: its response is lost, it is not on a majority yet, or was
/// interrupted because another process ended this session as abandoned.
pub(super) fn is_commit_in_doubt(error: &DriverError) -> bool {
    error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) || codes(error).contains(&INTERRUPTED)
}

const DUPLICATE_KEY: i32 = 11_000;
/// The session of the operation was ended. Its transaction is aborted, unless the operation was its commit.
const INTERRUPTED: i32 = 11_601;
const OUT_OF_DISK_SPACE: i32 = 14_031;

/// Errors after which a retry may succeed, at this server or at another after an election: the retryable codes of the
/// drivers' specifications, and those of aborted transactions and exceeded time limits.
const UNAVAILABLE: [i32; 25] = [
    6,      // HostUnreachable
    7,      // HostNotFound
    24,     // LockTimeout
    43,     // CursorNotFound
    50,     // MaxTimeMSExpired
    64,     // WriteConcernFailed
    89,     // NetworkTimeout
    91,     // ShutdownInProgress
    112,    // WriteConflict
    133,    // FailedToSatisfyReadPreference
    134,    // ReadConcernMajorityNotAvailableYet
    189,    // PrimarySteppedDown
    225,    // TransactionTooOld
    239,    // SnapshotTooOld
    246,    // SnapshotUnavailable
    251,    // NoSuchTransaction
    262,    // ExceededTimeLimit
    290,    // TransactionExceededLifetimeLimitSeconds
    9_001,  // SocketException
    10_058, // LegacyNotPrimary
    10_107, // NotWritablePrimary
    11_600, // InterruptedAtShutdown
    11_602, // InterruptedDueToReplStateChange
    13_435, // NotPrimaryNoSecondaryOk
    13_436, // NotPrimaryOrSecondary
];

enum Class {
    Full,
    Unavailable,
    Corrupt,
    Other,
}

fn class_of(error: &DriverError) -> Class {
    let codes = codes(error);
    if codes.contains(&OUT_OF_DISK_SPACE) {
        return Class::Full;
    }
    match &*error.kind {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Shutdown
        | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => Class::Unavailable,
        // Every written document can be parsed, so one that cannot was damaged.
        ErrorKind::Bson(_) => Class::Corrupt,
        _ if codes.iter().any(|code| UNAVAILABLE.contains(code)) => Class::Unavailable,
        _ => Class::Other,
    }
}

/// The server's error codes, including those of the causes: when authentication is interrupted, only a cause has the
/// code.
fn codes(error: &DriverError) -> Vec<i32> {
    let mut codes = codes_of(&error.kind);
    let mut cause = error.source();
    while let Some(error) = cause {
        // The driver boxes an error of its own when it is a cause.
        let boxed = error.downcast_ref::<Box<DriverError>>().map(|boxed| &**boxed);
        if let Some(error) = boxed.or_else(|| error.downcast_ref()) {
            codes.extend(codes_of(&error.kind));
        }
        cause = error.source();
    }
    codes
}

fn codes_of(kind: &ErrorKind) -> Vec<i32> {
    match kind {
        ErrorKind::Command(refused) => vec![refused.code],
        ErrorKind::Write(WriteFailure::WriteError(refused)) => vec![refused.code],
        ErrorKind::Write(WriteFailure::WriteConcernError(refused)) => vec![refused.code],
        ErrorKind::InsertMany(refused) => {
            let concern = refused.write_concern_error.iter().map(|it| it.code);
            refused.write_errors.iter().flatten().map(|it| it.code).chain(concern).collect()
        }
        _ => Vec::new(),
    }
}

/// Maps the outcome of the first command to a server.
pub(super) fn first_response<T>(response: Result<T, DriverError>) -> Result<T> {
    response.map_err(|error| match &*error.kind {
        ErrorKind::ServerSelection { .. } => Failure::NoPrimary { said: said(&error) },
        _ => Failure::Driver(error),
    })
}

/// The message of an error, without the keys that a unique index repeats and without the server's whole response.
fn said(error: &DriverError) -> String {
    match &*error.kind {
        _ if is_duplicate_key(error) => "a unique index has this key already".to_owned(),
        ErrorKind::Command(refused) => {
            format!("{} ({}): {}", refused.code_name, refused.code, refused.message)
        }
        ErrorKind::Write(WriteFailure::WriteError(refused)) => {
            format!("write error {}: {}", refused.code, refused.message)
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(refused)) => {
            format!("write concern error {}: {}", refused.code, refused.message)
        }
        ErrorKind::InsertMany(_) => format!("write errors {:?}", codes(error)),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::error::CommandError;

    use super::*;

    #[track_caller]
    fn outcome(kind: impl Into<ErrorKind>) -> Error {
        Failure::Driver(DriverError::from(kind.into())).into()
    }

    #[test]
    fn a_broken_connection_is_unavailable() {
        let outcome = outcome(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(matches!(outcome, Error::Unavailable { backend: "mongodb", .. }), "{outcome:?}");
    }

    #[test]
    fn what_may_succeed_at_another_server_is_unavailable() {
        // A primary that has stepped down or is shutting down, and one whose cursors were lost with it.
        for code in [10_058, 10_107, 11_600, 13_435, 13_436, 43] {
            let refused = mongodb::bson::doc! { "code": code, "codeName": "", "errmsg": "" };
            let refused: CommandError = mongodb::bson::deserialize_from_document(refused).unwrap();
            let outcome = outcome(ErrorKind::Command(refused));
            assert!(matches!(outcome, Error::Unavailable { .. }), "{code}: {outcome:?}");
        }
    }

    #[test]
    fn a_damaged_document_is_corrupt() {
        let damaged = mongodb::bson::deserialize_from_slice::<mongodb::bson::Document>(&[1, 2, 3]);
        let outcome = outcome(damaged.expect_err("these are no document"));
        assert!(matches!(outcome, Error::Corrupt(_)), "{outcome:?}");
    }

    #[test]
    fn a_transaction_that_always_conflicts_reports_the_reason() {
        let failure = Failure::TimedOut { limit: Duration::from_secs(5), last: Some("conflict".to_owned()) };
        assert_eq!(failure.to_string(), "no response within 5 s, and before that: conflict");
    }
}
