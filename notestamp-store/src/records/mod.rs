//! The record store: accounts, sessions, projects and the ledger, behind one trait for each.

#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "sqlite")]
mod sqlite;

mod memory;
mod objects;
mod projects;
#[cfg(any(feature = "mongodb", feature = "sqlite"))]
mod respelling;
mod sessions;
mod users;

use async_trait::async_trait;

use crate::error::Result;

pub use memory::MemoryRecords;
#[cfg(feature = "mongodb")]
pub use mongodb::MongoDbRecords;
pub use objects::ObjectLedger;
pub use projects::{Deleted, ProjectStore, SaveOutcome};
pub use sessions::SessionStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteRecords;
pub use users::UserStore;

/// A backend that keeps all records.
///
/// # Contract
/// - A method is one atomic step, however many records it spans: others see all of it or nothing,
///   and whoever has been answered has been seen by all that ask later, in every process.
/// - An answered change survives the end of the process.
/// - Where a method fails, it changed nothing, or its failure is [`Error::Unavailable`] and it may have.
/// - Bounded: steps over many records take a limit and are repeated.
/// - The time is always an argument.
///
/// Clones of an `Arc` share everything. `conformance` holds the suite that every backend passes.
///
/// [`Error::Unavailable`]: crate::Error::Unavailable
/// [`Error::Full`]: crate::Error::Full
#[async_trait]
pub trait RecordStore: UserStore + SessionStore + ProjectStore + ObjectLedger {
    /// A short name for logs and errors: `sqlite`, `mongodb`, …
    fn name(&self) -> &'static str;

    /// Whether no other process can use these records while this one has them open.
    ///
    /// Then whatever is reserved when they are opened was reserved by a process that is no more.
    fn is_exclusive(&self) -> bool;

    /// Answers if the backend does, reading as a request would.
    async fn ping(&self) -> Result<()>;

    /// Fails with [`Error::Full`] where so little space is free that nothing more should be added. What frees space, ends
    /// sessions or starts them is not refused then.
    ///
    /// A backend whose space is not this process's concern returns `Ok`.
    async fn ensure_room(&self) -> Result<()>;

    /// Ends it in good order: what was accepted is done, and what comes later is refused.
    async fn close(&self) -> Result<()>;
}
