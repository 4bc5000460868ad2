//! The front door: records and blobs together, in an order that no crash can break.

mod accounts;
mod check;
mod clock_looks;
mod delete;
mod identity;
mod list;
mod media;
mod open;
mod reaper;
mod reservation;
mod save;
mod sessions;
mod sweep;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::blob::BlobStore;
use crate::clock::{Clock, SystemClock};
use crate::domain::{Namespace, ObjectKind, SessionTtl, StoreId, UserId};
use crate::error::{Error, Result, error_chain};
use crate::random::{OsRandom, Random};
use crate::records::{RecordStore, StoreIdentity};

use clock_looks::{ClockLook, ClockLooks};

pub use check::CheckReport;
pub use open::Opened;
pub use save::{Save, SaveRequest};
pub use sweep::SweepReport;

/// Who shares equal bytes of media.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dedup {
    /// The projects of one account.
    #[default]
    User,
    /// All projects. A save then takes less time where anybody has the same file, which tells that
    /// somebody does: for servers whose users trust each other.
    Global,
}

/// What an operator may choose of a [`Store`].
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Who shares equal bytes of media.
    pub dedup: Dedup,
    /// The largest media file, in bytes.
    pub media_bytes_max: u64,
    /// The largest notes, in bytes.
    pub notes_bytes_max: u64,
    /// The most bytes that one account may use; none is no limit.
    pub quota_bytes_max: Option<u64>,
    /// How long an upload may take; a slower one fails, and nothing of it is kept.
    pub upload_time_max: Duration,
    /// How long media that no project refers to any more is spared.
    pub sweep_grace: Duration,
    /// How long the tokens of a session last.
    pub session_ttl: SessionTtl,
}

impl Default for StoreSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            dedup: Dedup::User,
            media_bytes_max: 2 << 30,
            notes_bytes_max: 16 << 20,
            quota_bytes_max: None,
            upload_time_max: Duration::from_secs(6 * 60 * 60),
            sweep_grace: Duration::from_secs(60 * 60),
            session_ttl: SessionTtl {
                access: Duration::from_secs(15 * 60),
                refresh: 30 * DAY,
                session_max: 180 * DAY,
            },
        }
    }
}

/// Accounts, their sessions, and their projects with notes and media.
///
/// What it answers with success is durable; what it does not is wholly there or wholly absent. Clones share
/// everything. The [`protocol`](crate::protocol) says how.
#[derive(Clone, Debug)]
pub struct Store {
    /// Which store it is, and which of its blob stores hold its id.
    identity: StoreIdentity,
    shared: Arc<Shared>,
}

const BLOB_STORES: [ObjectKind; 2] = [ObjectKind::Notes, ObjectKind::Media];

#[derive(Debug)]
struct Shared {
    records: Arc<dyn RecordStore>,
    notes: BlobStore,
    media: BlobStore,
    settings: StoreSettings,
    clock: Arc<dyn Clock>,
    clock_looks: Mutex<ClockLooks>,
    random: Arc<dyn Random>,
    /// Work that goes on after its caller has been answered, or has gone away.
    tasks: TaskTracker,
    reapers: Arc<tokio::sync::Semaphore>,
}

