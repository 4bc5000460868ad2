//! The layout of an exported account, which is that of the notestamp client's own File Sync.
//!
//! A project is a folder: `TITLE/.metadata.json` with its metadata, `TITLE/.TITLE.json` with its notes,
//! `TITLE/TITLE.EXT` with its media, and `TITLE/.notestamp.json` with what only this program knows. History and trash lie
//! beside the projects, in the same form: `.history/TITLE/REVISION/` and `.trash/TITLE~ID/`; the versions of a project
//! in the trash are in `.history/TITLE~ID/REVISION/`.

mod documents;
mod folder;
mod names;
mod tar;

pub use documents::{ArchivedMetadata, Details};
pub use folder::{Folder, HISTORY, Place, StateFile, TRASH};
pub(crate) use names::FolderName;
pub use names::{AmbiguousNames, is_device_name};
pub use tar::{tar_end, tar_header, tar_padding};
