//! The data of the original Node backend, which is only read: users with their projects in MongoDB, notes and media in a
//! bucket.

mod bcrypt_hash;
mod document;
mod source;

pub(crate) use bcrypt_hash::is_bcrypt;
pub(crate) use document::{LegacyProject, LegacyUser, document_titles};
pub use source::LegacySource;
pub(crate) use source::SourceObject;