/// Puts a [`Store`] together.
#[derive(Debug)]
pub struct StoreBuilder {
    records: Arc<dyn RecordStore>,
    notes: BlobStore,
    media: BlobStore,
    settings: StoreSettings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl StoreBuilder {
    /// Chooses the settings.
    #[must_use]
    pub fn settings(self, settings: StoreSettings) -> Self {
        Self { settings, ..self }
    }

    /// Chooses the clock; the machine's own unless said otherwise.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Chooses the source of randomness; the operating system's unless said otherwise.
    #[must_use]
    pub fn random(self, random: Arc<dyn Random>) -> Self {
        Self { random, ..self }
    }

    /// Opens the store. Where no other process can use the records, what the process before left
    /// unfinished is given up here, for the next sweep to take away.
    ///
    /// A store that is new gets an id, which its records and both of its blob stores hold.
    ///
    /// # Errors
    /// - [`Error::ForeignStore`](crate::Error::ForeignStore) where a blob store is not the one that the records belong to.
    /// - Where a backend does not answer. One that is full does.
    pub async fn open(self) -> Result<Store> {
        let Self { records, notes, media, settings, clock, random } = self;
        let tasks = TaskTracker::new();
        let reapers = Arc::new(tokio::sync::Semaphore::new(reaper::REAPERS_MAX));
        let clock_looks = Mutex::new(ClockLooks::new(&*clock));
        let shared = Shared { records, notes, media, settings, clock, clock_looks, random, tasks, reapers };
        // Before anything is asked whose it is, each of the three must respond.
        let pinged = futures_util::try_join!(shared.records.ping(), shared.notes.ping(), shared.media.ping());
        match pinged {
            // It can be read, and what frees space works.
            Err(error @ Error::Full { .. }) => {
                tracing::warn!(
                    error = error_chain(&error),
                    "opened all the same: projects can be read and deleted"
                );
            }
            answered => drop(answered?),
        }
        let identity = shared.settle_identity().await?;
        let store = Store { identity, shared: Arc::new(shared) };
        if store.shared.records.is_exclusive() {
            store.doom_reservations_of_the_past().await?;
        }
        Ok(store)
    }
}

impl Store {
    /// Starts to put a store together from its three parts.
    pub fn builder(records: Arc<dyn RecordStore>, notes: BlobStore, media: BlobStore) -> StoreBuilder {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        StoreBuilder { records, notes, media, settings: StoreSettings::default(), clock, random }
    }

    /// What the operator chose.
    pub fn settings(&self) -> &StoreSettings {
        &self.shared.settings
    }

    /// The id of this store: its records and its blob stores hold it.
    pub fn id(&self) -> StoreId {
        self.identity.id
    }

    /// Returns if all three backends respond, and the blob stores are those that the records belong to.
    ///
    /// # Errors
    /// That of the first that does not; [`Error::ForeignStore`](crate::Error::ForeignStore).
    pub async fn ping(&self) -> Result<()> {
        let (notes, media) = (self.ping_blobs(ObjectKind::Notes), self.ping_blobs(ObjectKind::Media));
        futures_util::try_join!(self.shared.records.ping(), notes, media)?;
        Ok(())
    }

    /// Fails where so little space is free that new media, notes and accounts are refused: less than
    /// [`FREE_BYTES_MIN`](crate::disk::FREE_BYTES_MIN) in a folder of the records or of the blobs.
    ///
    /// # Errors
    /// [`Error::Full`], or why that is not known.
    pub async fn ensure_room(&self) -> Result<()> {
        let Shared { records, notes, media, .. } = &*self.shared;
        futures_util::try_join!(records.ensure_room(), notes.ensure_room(), media.ensure_room())?;
        Ok(())
    }

    /// Ends it in good order: finishes what goes on in the background, then closes the records.
    ///
    /// # Errors
    /// Where the records cannot be closed.
    pub async fn close(&self) -> Result<()> {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        futures_util::join!(self.shared.notes.close(), self.shared.media.close());
        self.shared.records.close().await
    }
}

impl Shared {
    /// What time it is for what deletes because of the time.
    fn look_at_clock(&self) -> ClockLook {
        let mut looks = self.clock_looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.look(&*self.clock)
    }

    fn blobs(&self, kind: ObjectKind) -> &BlobStore {
        match kind {
            ObjectKind::Notes => &self.notes,
            ObjectKind::Media => &self.media,
        }
    }

    fn media_namespace(&self, owner: UserId) -> Namespace {
        match self.settings.dedup {
            Dedup::User => Namespace::Owner(owner),
            Dedup::Global => Namespace::Shared,
        }
    }
}
