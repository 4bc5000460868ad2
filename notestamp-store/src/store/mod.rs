//! [`Store`]: records and blobs together, written in an order that keeps them consistent after a crash.

mod accounts;
mod backup;
mod check;
mod clock_readings;
mod delete;
mod doomed_queue;
mod export;
mod find;
mod history;
mod hold_watch;
mod holds;
mod identity;
mod import;
#[cfg(feature = "sqlite")]
mod in_folder;
#[cfg(feature = "mongodb")]
mod legacy;
mod list;
mod media;
mod media_quota;
mod open;
mod reaper;
mod reservation;
mod restore;
mod rotations;
mod save;
mod sessions;
mod sweep;
mod trash;
mod uploads;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::blob::BlobStore;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::domain::{Caller, Namespace, ObjectKind, SessionTtl, StoreId, UserId};
use crate::error::{Error, Result, error_chain};
use crate::memory_budget::{MemoryBudget, MemoryScope};
use crate::random::{OsRandom, Random};
use crate::records::{RecordStore, StoreIdentity};

use clock_readings::{ClockReading, ClockReadings};
use doomed_queue::DoomedQueue;
use hold_watch::HoldWatch;
use rotations::Rotations;
use uploads::{EXPORTS_AT_ONCE_MAX, Uploads};

pub use check::{CheckEvent, CheckOptions, CheckReport, Finding, FindingName};
pub use export::{Export, ExportScope, Exported, ExportedFile};
pub use history::HistoryPage;
pub use import::{ArchivedProject, ArchivedState, ImportPlan, ImportStep, StateImport};
#[cfg(feature = "mongodb")]
pub use legacy::{LegacyEvent, LegacyFinding, LegacyFindingName, LegacyReport};
pub use list::ProjectStream;
pub use open::Opened;
pub use save::{Save, SaveRequest};
pub use sweep::SweepReport;
pub use trash::TrashPage;

/// Which projects share one blob for equal bytes of media.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dedup {
    /// The projects of one account.
    #[default]
    User,
    /// All projects of all accounts. A save of media that another account has takes less time, and so reveals that the
    /// media exists: only for servers whose users trust each other.
    Global,
}

/// The settings of a [`Store`], chosen by the operator.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Which projects share one blob for equal bytes of media.
    pub dedup: Dedup,
    /// The largest media file, in bytes.
    pub media_bytes_max: u64,
    /// The largest notes, in bytes.
    pub notes_bytes_max: u64,
    /// Notes of up to so many bytes are kept in the record store instead of in the notes store: at most
    /// [`NOTES_INLINE_BYTES_MAX`]. `None` means 64 KiB if the notes store is a local folder, else 0.
    pub notes_inline_bytes_max: Option<u64>,
    /// The most bytes that one account may use; `None` means unlimited.
    pub quota_bytes_max: Option<u64>,
    /// The most projects that one account may have.
    pub projects_max: u64,
    /// The most sessions that one account may have open at once. A sign-in beyond it ends the least recently used one.
    pub sessions_open_max: usize,
    /// The most uploads that one account may have in progress at once in this process.
    pub uploads_at_once_max: usize,
    /// The most bytes of bodies, upload batches and notes that are held in memory at the same time.
    pub memory_bytes_max: u64,
    /// The timeout of an upload; a slower upload fails, and nothing of it is kept.
    pub upload_time_max: Duration,
    /// The grace period: how long the sweep spares media that no project refers to.
    pub sweep_grace: Duration,
    /// How long a version is kept after it was replaced; `None` keeps no history.
    pub history: Option<Duration>,
    /// How long a deleted project stays in the trash; `None` deletes it at once.
    pub trash: Option<Duration>,
    /// How long the tokens of a session last.
    pub session_ttl: SessionTtl,
}

/// The most bytes that notes in the record store may have. Larger notes would make its transactions long.
pub const NOTES_INLINE_BYTES_MAX: u64 = 1 << 20;

/// Which notes are inline if the settings leave it open, and the notes store is a local folder.
const NOTES_INLINE_BYTES_DEFAULT: u64 = 64 << 10;

