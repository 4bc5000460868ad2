//! The error type of the crate. Its variants differ by what a caller can do about them.

use std::error::Error as StdError;

use crate::domain::{InvalidValue, Revision, StoreId};

/// The result of every operation of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The message of an error, followed by the messages of its causes, on one line for a log.
pub fn error_chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Why an operation failed.
///
/// A failure that a caller can act on has its own variant; every other failure is [`Error::Backend`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The account does not exist, or has been removed.
    #[error("account not found")]
    NoSuchAccount,
    /// The project does not exist, or belongs to another account: the two cases look the same to the caller.
    #[error("project not found")]
    NoSuchProject,
    /// The project has no version of this revision: it never existed, or the history has been thinned out since.
    #[error("version not found")]
    NoSuchVersion,
    /// A project of the account has the title that a project from the trash was to get.
    #[error("another project has this title")]
    TitleTaken,
    /// Another account has the email address that was to be registered.
    #[error("account already exists")]
    EmailTaken,
    /// The ledger already has a row of an id that was to be reserved: ids are random, so the source of randomness is
    /// faulty.
    #[error("object already exists")]
    ObjectExists,
    /// A value is invalid and cannot be stored.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// The precondition of a save or a deletion does not hold.
    #[error("the project has changed since it was read")]
    PreconditionFailed {
        /// The current revision of the project; `None` if the project is absent.
        current: Option<Revision>,
    },
    /// A save named media by a digest that its owner does not have. The client must send the bytes.
    #[error("the media with this digest is not on the server: send its bytes")]
    MediaNeeded,
    /// The project has media with another digest already, and without a history its media is never replaced.
    #[error("the project already has other media")]
    MediaDiffers,
    /// The received media has another digest than the save announced.
    #[error("the media does not have the announced digest")]
    DigestMismatch,
    /// More bytes than a named limit allows.
    #[error("{what} exceeds {max} bytes")]
    TooLarge {
        /// The name of the value that is too large.
        what: &'static str,
        /// The limit, in bytes.
        max: u64,
    },
    /// The upload did not finish before its deadline; nothing of it is kept.
    #[error("the upload took too long")]
    UploadExpired,
    /// The session of the caller has ended; the operation changed nothing.
    #[error("the session has ended")]
    SessionEnded,
    /// The account would use more than its quota.
    #[error("the account's quota of {max} bytes is used up")]
    QuotaExceeded {
        /// The quota, in bytes.
        max: u64,
    },
    /// The account has as many projects as it may have, and this would be one more.
    #[error("the account has {max} projects, and may not have more")]
    TooManyProjects {
        /// The limit.
        max: u64,
    },
    /// The account has as many uploads in progress as it may have: a retry later may succeed. Nothing was received.
    #[error("the account has {max} uploads in progress; try again when one has ended")]
    TooManyUploads {
        /// The limit.
        max: usize,
    },
    /// The account has as many exports in progress as it may have: a retry later may succeed.
    #[error("the account has {max} exports in progress; try again when one has ended")]
    TooManyExports {
        /// The limit.
        max: usize,
    },
    /// Another process, or another part of this process, has opened a resource that only one may open.
    #[error("{what} is in use")]
    InUse {
        /// The resource that is in use.
        what: String,
    },
    /// A blob store does not belong to the same store as the records. Nothing in it is changed.
    #[error(
        "the {blobs} does not belong to the records in {records}: {}, and the records are of store {expected}; is a disk \
         not mounted, or a wrong folder, bucket, prefix or database configured?",
        match found {
            Some(found) => format!("it is of store {found}"),
            None => "it has no file `.store-id`, or lacks what the records name".to_owned(),
        }
    )]
    ForeignStore {
        /// The name and the location of the blob store.
        blobs: String,
        /// The name of the backend that keeps the records.
        records: &'static str,
        /// The store id in the records.
        expected: StoreId,
        /// The store id in the blob store; `None` if it holds no readable id.
        found: Option<StoreId>,
    },
    /// A backup is being restored into this store. Only the same restore may go on; nothing else is served until it has
    /// ended.
    #[error(
        "a backup is being restored into this store: repeat `restore` with the same snapshot until it has ended"
    )]
    Restoring,
    /// A backup can only be restored into a store without accounts, projects and objects.
    #[error("the store is not empty: a backup can only be restored into an empty one")]
    NotEmpty,
    /// The hold of a backup is gone: the backup took a break that was so long that bytes may have been deleted.
    #[error("the backup was interrupted for too long; repeat it")]
    HoldLost,
    /// The disk or the quota of a backend is full, or the free space is so small that it is reserved for deletions.
    #[error("{backend}: no space left")]
    Full {
        /// The name of the backend.
        backend: &'static str,
    },
    /// The file system of a backend, or a limit of the process, does not allow a file of this size.
    #[error("{backend}: the file system does not support files of this size")]
    FileTooLarge {
        /// The name of the backend.
        backend: &'static str,
    },
    /// A backend is unavailable: a retry later may succeed. The outcome of the failed call is unknown.
    #[error("{backend} is unavailable")]
    Unavailable {
        /// The name of the backend.
        backend: &'static str,
        /// The error of the backend.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Too many bytes of other requests are held in memory: a retry later may succeed. The operation changed nothing.
    #[error("too many bytes are held in memory")]
    OutOfMemory,
    /// The body that the caller supplied ended with an error; nothing of it is kept.
    #[error("the connection was closed before the end of the body")]
    Body(#[source] Box<dyn StdError + Send + Sync>),
    /// The stored data is inconsistent.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// Any other error of a backend.
    #[error("{backend} failed")]
    Backend {
        /// The name of the backend.
        backend: &'static str,
        /// The error of the backend.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}
