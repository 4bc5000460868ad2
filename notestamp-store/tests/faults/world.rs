//! One set of records and blobs with two stores: one with fault injection, and one without.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use notestamp_store::records::{MemoryRecords, RecordStore};
use notestamp_store::{
    BlobStore, CheckReport, Digest, Email, Error, ListQuery, ManualClock, Metadata, Notes, ObjectKind,
    PasswordHash, Precondition, ProjectKey, Result, SaveRequest, Store, StoreSettings, Timestamp, Title,
    UserId,
};
use object_store::memory::InMemory;

use super::faults::Faults;
use super::faulty_objects::FaultyObjects;
use super::faulty_records::FaultyRecords;

pub const NOW: Timestamp = Timestamp::from_millis(1_709_294_400_123);

/// The timeout of each wait in these tests.
const TIMEOUT: Duration = Duration::from_secs(30);

/// More than there are versions, or projects in the trash.
const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

pub struct World {
    pub faults: Arc<Faults>,
    /// The store with fault injection.
    pub store: Store,
    /// A store without faults over the same records and blobs, in place of another process.
    pub other: Store,
    pub clock: Arc<ManualClock>,
    pub owner: UserId,
    pub model: Model,
}

/// All possible contents of each project; `None` means that the project may be absent.
#[derive(Clone, Default, Debug)]
pub struct Model(BTreeMap<&'static str, Vec<Option<Content>>>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Content {
    notes: String,
    /// The digest of the project's media, which must be readable.
    media: Option<Digest>,
}

/// One operation on a store.
#[derive(Clone, Debug)]
pub enum Step {
    Save {
        title: &'static str,
        notes: String,
        media: Media,
    },
    /// Moves a project to the trash.
    Delete {
        title: &'static str,
    },
    DeleteForGood {
        title: &'static str,
    },
    /// Restores the version with these notes, which had this media.
    RestoreVersion {
        title: &'static str,
        notes: &'static str,
        media: Media,
    },
    /// Restores the project with these notes and this media from the trash. No others in the trash are of this length.
    RestoreDeleted {
        title: &'static str,
        notes: &'static str,
        media: Media,
    },
    EmptyTrash,
    /// A sweep after all grace periods and upload deadlines.
    Sweep,
    RemoveAccount,
}

/// The media of a save.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Media {
    None,
    /// Bytes that fit into one part.
    Small(u8),
    /// Bytes that do not fit into one part.
    Large(u8),
    /// Only the digest of the bytes of `Small`.
    KnownSmall(u8),
}