impl Default for StoreSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            dedup: Dedup::User,
            media_bytes_max: 2 << 30,
            notes_bytes_max: 16 << 20,
            notes_inline_bytes_max: None,
            quota_bytes_max: None,
            projects_max: 20_000,
            sessions_open_max: 100,
            uploads_at_once_max: 8,
            memory_bytes_max: 256 << 20,
            upload_time_max: Duration::from_secs(6 * 60 * 60),
            sweep_grace: Duration::from_secs(60 * 60),
            history: Some(30 * DAY),
            trash: Some(30 * DAY),
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
/// A change is durable when its operation returns success, as far as [`Durability`](crate::Durability) promises. After
/// an error, the change is complete or absent, never partial. The [`protocol`](crate::protocol) describes how. Clones
/// share all state.
#[derive(Clone, Debug)]
pub struct Store {
    /// The id of the store, and which of its blob stores hold it.
    identity: StoreIdentity,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    records: Arc<dyn RecordStore>,
    notes: BlobStore,
    media: BlobStore,
    settings: StoreSettings,
    memory: MemoryBudget,
    uploads: Uploads,
    /// The exports in progress of each account.
    exports: Uploads,
    clock: Arc<dyn Clock>,
    clock_readings: Mutex<ClockReadings>,
    rotations: Mutex<Rotations>,
    /// The time up to which this process has thinned out the versions by the day on which they were saved.
    thinned_up_to: Mutex<Timestamp>,
    random: Arc<dyn Random>,
    /// Tasks that continue after their caller's future has returned or was dropped; `close` waits for them.
    tasks: TaskTracker,
    doomed: DoomedQueue,
    /// Whether the reservations of a process that has ended were kept, and this process makes none.
    keeps_reservations: bool,
    hold_watch: Mutex<HoldWatch>,
    /// Whether a backup is being restored into this store, as far as this process knows.
    is_restoring: AtomicBool,
}

/// Builds a [`Store`]; see [`Store::builder`].
#[derive(Debug)]
pub struct StoreBuilder {
    records: Arc<dyn RecordStore>,
    notes: BlobStore,
    media: BlobStore,
    settings: StoreSettings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    keeps_reservations: bool,
    opens_restoring: bool,
}

impl StoreBuilder {
    /// Chooses the settings; the default is [`StoreSettings::default`].
    #[must_use]
    pub fn settings(self, settings: StoreSettings) -> Self {
        Self { settings, ..self }
    }

    /// Chooses the clock; the default is the machine's own.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Chooses the source of randomness; the default is the operating system's.
    #[must_use]
    pub fn random(self, random: Arc<dyn Random>) -> Self {
        Self { random, ..self }
    }

    /// Keeps the reservations that the previous process left, for a check of the store as it is. Nothing may be saved to
    /// this store.
    #[must_use]
    pub fn keep_reservations(self) -> Self {
        Self { keeps_reservations: true, ..self }
    }

    /// Opens the store also if a backup is being restored into it, so that the restore can go on.
    #[must_use]
    pub fn open_restoring(self) -> Self {
        Self { opens_restoring: true, ..self }
    }

    /// Opens the store. Where no other process can use the records, this dooms the reservations that the previous
    /// process left; the next sweep deletes them.
    ///
    /// A new store gets an id, which its records and both of its blob stores hold.
    ///
    /// # Errors
    /// - [`Error::ForeignStore`] if a blob store does not belong to the records.
    /// - [`Error::Restoring`] if a backup is being restored into the store.
    /// - Where a backend does not respond. A full backend is no error here.
    pub async fn open(self) -> Result<Store> {
        let Self { records, notes, media, settings, clock, random, keeps_reservations, opens_restoring } =
            self;
        let tasks = TaskTracker::new();
        let (clock_readings, rotations) = (Mutex::new(ClockReadings::new(&*clock)), Mutex::default());
        let memory = MemoryBudget::new(settings.memory_bytes_max);
        let uploads = Uploads::new(settings.uploads_at_once_max);
        let exports = Uploads::new(EXPORTS_AT_ONCE_MAX);
        let shared = Shared {
            records,
            notes,
            media,
            settings,
            memory,
            uploads,
            exports,
            clock,
            clock_readings,
            rotations,
            thinned_up_to: Mutex::new(Timestamp::MIN),
            random,
            tasks,
            doomed: DoomedQueue::default(),
            keeps_reservations,
            hold_watch: Mutex::default(),
            is_restoring: AtomicBool::new(false),
        };
        // The identities can be compared only if all three backends respond.
        let pinged = futures_util::try_join!(shared.records.ping(), shared.notes.ping(), shared.media.ping());
        match pinged {
            // On a full backend, reads and deletions still work.
            Err(error @ Error::Full { .. }) => {
                tracing::warn!(
                    error = error_chain(&error),
                    "opened nevertheless: projects can be read and deleted"
                );
            }
            pinged => drop(pinged?),
        }
        let identity = shared.settle_identity().await?;
        let store = Store { identity, shared: Arc::new(shared) };
        match store.ensure_not_restoring().await {
            // The objects that the restore has reserved are not those of the past.
            Err(Error::Restoring) if opens_restoring => return Ok(store),
            checked => checked?,
        }
        if store.shared.records.is_exclusive() && !keeps_reservations {
            store.forget_holds_of_the_past().await?;
            store.doom_reservations_of_the_past().await?;
        }
        Ok(store)
    }
}

