//! The record store: accounts, sessions, projects and the ledger, behind one trait for each.

#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "sqlite")]
mod sqlite;

mod memory;
mod objects;
mod projects;
mod sessions;
mod users;

use async_trait::async_trait;

use crate::domain::{ObjectKind, StoreId};
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

/// A kind of record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// An account.
    User,
    /// A session.
    Session,
    /// A project.
    Project,
    /// A row of the ledger.
    Object,
}

impl RecordKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::User, Self::Session, Self::Project, Self::Object];

    /// Its name, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Project => "project",
            Self::Object => "object",
        }
    }
}

/// The id of a record of any kind, as it is kept.
pub type RecordKey = Vec<u8>;

/// A record that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedRecord {
    /// What it is.
    pub kind: RecordKind,
    /// Its id, in hexadecimal digits.
    pub id: String,
    /// What is wrong with it.
    pub detail: String,
}

impl DamagedRecord {
    #[cfg(any(feature = "sqlite", feature = "mongodb"))]
    fn new(kind: RecordKind, key: &[u8], detail: String) -> Self {
        let id = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { kind, id, detail }
    }
}

/// Those of some records that are damaged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DamagedPage {
    /// The damaged.
    pub damaged: Vec<DamagedRecord>,
    /// Where the next page begins; absent where there is none.
    pub next: Option<RecordKey>,
}

/// Which store the records are of, and which of its blob stores have been given its id.
///
/// A blob store that has been given the id and does not hold it is another one, or has lost everything. One that never
/// was may be of an earlier version of this program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreIdentity {
    /// The store.
    pub id: StoreId,
    /// Whether the notes store has been given it.
    pub notes_marked: bool,
    /// Whether the media store has been given it.
    pub media_marked: bool,
}

impl StoreIdentity {
    /// One that no blob store has been given.
    pub fn new(id: StoreId) -> Self {
        Self { id, notes_marked: false, media_marked: false }
    }

    /// Whether the blob store of this kind has been given the id.
    pub fn is_marked(&self, kind: ObjectKind) -> bool {
        match kind {
            ObjectKind::Notes => self.notes_marked,
            ObjectKind::Media => self.media_marked,
        }
    }

    /// The blob store of this kind has been given the id.
    pub fn mark(&mut self, kind: ObjectKind) {
        match kind {
            ObjectKind::Notes => self.notes_marked = true,
            ObjectKind::Media => self.media_marked = true,
        }
    }
}

/// A backend that keeps all records.
///
/// # Contract
/// - A method is one atomic step, however many records it spans: others see all of it or nothing,
///   and whoever has been answered has been seen by all that ask later, in every process.
/// - An answered change survives the end of the process.
/// - Where a method fails, it changed nothing, or its failure is [`Error::Unavailable`] and it may have.
/// - Bounded: steps over many records take a limit and are repeated.
/// - The time is always an argument.
/// - A record that is damaged is [`Error::Corrupt`] where it is asked for by itself. It is left out of lists, purges and
///   sweeps, which go on past it, and logged; what else its account has is as good as before.
///
/// Clones of an `Arc` share everything. `conformance` holds the suite that every backend passes.
///
/// [`Error::Unavailable`]: crate::Error::Unavailable
/// [`Error::Corrupt`]: crate::Error::Corrupt
/// [`Error::Full`]: crate::Error::Full
#[async_trait]
pub trait RecordStore: UserStore + SessionStore + ProjectStore + ObjectLedger {
    /// A short name for logs and errors: `sqlite`, `mongodb`, …
    fn name(&self) -> &'static str;

    /// Whether no other process can use these records while this one has them open.
    ///
    /// Then whatever is reserved when they are opened was reserved by a process that is no more.
    fn is_exclusive(&self) -> bool;

    /// The identity of the store that these records are of. Where they have none yet, `proposed` becomes its id; of two
    /// processes at the same moment, both return the same.
    async fn claim_identity(&self, proposed: StoreId) -> Result<StoreIdentity>;

    /// Notes that the blob store of this kind holds the id.
    async fn mark_blob_store(&self, kind: ObjectKind) -> Result<()>;

    /// Reads up to `limit` records of a kind, in the order of their ids, after that one: those among them that are damaged.
    async fn find_damaged(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<DamagedPage>;

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