impl World {
    /// Over these records, which keep notes of up to `inline_max` bytes.
    pub async fn new(records: Arc<dyn RecordStore>, inline_max: u64) -> Self {
        let faults = Arc::new(Faults::none());
        let clock = Arc::new(ManualClock::new(NOW));
        let blobs = |kind| {
            let inner = Arc::new(InMemory::new());
            let faulty = FaultyObjects { inner: Arc::clone(&inner), faults: Arc::clone(&faults) };
            (BlobStore::new(kind, Arc::new(faulty)), BlobStore::new(kind, inner))
        };
        let ((faulty_notes, notes), (faulty_media, media)) =
            (blobs(ObjectKind::Notes), blobs(ObjectKind::Media));
        let faulty = FaultyRecords { inner: Arc::clone(&records), faults: Arc::clone(&faults) };
        let settings = StoreSettings { notes_inline_bytes_max: Some(inline_max), ..StoreSettings::default() };
        let other = Store::builder(records, notes, media).settings(settings.clone());
        let other = other.clock(clock.clone()).open().await.unwrap();
        let store = Store::builder(Arc::new(faulty), faulty_notes, faulty_media).settings(settings);
        let store = store.clock(clock.clone()).open().await.unwrap();
        let hash = PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned());
        let owner = other.create_account(Email::parse("ada@example.org").unwrap(), hash).await.unwrap().id;
        Self { faults, store, other, clock, owner, model: Model::default() }
    }

    /// Over records in memory, which keep notes of up to `inline_max` bytes.
    pub async fn in_memory(inline_max: u64) -> Self {
        Self::new(Arc::new(MemoryRecords::new()), inline_max).await
    }

    /// Does one step with the store that has faults, and updates the model by its outcome.
    pub async fn step(&mut self, step: &Step) -> Result<()> {
        if let Step::Sweep = step {
            // Delayed writes take effect first: no write outlasts the time for which a sweep spares its row.
            self.faults.arrive().await;
        }
        let outcome = self.attempt(&self.store, step).await;
        self.model.apply(step, &outcome);
        outcome
    }

    pub async fn attempt(&self, store: &Store, step: &Step) -> Result<()> {
        attempt(store, self.owner, &self.clock, step).await
    }

    /// Asserts that the state is one that the model allows, and that every object is whole; then sets the model to
    /// this state.
    pub async fn observe(&mut self) {
        let mut found = BTreeMap::new();
        for project in self.other.list_projects(self.owner, &ListQuery::default()).await.unwrap().projects {
            let opened = self.other.open_project(self.owner, &project.metadata.title).await.unwrap();
            let media = match project.media {
                None => None,
                Some(media) => {
                    let bytes = self.other.read_media(&project, &media, None).await.unwrap();
                    let bytes = bytes.try_collect::<Vec<_>>().await.unwrap().concat();
                    assert_eq!(Digest::of(&bytes), media.digest);
                    Some(media.digest)
                }
            };
            let notes = serde_json::from_slice(&opened.notes).unwrap();
            found.insert(project.metadata.title.as_str().to_owned(), Content { notes, media });
        }
        for (title, states) in &mut self.model.0 {
            let state = found.remove(*title);
            assert!(states.contains(&state), "{title} is {state:?}, and may be {states:?}");
            *states = vec![state];
        }
        assert!(found.is_empty(), "no save created {found:?}");
    }

    /// Waits for the background tasks of the store with fault injection.
    pub async fn settle(&self) {
        tokio::time::timeout(TIMEOUT, self.store.close()).await.expect("it comes to an end").unwrap();
    }

    /// Ends all faults, advances the clock past all deadlines, and sweeps.
    ///
    /// Then the blob stores hold exactly the objects of the ledger, and the ledger exactly those that projects refer
    /// to.
    pub async fn assert_recovers(&mut self) {
        let broken = self.faults.broken();
        self.faults.mend();
        self.faults.release();
        self.faults.arrive().await;
        self.settle().await;
        // The first sweep purges removed accounts, and one of the first two the versions that are no longer recent. Their
        // media then has its grace period.
        for _ in 0..3 {
            let_time_pass(&self.other, &self.clock);
            self.other.sweep().await.unwrap();
        }
        let report = self.other.check().await.unwrap();
        assert_eq!(report, CheckReport::default(), "after {broken:?} was broken");
        self.observe().await;
    }
}

/// Does one step with this store.
pub async fn attempt(store: &Store, owner: UserId, clock: &ManualClock, step: &Step) -> Result<()> {
    let parse = |title| Title::parse(title).unwrap();
    match step {
        Step::Save { title, notes, media } => {
            let mut save = store.begin_save(owner).await.unwrap();
            let notes = Notes::parse(serde_json::to_vec(notes).unwrap()).unwrap();
            let mut request = SaveRequest::new(Metadata::new(parse(title), NOW), notes);
            match media {
                Media::None => {}
                Media::KnownSmall(_) => request.media_digest = media.digest(),
                Media::Small(_) | Media::Large(_) => {
                    let body = stream::iter([Ok::<_, Infallible>(media.bytes())]);
                    save.write_media(body).await?;
                }
            }
            save.commit(request).await.map(drop)
        }
        Step::Delete { title } => store.delete_project(owner, &parse(title)).await,
        Step::DeleteForGood { title } => {
            store.delete_project_permanently_if(owner, &parse(title), &Precondition::None).await
        }
        Step::RestoreVersion { title, notes, .. } => {
            let (key, wanted) = (ProjectKey::Title(parse(title)), serde_json::to_vec(notes).unwrap());
            for state in store.list_history(owner, &key, None, MANY).await?.states {
                let opened = store.open_revision(owner, &key, state.revision).await?;
                if opened.notes == wanted {
                    let restored = store.restore_revision(owner, &key, state.revision, Precondition::None);
                    return restored.await.map(drop);
                }
            }
            Err(Error::NoSuchVersion)
        }
        Step::RestoreDeleted { title, notes, .. } => {
            let (title, size) = (parse(title), serde_json::to_vec(notes).unwrap().len() as u64);
            let trash = store.list_trash(owner, None, MANY).await?.trashed;
            let mut deleted = trash.iter().map(|trashed| &trashed.project);
            let found = deleted.find(|it| it.metadata.title == title && it.notes.size == size);
            let id = found.map(|project| project.id).ok_or(Error::NoSuchProject)?;
            store.restore_from_trash(owner, id, None).await.map(drop)
        }
        Step::EmptyTrash => store.empty_trash(owner).await,
        Step::Sweep => {
            let_time_pass(store, clock);
            store.sweep().await.map(drop)
        }
        Step::RemoveAccount => store.remove_account(owner).await.map(drop),
    }
}

