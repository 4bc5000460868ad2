//! Stores for the tests, and default values to save.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use notestamp_store::records::{MemoryRecords, RecordStore};
use notestamp_store::{
    BlobStore, BlobUrl, CheckReport, Digest, Durability, Email, ListQuery, ManualClock, Metadata, Notes,
    Object, ObjectKind, ObjectState, PasswordHash, Precondition, Project, Result, SaveRequest, Store,
    StoreSettings, Timestamp, Title, UserId,
};
use tempfile::TempDir;

pub const NOW: Timestamp = Timestamp::from_millis(1_709_294_400_123);

/// The timeout of each wait in these tests.
const TIMEOUT: Duration = Duration::from_secs(120);

/// More bytes than fit into one part of a local file, so that they are staged while they arrive.
pub const LARGE: usize = (5 << 20) / 2;

#[derive(Clone, Copy)]
pub enum Backend {
    Memory,
    #[cfg(feature = "sqlite")]
    Embedded,
}

/// A store with one account.
pub struct Fixture {
    pub backend: Backend,
    pub store: Store,
    pub owner: UserId,
    pub clock: Arc<ManualClock>,
    pub parts: Parts,
}

/// The backends of a store; clones share the same records and blobs.
#[derive(Clone)]
pub struct Parts {
    pub records: Arc<dyn RecordStore>,
    pub notes: BlobStore,
    pub media: BlobStore,
    pub folders: Vec<Arc<TempDir>>,
}

/// Runs a case over a fresh store. After the case, a sweep must leave exactly what the projects refer to.
pub async fn run<F: Future<Output = Fixture>>(backend: Backend, case: impl FnOnce(Fixture) -> F) {
    let whole = async {
        let fixture = case(Fixture::new(backend).await).await;
        fixture.assert_swept_clean().await;
    };
    tokio::time::timeout(TIMEOUT, whole).await.expect("it comes to an end");
}

impl Parts {
    pub async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Memory => {
                let blobs = async |kind| {
                    let url = BlobUrl::parse("memory:///").unwrap();
                    BlobStore::open(kind, &url, Durability::Relaxed).await.unwrap()
                };
                Self {
                    records: Arc::new(MemoryRecords::new()),
                    notes: blobs(ObjectKind::Notes).await,
                    media: blobs(ObjectKind::Media).await,
                    folders: Vec::new(),
                }
            }
            #[cfg(feature = "sqlite")]
            Backend::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                let blobs = async |kind, name| {
                    let url = BlobUrl::folder(folder.path().join(name)).unwrap();
                    // These tests do not cover a power loss, and syncing takes long.
                    BlobStore::open(kind, &url, Durability::Relaxed).await.unwrap()
                };
                let (notes, media) =
                    (blobs(ObjectKind::Notes, "notes").await, blobs(ObjectKind::Media, "media").await);
                let path = folder.path().join("metadata.db");
                let records = notestamp_store::records::SqliteRecords::open(path, Durability::Relaxed);
                Self {
                    records: Arc::new(records.await.unwrap()),
                    notes,
                    media,
                    folders: vec![Arc::new(folder)],
                }
            }
        }
    }
}

impl Fixture {
    async fn new(backend: Backend) -> Self {
        let parts = Parts::new(backend).await;
        let clock = Arc::new(ManualClock::new(NOW));
        // Most cases are about the objects that a save or a deletion leaves, so nothing else refers to these.
        let settings = StoreSettings { history: None, trash: None, ..StoreSettings::default() };
        let store = parts.open(settings, &clock).await;
        let owner = account(&store, "ada@example.org").await;
        Self { backend, store, owner, clock, parts }
    }

    /// The same store with other settings.
    pub async fn with(mut self, change: impl FnOnce(&mut StoreSettings)) -> Self {
        let mut settings = self.store.settings().clone();
        change(&mut settings);
        self.store = self.parts.open(settings, &self.clock).await;
        self
    }

    /// A builder for a save by the account, of this title, with default notes and without media.
    pub fn draft(&self, title: &str) -> Draft {
        draft(&self.store, self.owner, title)
    }

    /// The account's project of this title.
    pub async fn find(&self, text: &str) -> Result<Project> {
        self.store.find_project(self.owner, &title(text)).await
    }

    pub async fn delete(&self, text: &str) -> Result<()> {
        self.store.delete_project(self.owner, &title(text)).await
    }

    pub async fn usage(&self) -> (u64, u64) {
        let usage = self.store.find_account(self.owner).await.unwrap().unwrap().usage;
        (usage.projects, usage.bytes)
    }

    /// The live media rows, in the order of the ledger.
    pub async fn live_media(&self) -> Vec<Object> {
        let mut rows = self.ledger().await;
        rows.retain(|row| row.kind == ObjectKind::Media && row.state == ObjectState::Live);
        rows
    }

    pub async fn ledger(&self) -> Vec<Object> {
        self.parts.records.list_objects(None, 10_000).await.unwrap()
    }

