//! The file system under the embedded default: creating durably, free space, and what its errors mean.
//!
//! Both halves of a store use it, the records in SQLite and the blobs in local folders, and so may a program that keeps
//! files of its own beside them. Everything here blocks.

mod create;
mod errno;
#[cfg(feature = "sqlite")]
mod reserve;
mod space;

#[cfg(feature = "sqlite")]
pub(crate) use create::folder_of;
pub(crate) use create::make_folder;
pub use create::{create_folder, create_private_file, private, sync_folder};
pub(crate) use errno::{Class, at, class_of, class_of_chain, is};
#[cfg(feature = "sqlite")]
pub(crate) use reserve::Reserve;
pub use space::FREE_BYTES_MIN;
pub(crate) use space::{ensure_room, probe};
