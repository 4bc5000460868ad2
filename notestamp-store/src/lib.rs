#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![warn(unreachable_pub)]

pub mod archive;
pub mod backup;
mod blob;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod data_folder;
pub mod disk;
mod domain;
mod durability;
mod error;
mod iso8601;
#[cfg(feature = "mongodb")]
mod legacy;
mod memory_budget;
pub mod protocol;
mod random;
pub mod records;
mod short_work;
mod store;

pub use blob::{
    BlobStore, BlobUrl, ByteStream, Ingest, ListedObject, PRESIGNED_TIME_MAX, PresignedHeaders, StagedObject,
};
pub use clock::{Clock, ManualClock, MonotonicTime, SystemClock, Timestamp};
pub use data_folder::{DataFolder, DataFolderError};
pub use domain::*;
pub use durability::Durability;
pub use error::{Error, Result, error_chain};
#[cfg(feature = "mongodb")]
pub use legacy::LegacySource;
pub use memory_budget::{MemoryBudget, MemoryScope, MemoryShare};
pub use random::{OsRandom, Random};
pub use store::{
    ArchivedProject, ArchivedState, CheckEvent, CheckOptions, CheckReport, Dedup, Export, ExportScope,
    Exported, ExportedFile, Finding, FindingName, HistoryPage, ImportPlan, ImportStep,
    NOTES_INLINE_BYTES_MAX, Opened, ProjectStream, Save, SaveRequest, StateImport, Store, StoreBuilder,
    StoreSettings, SweepReport, TrashPage,
};
#[cfg(feature = "mongodb")]
pub use store::{LegacyEvent, LegacyFinding, LegacyFindingName, LegacyReport};
