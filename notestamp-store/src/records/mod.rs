//! The record store: user records, sessions, projects, their history, the trash and the ledger, one trait for each, and
//! three for checks, backups and restores.

#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(any(feature = "mongodb", feature = "sqlite"))]
mod account_queue;
mod audit;
mod damaged;
mod history;
mod holds;
mod identity;
mod imports;
mod memory;
mod objects;
mod omitted;
mod projects;
#[cfg(any(feature = "mongodb", feature = "sqlite"))]
mod respelling;
mod restores;
mod sessions;
mod snapshot;
mod trash;
mod users;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{ObjectKind, StoreId};
use crate::error::Result;

pub use audit::{AuditedObject, DanglingPage, RecordAudit, Referrers};
pub use damaged::{DamagedPage, DamagedRecord, RecordKey, RecordKind};
pub use history::{HistoryStore, ReplacedAt, ThinnedHistory};
pub use holds::HoldStore;
pub use identity::StoreIdentity;
pub use imports::ImportLog;
pub use memory::MemoryRecords;
#[cfg(feature = "mongodb")]
pub use mongodb::MongoDbRecords;
pub use objects::ObjectLedger;
pub use omitted::damaged_omitted;
pub(crate) use omitted::omit_damaged;
pub use projects::{Deleted, ListStart, ProjectStore, SaveOutcome};
pub use restores::RestoreStore;
pub use sessions::SessionStore;
pub use snapshot::{RecordSnapshot, SnapshotRecord, StateKind, StateRecord};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteRecords;
pub use trash::TrashStore;
pub use users::UserStore;

/// A backend that keeps all records.
///
/// # Contract
/// - Each method is one atomic step, however many records it spans: a concurrent call sees all of its change, or none
///   of it.
/// - Calls are linearizable: a completed call is visible to every later call, in every process.
/// - Durable: a change outlives the process once its method has returned `Ok`.
/// - A failed call has changed nothing, with one exception: after [`Error::Unavailable`] the outcome is unknown.
/// - Bounded: a step over many records takes a limit, and the caller repeats it.
/// - The current time is always an argument; a backend does not read a clock for it.
/// - A damaged record is [`Error::Corrupt`] if it is read by itself. Lists, purges and sweeps omit it, log it, count
///   it ([`damaged_omitted`]) and go on; the other records of its account are not affected.
///
/// Clones of an `Arc` share one backend. The module `conformance` holds the suite that every backend passes.
///
/// [`Error::Unavailable`]: crate::Error::Unavailable
/// [`Error::Corrupt`]: crate::Error::Corrupt
#[async_trait]
pub trait RecordStore:
    UserStore
    + SessionStore
    + ProjectStore
    + HistoryStore
    + TrashStore
    + ObjectLedger
    + RecordAudit
    + HoldStore
    + RestoreStore
    + ImportLog
{
    /// A short name for logs and errors: `sqlite`, `mongodb`, …
    fn name(&self) -> &'static str;

    /// Whether no other process can use these records while this one has them open.
    ///
    /// If so, every row that is reserved at the time of opening was reserved by a process that has ended.
    fn is_exclusive(&self) -> bool;

    /// Returns the identity of the store that these records belong to. If the records have none yet, `proposed`
    /// becomes its id; of two processes that call this concurrently, both get the same id.
    async fn claim_identity(&self, proposed: StoreId) -> Result<StoreIdentity>;

    /// Records that the blob store of this kind has been given the id.
    async fn mark_blob_store(&self, kind: ObjectKind) -> Result<()>;

    /// Reads up to `limit` records of a kind in the order of their ids, after the id `after`; returns the damaged ones.
    async fn find_damaged(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<DamagedPage>;

    /// Checks that the backend is available, with a read such as a request makes.
    async fn ping(&self) -> Result<()>;

    /// The time of the backend's server, by its own clock; `None` if the backend runs in this process.
    async fn server_time(&self) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    /// Fails with [`Error::Full`](crate::Error::Full) if too little space is free to add more. Calls that free space,
    /// and calls that start or end sessions, are allowed nevertheless.
    ///
    /// A backend whose space this process cannot know returns `Ok`.
    async fn ensure_room(&self) -> Result<()>;

    /// Shuts down gracefully: calls that were accepted are completed, later calls are refused.
    async fn close(&self) -> Result<()>;
}