impl Store {
    /// Starts to build a store from its three backends.
    pub fn builder(records: Arc<dyn RecordStore>, notes: BlobStore, media: BlobStore) -> StoreBuilder {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        let settings = StoreSettings::default();
        let (keeps_reservations, opens_restoring) = (false, false);
        StoreBuilder { records, notes, media, settings, clock, random, keeps_reservations, opens_restoring }
    }

    /// The present time, by the clock of the store.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The settings that the store was opened with.
    pub fn settings(&self) -> &StoreSettings {
        &self.shared.settings
    }

    /// The budget of the bytes that are held in memory.
    pub fn memory(&self) -> &MemoryBudget {
        &self.shared.memory
    }

    /// The scope in which bytes are held in memory for this caller.
    pub fn memory_of(&self, caller: impl Into<Caller>) -> MemoryScope {
        let caller = caller.into();
        self.shared.memory.scope(Some(caller.user), caller.address)
    }

    /// The id of this store: its records and its blob stores hold it.
    pub fn id(&self) -> StoreId {
        self.identity.id
    }

    /// Health check: succeeds if all three backends respond, both blob stores belong to the records, and no backup is
    /// being restored.
    ///
    /// # Errors
    /// The error of the first backend that fails; [`Error::ForeignStore`]; [`Error::Restoring`].
    pub async fn ping(&self) -> Result<()> {
        let (notes, media) = (self.ping_blobs(ObjectKind::Notes), self.ping_blobs(ObjectKind::Media));
        futures_util::try_join!(self.shared.records.ping(), notes, media)?;
        self.ensure_not_restoring().await
    }

    /// Checks that there is enough free space for new media, notes and accounts: at least
    /// [`FREE_BYTES_MIN`](crate::disk::FREE_BYTES_MIN) in each folder of the records and of the blobs.
    ///
    /// # Errors
    /// [`Error::Full`] if there is too little; other errors if the free space cannot be determined.
    pub async fn ensure_room(&self) -> Result<()> {
        self.ensure_room_for(&ObjectKind::ALL).await
    }

    /// The same for the records and these blob stores only: one full disk refuses only what would be written to it.
    async fn ensure_room_for(&self, kinds: &[ObjectKind]) -> Result<()> {
        self.shared.records.ensure_room().await?;
        for kind in kinds {
            self.shared.blobs(*kind).ensure_room().await?;
        }
        Ok(())
    }

    /// Shuts down gracefully: waits for the background tasks, then closes the blob stores and the records.
    ///
    /// # Errors
    /// If the records cannot be closed.
    pub async fn close(&self) -> Result<()> {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        futures_util::join!(self.shared.notes.close(), self.shared.media.close());
        self.shared.records.close().await
    }
}

impl Shared {
    /// The time by which deletions decide what has expired.
    fn read_clock(&self) -> ClockReading {
        let mut readings = self.clock_readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.read(&*self.clock)
    }

    fn thinned_up_to(&self) -> MutexGuard<'_, Timestamp> {
        self.thinned_up_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rotations(&self) -> MutexGuard<'_, Rotations> {
        self.rotations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blobs(&self, kind: ObjectKind) -> &BlobStore {
        match kind {
            ObjectKind::Notes => &self.notes,
            ObjectKind::Media => &self.media,
        }
    }

    /// Notes of up to so many bytes are saved inline.
    fn notes_inline_bytes_max(&self) -> u64 {
        let default = if self.notes.is_folder() { NOTES_INLINE_BYTES_DEFAULT } else { 0 };
        self.settings.notes_inline_bytes_max.unwrap_or(default).min(NOTES_INLINE_BYTES_MAX)
    }

    fn media_namespace(&self, owner: UserId) -> Namespace {
        match self.settings.dedup {
            Dedup::User => Namespace::Owner(owner),
            Dedup::Global => Namespace::Shared,
        }
    }
}
