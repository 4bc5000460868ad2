//! Backups: a folder with the records and the bytes of a store, which can be restored into a store of any kind.
//!
//! ```text
//! manifest.json          the version of this format, and the id of the store
//! snapshots/TIME.jsonl   the records of one instant, one JSON object on each line; the last line has their digest
//! blobs/xx/DIGEST        the bytes of notes and media, once for all snapshots; xx are the first two digits
//! ```
//!
//! A backup holds the bytes in the store, reads the records of one instant, copies those blobs that the folder lacks,
//! and then gives the snapshot its name. So a snapshot that has its name is whole, and an interrupted backup leaves
//! only blobs, which the next one does not copy again.

mod backup_error;
mod blob_ref;
mod blobs;
mod copy;
mod event;
mod folder;
mod lines;
mod lock;
mod manifest;
mod prune;
mod restore;
mod snapshot_file;
mod source;
mod target;
mod text;
mod verify;

pub use backup_error::BackupError;
pub use blob_ref::BlobRef;
pub use copy::{BackupReport, back_up};
pub use event::{BackupEvent, BackupEvents, BackupFinding};
pub use folder::{BackupFolder, SnapshotEntry};
pub use lines::{SnapshotLine, StateLine, UserLine};
pub use prune::{PruneReport, prune};
pub use restore::{RestoreReport, restore};
pub use source::{BackupSource, SourceSnapshot};
pub use target::{BlobTarget, RestoreTarget};
pub use verify::{VerifyReport, verify};