pub fn let_time_pass(store: &Store, clock: &ManualClock) {
    clock.advance(store.settings().sweep_grace + 2 * store.settings().upload_time_max);
}

impl Media {
    fn bytes(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::Small(seed) | Self::KnownSmall(seed) => vec![seed; 1_000].into(),
            // The part size of a backend that is not known to be local is 8 MiB.
            Self::Large(seed) => vec![seed; (8 << 20) + 1_000].into(),
        }
    }

    fn digest(self) -> Option<Digest> {
        (self != Self::None).then(|| Digest::of(&self.bytes()))
    }
}

impl Model {
    /// Updates the model by the outcome of a step.
    pub fn apply(&mut self, step: &Step, outcome: &Result<()>) {
        assert!(self.try_apply(step, outcome), "{step:?} cannot have come to {outcome:?}: {self:?}");
    }

    /// Like [`apply`](Self::apply), but returns false if the outcome is impossible.
    pub fn try_apply(&mut self, step: &Step, outcome: &Result<()>) -> bool {
        let happened = match outcome {
            Ok(()) => [true].as_slice(),
            Err(Error::Unavailable { .. }) => &[false, true],
            Err(_) => &[false],
        };
        let before = self.clone();
        if let Step::Save { title, .. }
        | Step::Delete { title }
        | Step::DeleteForGood { title }
        | Step::RestoreVersion { title, .. }
        | Step::RestoreDeleted { title, .. } = step
        {
            self.0.entry(title).or_insert_with(|| vec![None]);
        }
        for (title, states) in &mut self.0 {
            let mut old = before.0.get(title).cloned().unwrap_or(vec![None]);
            if let Step::Delete { title: deleted } | Step::DeleteForGood { title: deleted } = step
                && deleted == title
            {
                match outcome {
                    Ok(()) => old.retain(Option::is_some),
                    Err(Error::NoSuchProject) => old.retain(Option::is_none),
                    Err(_) => {}
                }
            }
            if old.is_empty() {
                return false;
            }
            *states = Vec::new();
            for happened in happened {
                let then =
                    old.iter().map(|old| if *happened { after(title, old, step) } else { old.clone() });
                states.extend(then);
            }
            states.sort();
            states.dedup();
        }
        true
    }

    /// The union of two models: the states that are possible if the steps happened in one order or in the other.
    pub fn or(mut self, other: Self) -> Self {
        for (title, states) in other.0 {
            self.0.entry(title).or_default().extend(states);
        }
        self
    }
}

/// The content of the project of this title after a step.
fn after(title: &str, old: &Option<Content>, step: &Step) -> Option<Content> {
    match step {
        Step::Save { title: saved, notes, media } if *saved == title => {
            let kept = old.as_ref().and_then(|old| old.media);
            Some(Content { notes: notes.clone(), media: media.digest().or(kept) })
        }
        Step::RestoreVersion { title: restored, notes, media }
        | Step::RestoreDeleted { title: restored, notes, media }
            if *restored == title =>
        {
            Some(Content { notes: (*notes).to_owned(), media: media.digest() })
        }
        Step::Delete { title: deleted } | Step::DeleteForGood { title: deleted } if *deleted == title => None,
        Step::RemoveAccount => None,
        _ => old.clone(),
    }
}
