//! The domain's types: a value of such a type is always valid. No I/O, no async.

mod caller;
mod cursor;
mod digest;
mod email;
mod extra_fields;
mod id;
mod invalid_value;
mod json;
mod last_modified;
mod media_type;
mod metadata;
mod namespace;
// Index terms of titles; the record store in memory has no index.
#[cfg(any(feature = "sqlite", feature = "mongodb"))]
mod ngrams;
mod notes;
mod object;
mod password_hash;
mod precondition;
mod project;
mod project_key;
mod query;
mod revision;
mod session;
mod session_epoch;
mod title;
mod trash;
mod user;
mod version;

pub use caller::Caller;
pub use cursor::{Cursor, Sort};
pub use digest::{Digest, Hasher};
pub use email::Email;
pub use extra_fields::{ExtraFields, METADATA_BYTES_MAX};
pub use id::{ObjectId, ProjectId, SessionId, StoreId, TokenId, UserId};
pub use invalid_value::InvalidValue;
pub use last_modified::LastModified;
pub use media_type::{ContentType, MediaType};
pub use metadata::{Metadata, SRC_BYTES_MAX};
pub use namespace::Namespace;
pub use notes::Notes;
pub use object::{Object, ObjectKind, ObjectPlace, ObjectState};
pub use password_hash::PasswordHash;
pub use precondition::Precondition;
pub use project::{MediaRef, NotesRef, Project};
pub use project_key::ProjectKey;
pub use query::{ListQuery, Order, Page, Start};
pub use revision::Revision;
pub use session::{AccessUse, Refresh, RefreshUse, Revocation, RevocationReason, Session, SessionTtl};
pub use session_epoch::SessionEpoch;
pub use title::Title;
pub use trash::{TrashCursor, Trashed};
pub use user::{Usage, User};
pub use version::{Version, VersionTimes};