    /// Advances the clock past all grace periods and upload deadlines.
    pub fn let_time_pass(&self) {
        let settings = self.store.settings();
        self.clock.advance(settings.sweep_grace + 2 * settings.upload_time_max);
    }

    /// Waits until background tasks have left only live objects, all of which exist.
    pub async fn assert_settles(&self) {
        let mut report = CheckReport::default();
        let settling = async {
            loop {
                report = self.store.check().await.unwrap();
                if report == CheckReport::default() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let settled = tokio::time::timeout(Duration::from_secs(10), settling).await;
        assert!(settled.is_ok(), "still there: {report:?}");
    }

    /// Asserts that sweeps after all deadlines leave exactly what the projects refer to.
    pub async fn assert_swept_clean(&self) {
        // The first sweep purges removed accounts, whose media then has its grace period.
        for _ in 0..2 {
            self.let_time_pass();
            self.store.sweep().await.unwrap();
        }
        let ledger = self.ledger().await;
        assert_eq!(self.store.check().await.unwrap(), CheckReport::default(), "{ledger:#?}");
    }
}

impl Parts {
    pub async fn open(&self, settings: StoreSettings, clock: &Arc<ManualClock>) -> Store {
        let store = Store::builder(self.records.clone(), self.notes.clone(), self.media.clone());
        store.settings(settings).clock(clock.clone()).open().await.unwrap()
    }

    /// Opens a store over these backends with default settings.
    pub async fn try_open(&self) -> Result<Store> {
        Store::builder(self.records.clone(), self.notes.clone(), self.media.clone()).open().await
    }
}

pub async fn account(store: &Store, address: &str) -> UserId {
    let hash = PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned());
    store.create_account(Email::parse(address).unwrap(), hash).await.unwrap().id
}

pub fn title(text: &str) -> Title {
    Title::parse(text).unwrap()
}

pub fn notes(text: &str) -> Notes {
    Notes::parse(serde_json::to_vec(text).unwrap()).unwrap()
}

/// Text that is too long for inline notes.
pub fn long_notes() -> String {
    "words ".repeat(12_000)
}

/// Bytes that differ between seeds, and in which no two pages are equal.
pub fn media(seed: u64, len: usize) -> Bytes {
    let words = (0..len.div_ceil(8) as u64).map(|n| (seed << 40 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(len);
    bytes.into()
}

/// A request body that arrives in pieces.
pub fn body(bytes: &Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let pieces: Vec<_> = bytes.chunks(100_000).map(Bytes::copy_from_slice).map(Ok).collect();
    stream::iter(pieces)
}

#[derive(Clone)]
pub struct Draft {
    store: Store,
    owner: UserId,
    pub request: SaveRequest,
    media: Option<Bytes>,
}

pub fn draft(store: &Store, owner: UserId, text: &str) -> Draft {
    let request = SaveRequest::new(Metadata::new(title(text), NOW), notes(text));
    Draft { store: store.clone(), owner, request, media: None }
}

impl Draft {
    pub fn notes(mut self, text: &str) -> Self {
        self.request.notes = notes(text);
        self
    }

    pub fn media(mut self, bytes: &Bytes) -> Self {
        self.media = Some(bytes.clone());
        self
    }

    pub fn announcing(mut self, bytes: &[u8]) -> Self {
        self.request.media_digest = Some(Digest::of(bytes));
        self
    }

    pub fn demanding(mut self, precondition: Precondition) -> Self {
        self.request.precondition = precondition;
        self
    }

    pub async fn try_save(self) -> Result<Project> {
        let mut save = self.store.begin_save(self.owner).await?;
        if let Some(media) = &self.media {
            save.write_media(body(media)).await?;
        }
        save.commit(self.request).await
    }

    #[track_caller]
    pub fn save(self) -> impl Future<Output = Project> + Send {
        let caller = std::panic::Location::caller();
        async move { self.try_save().await.unwrap_or_else(|error| panic!("{caller}: {error:?}")) }
    }
}

/// The media bytes of a project, or a range of them.
pub async fn read(store: &Store, project: &Project, range: Option<Range<u64>>) -> Vec<u8> {
    let media = project.media.expect("it has media");
    let stream = store.read_media(project, &media, range).await.unwrap();
    stream.try_collect::<Vec<_>>().await.unwrap().concat()
}

/// Asserts that each listed project of this account can be opened, that its notes have the recorded size, and that its
/// media has the recorded digest.
pub async fn assert_all_whole(store: &Store, owner: UserId) {
    for project in store.list_projects(owner, &ListQuery::default()).await.unwrap().projects {
        let opened = store.open_project(owner, &project.metadata.title).await.unwrap();
        assert_eq!(opened.notes.len() as u64, opened.project.notes.size);
        if let Some(media) = project.media {
            assert_eq!(Digest::of(&read(store, &project, None).await), media.digest);
        }
    }
}
