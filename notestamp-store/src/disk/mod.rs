//! The local file system, for the embedded default: durable creation, free space, and classification of errors.
//!
//! Both halves of a store use it: the records in SQLite and the blobs in local folders. A program may use it for its
//! own files beside them. All functions block.

mod create;
mod errno;
#[cfg(feature = "sqlite")]
mod reserve;
mod space;

#[cfg(feature = "sqlite")]
pub(crate) use create::folder_of;
pub use create::{create_folder, create_private_file};
pub(crate) use create::{make_folder, private, sync_folder};
pub(crate) use errno::{Class, at, class_of, class_of_chain, is};
#[cfg(feature = "sqlite")]
pub(crate) use reserve::Reserve;
pub use space::FREE_BYTES_MIN;
pub(crate) use space::{ensure_room, probe};
