//! What can go wrong, sorted by what a caller can do about it.

use std::error::Error as StdError;

use crate::domain::{InvalidValue, Revision, StoreId};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an error says, and then what each of its causes says: one line, for a log.
pub fn error_chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// An outcome other than success.
///
/// What a caller can act on has a variant of its own; the rest is [`Error::Backend`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such thing, or it is somebody else's: the two are not told apart.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// What was to be created is there already.
    #[error("{what} already exists")]
    AlreadyExists {
        /// What was to be created.
        what: &'static str,
    },
    /// A value that cannot be kept.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// The project is not in the state that the save was made for.
    #[error("the project has changed since it was read")]
    PreconditionFailed {
        /// The revision that it has, or none where there is no such project.
        current: Option<Revision>,
    },
    /// A save named media by digest that its owner does not have: send the bytes.
    #[error("the media of this digest is needed")]
    MediaNeeded,
    /// The project has media of other bytes already: they are not replaced.
    #[error("the project has other media already")]
    MediaDiffers,
    /// The media that came has another digest than was announced.
    #[error("the media does not have the announced digest")]
    DigestMismatch,
    /// More bytes than a named limit allows.
    #[error("{what} exceeds {max} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in bytes.
        max: u64,
    },
    /// The upload took longer than an upload may; nothing of it is kept.
    #[error("the upload took longer than an upload may")]
    UploadExpired,
    /// The session that asked for it has ended meanwhile: nothing is changed.
    #[error("the session has ended")]
    SessionEnded,
    /// The account would use more than its quota.
    #[error("the account's quota of {max} bytes is used up")]
    QuotaExceeded {
        /// The quota, in bytes.
        max: u64,
    },
    /// Another process, or another part of this one, has it open, and only one may.
    #[error("{what} is in use")]
    InUse {
        /// What is in use.
        what: String,
    },
    /// A blob store is not the one that the records belong to. Nothing in it is touched.
    #[error(
        "the {blobs} does not belong to the records in {records}: {}, and the records are of store {expected}; a disk may \
         not be mounted, or a folder, a bucket, a prefix or a database is not the one that was meant",
        match found {
            Some(found) => format!("it is of store {found}"),
            None => "it carries no store id, or lacks what the records name".to_owned(),
        }
    )]
    ForeignStore {
        /// The blob store, and where it is.
        blobs: String,
        /// The backend of the records.
        records: &'static str,
        /// The store of the records.
        expected: StoreId,
        /// The store of the blob store, where it says so.
        found: Option<StoreId>,
    },
    /// The disk or the quota under a backend is full, or so little is free that it is kept for deletions.
    #[error("{backend}: no space left")]
    Full {
        /// The backend.
        backend: &'static str,
    },
    /// The file system under a backend, or a limit of the process, does not take a file of this size.
    #[error("{backend}: the file system takes no file of this size")]
    FileTooLarge {
        /// The backend.
        backend: &'static str,
    },
    /// A backend does not answer now, and may later.
    #[error("{backend} is unavailable")]
    Unavailable {
        /// The backend.
        backend: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The body that the caller hands over broke off; nothing of it is kept.
    #[error("the body broke off")]
    Body(#[source] Box<dyn StdError + Send + Sync>),
    /// What a backend holds contradicts itself.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// Anything else that a backend says.
    #[error("{backend} failed")]
    Backend {
        /// The backend.
        backend: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}
