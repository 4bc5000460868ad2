//! Default values for the cases, so that each case shows only what matters to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Barrier;

use crate::clock::Timestamp;
use crate::domain::{
    Digest, Email, ListQuery, Metadata, Namespace, Object, ObjectId, ObjectKind, ObjectState, PasswordHash,
    Precondition, Project, ProjectId, Session, SessionId, SessionTtl, Title, TokenId, Trashed, Usage, User,
    UserId, Version,
};
use crate::error::Result;
use crate::protocol::{MediaCheck, MediaOffer, NewNotes, SaveCommit, StaleBefore, Written};
use crate::records::{RecordStore, SaveOutcome};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const TTL: SessionTtl =
    SessionTtl { access: Duration::from_secs(900), refresh: Duration::from_secs(86_400), session_max: WEEK };
pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const MONTH: Duration = Duration::from_secs(30 * 86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// The current time of most cases; its milliseconds reveal a backend that keeps only seconds.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_709_294_400_123);

/// A limit greater than any count in these cases.
pub(super) const MANY: usize = 10_000;

/// How many tasks run concurrently in a race.
pub(super) const RACERS: usize = 8;

/// Bytes for a new id: unique, and greater than those of all earlier ids.
fn id_bytes() -> [u8; 16] {
    static COUNT: AtomicU64 = AtomicU64::new(0x018d_f97e_6000_7000);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&count.to_be_bytes());
    bytes[8..].copy_from_slice(&count.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes
}

pub(super) fn object_id() -> ObjectId {
    ObjectId::from_bytes(id_bytes())
}

pub(super) fn project_id() -> ProjectId {
    ProjectId::from_bytes(id_bytes())
}

pub(super) fn token_id() -> TokenId {
    TokenId::from_bytes(id_bytes())
}

pub(super) fn session_id() -> SessionId {
    SessionId::from_bytes(id_bytes())
}

pub(super) fn user_id() -> UserId {
    UserId::from_bytes(id_bytes())
}

pub(super) fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub(super) fn title(text: &str) -> Title {
    Title::parse(text).unwrap()
}

pub(super) fn hash(text: &str) -> PasswordHash {
    PasswordHash::new(format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${text}"))
}

/// A user record with this address, not stored yet.
pub(super) fn user(address: &str) -> User {
    User::new(user_id(), email(address), hash("first"), NOW)
}

/// Creates an account with a unique address.
pub(super) async fn account(store: &dyn RecordStore) -> UserId {
    let id = user_id();
    let user = User::new(id, email(&format!("{id}@example.org")), hash("first"), NOW);
    store.create_user(&user).await.unwrap();
    id
}

/// Starts a session while the number of open sessions is not limited.
pub(super) async fn begin(store: &dyn RecordStore, session: &Session) {
    assert!(store.start_session(session, MANY, NOW).await.unwrap(), "{session:?}");
}

/// Forgets all sessions on record, also those of removed accounts, which no other method finds; returns their count.
pub(super) async fn forget_sessions(store: &dyn RecordStore) -> usize {
    store.forget_expired_sessions(MANY, Timestamp::MAX).await.unwrap()
}

/// A session of this account, not stored yet.
pub(super) fn session(user: UserId) -> Session {
    Session::start(session_id(), user, token_id(), "Mozilla/5.0", NOW, &TTL)
}

pub(super) fn metadata(text: &str) -> Metadata {
    Metadata::new(title(text), NOW)
}

/// A builder for a save: it reserves rows as parts are added.
pub(super) struct Save<'a> {
    store: &'a dyn RecordStore,
    pub(super) commit: SaveCommit,
}

/// A save of this title with notes of 10 bytes and without media, in its owner's namespace.
pub(super) async fn save<'a>(store: &'a dyn RecordStore, owner: UserId, title: &str) -> Save<'a> {
    save_as(store, owner, metadata(title)).await
}

/// The same with other metadata.
pub(super) async fn save_as(store: &dyn RecordStore, owner: UserId, metadata: Metadata) -> Save<'_> {
    let object = reserve(store, ObjectKind::Notes, Namespace::Owner(owner)).await;
    let commit = SaveCommit {
        caller: owner.into(),
        new_id: project_id(),
        metadata,
        precondition: Precondition::None,
        notes: NewNotes::Written(Written { object, digest: Digest::of(object.as_bytes()), size: 10 }),
        media: None,
        checks: Vec::new(),
        namespace: Namespace::Owner(owner),
        restores: None,
        history: None,
        quota_bytes_max: None,
        projects_max: u64::MAX,
        now: NOW,
    };
    Save { store, commit }
}

/// Reserves a row.
pub(super) async fn reserve(store: &dyn RecordStore, kind: ObjectKind, namespace: Namespace) -> ObjectId {
    let id = object_id();
    store.reserve(&[Object::reserve(id, kind, namespace, NOW)]).await.unwrap();
    id
}

impl Save<'_> {
    pub(super) fn notes_of(mut self, size: u64) -> Self {
        let notes = self.commit.notes.written();
        self.commit.notes = NewNotes::Written(Written { size, ..notes });
        self
    }

    pub(super) fn at(mut self, now: Timestamp) -> Self {
        self.commit.now = now;
        self
    }

    pub(super) fn demanding(mut self, precondition: Precondition) -> Self {
        self.commit.precondition = precondition;
        self
    }

    /// Saves by this session.
    pub(super) fn by(mut self, session: &Session) -> Self {
        self.commit.caller.session = Some(session.id);
        self
    }

    /// Keeps what the save replaces, for a month.
    pub(super) fn keeping(mut self) -> Self {
        self.commit.history = Some(MONTH);
        self
    }

    /// Restores a state of this project: what the save does not bring is removed.
    pub(super) fn restoring(mut self, project: ProjectId) -> Self {
        self.commit.restores = Some(project);
        self
    }

    /// Notes with this digest.
    pub(super) fn notes_with(mut self, bytes: &[u8]) -> Self {
        let notes = self.commit.notes.written();
        self.commit.notes = NewNotes::Written(Written { digest: Digest::of(bytes), ..notes });
        self
    }

    /// These bytes as inline notes, under an id that is not reserved.
    pub(super) fn inline(mut self, bytes: &'static [u8]) -> Self {
        let object = object_id();
        let bytes = Bytes::from_static(bytes);
        self.commit.notes = NewNotes::Inline { object, digest: Digest::of(&bytes), bytes };
        self
    }

    pub(super) fn quota(mut self, max: u64) -> Self {
        self.commit.quota_bytes_max = Some(max);
        self
    }

    pub(super) fn projects_max(mut self, max: u64) -> Self {
        self.commit.projects_max = max;
        self
    }

    /// Uses the shared namespace for media; call this before adding media.
    pub(super) fn shared(mut self) -> Self {
        self.commit.namespace = Namespace::Shared;
        self
    }

    pub(super) fn known(mut self, bytes: &[u8]) -> Self {
        self.commit.media = Some(MediaOffer::Known(Digest::of(bytes)));
        self
    }

    pub(super) async fn media(mut self, bytes: &[u8]) -> Self {
        self.commit.media = Some(MediaOffer::Written(self.written(bytes).await));
        self
    }

    pub(super) async fn staged(mut self, bytes: &[u8]) -> Self {
        self.commit.media = Some(MediaOffer::Staged(self.written(bytes).await));
        self
    }

    async fn written(&self, bytes: &[u8]) -> Written {
        let object = reserve(self.store, ObjectKind::Media, self.commit.namespace).await;
        Written { object, digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    /// The object of the save's media.
    pub(super) fn media_object(&self) -> ObjectId {
        self.commit.media.as_ref().and_then(MediaOffer::object).unwrap()
    }

    /// Reports the bytes of this object as lost.
    pub(super) fn lost(mut self, object: ObjectId) -> Self {
        self.commit.checks.push(MediaCheck { object, is_whole: false });
        self
    }

    pub(super) async fn outcome(&self) -> Result<SaveOutcome> {
        commit_save(self.store, &self.commit).await
    }

    /// Commits the save; returns the project and the sorted ids of the objects that it doomed.
    #[track_caller]
    pub(super) fn saved(self) -> impl Future<Output = (Project, Vec<ObjectId>)> {
        let caller = std::panic::Location::caller();
        async move {
            match self.outcome().await {
                Ok(SaveOutcome::Saved { project, doomed }) => (*project, ids(&doomed)),
                other => panic!("{caller}: the save came to {other:?}"),
            }
        }
    }

    /// Commits the save; returns the project.
    #[track_caller]
    pub(super) fn project(self) -> impl Future<Output = Project> {
        let saved = self.saved();
        async move { saved.await.0 }
    }
}

/// Commits a save. Objects that the commit must check are reported as whole.
pub(super) async fn commit_save(store: &dyn RecordStore, commit: &SaveCommit) -> Result<SaveOutcome> {
    let mut commit = commit.clone();
    loop {
        match store.commit_save(&commit).await {
            Ok(SaveOutcome::CheckNeeded(media)) => {
                let check = MediaCheck { object: media.object, is_whole: true };
                assert!(!commit.checks.contains(&check), "{media:?} was checked already");
                commit.checks.push(check);
            }
            outcome => return outcome,
        }
    }
}

/// The sorted ids of these rows.
pub(super) fn ids(rows: &[Object]) -> Vec<ObjectId> {
    let mut ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    ids.sort();
    ids
}

/// The ledger's row of this id.
pub(super) async fn row(store: &dyn RecordStore, id: ObjectId) -> Option<Object> {
    ledger(store).await.into_iter().find(|row| row.id == id)
}

/// The whole ledger.
pub(super) async fn ledger(store: &dyn RecordStore) -> Vec<Object> {
    store.list_objects(None, MANY).await.unwrap()
}

/// What an account uses: its projects, and their bytes.
pub(super) async fn usage(store: &dyn RecordStore, id: UserId) -> (u64, u64) {
    let usage = store.find_user(id).await.unwrap().unwrap().usage;
    (usage.projects, usage.bytes)
}

/// The bytes of history and trash of an account.
pub(super) async fn kept_bytes(store: &dyn RecordStore, id: UserId) -> u64 {
    store.find_user(id).await.unwrap().unwrap().usage.kept_bytes
}

/// Everything that a save or a deletion of one account could change.
#[derive(PartialEq, Debug)]
pub(super) struct Snapshot {
    pub(super) ledger: Vec<Object>,
    pub(super) user: Option<User>,
    pub(super) projects: Vec<Project>,
    pub(super) versions: Vec<Version>,
    pub(super) trash: Vec<Trashed>,
}

pub(super) async fn snapshot(store: &dyn RecordStore, owner: UserId) -> Snapshot {
    let page = store.list_projects(owner, &ListQuery::default()).await.unwrap();
    let user = store.find_user(owner).await.unwrap();
    let trash = store.list_trash(owner, None, MANY).await.unwrap();
    let mut versions = Vec::new();
    for project in page.projects.iter().chain(trash.iter().map(|trashed| &trashed.project)) {
        versions.extend(store.list_versions(owner, project.id, None, MANY).await.unwrap());
    }
    Snapshot { ledger: ledger(store).await, user, projects: page.projects, versions, trash }
}

/// Asserts that the ledger and the usage agree with the projects, the versions and the trash of these accounts. They must
/// be all accounts of the store.
pub(super) async fn assert_all_agrees(store: &dyn RecordStore, owners: &[UserId]) {
    let mut references = HashMap::<ObjectId, u64>::new();
    for owner in owners {
        let Snapshot { user, projects, versions, trash, .. } = snapshot(store, *owner).await;
        let kept: Vec<Project> = versions.into_iter().map(|version| version.project).collect();
        let trashed = trash.len() as u64;
        let kept: Vec<Project> = kept.into_iter().chain(trash.into_iter().map(|it| it.project)).collect();
        let media = |states: &[Project]| -> BTreeMap<Digest, u64> {
            states.iter().filter_map(|it| it.media).map(|media| (media.digest, media.size)).collect()
        };
        let notes = |states: &[Project]| states.iter().map(|it| it.notes.size).sum::<u64>();
        let records = |states: &[Project]| states.iter().map(Project::record_bytes).sum::<u64>();
        let shown = media(&projects);
        let mut only_kept = media(&kept);
        only_kept.retain(|digest, _| !shown.contains_key(digest));
        let usage = user.map(|user| user.usage).unwrap_or_default();
        let expected = Usage {
            projects: projects.len() as u64,
            bytes: notes(&projects) + shown.values().sum::<u64>(),
            record_bytes: records(&projects),
            trashed,
            kept_bytes: notes(&kept) + only_kept.values().sum::<u64>(),
            kept_record_bytes: records(&kept),
        };
        assert_eq!(usage, expected);
        for state in projects.iter().chain(&kept) {
            *references.entry(state.notes.object).or_default() += 1;
            if let Some(media) = state.media {
                *references.entry(media.object).or_default() += 1;
            }
        }
    }
    let mut live_media = HashSet::new();
    for row in ledger(store).await {
        assert_eq!(row.references, references.remove(&row.id).unwrap_or(0), "{row:?}");
        assert!(row.references == 0 || row.state == ObjectState::Live, "{row:?}");
        if row.kind == ObjectKind::Media && row.state == ObjectState::Live {
            let (digest, _) = row.content.unwrap();
            assert!(live_media.insert((row.namespace, digest)), "{row:?} is not the only one");
            assert_eq!(store.find_live_media(row.namespace, digest).await.unwrap(), Some(row));
        }
    }
    assert_eq!(references, HashMap::new(), "objects without a row");
}

/// The live rows of the ledger.
pub(super) async fn live(store: &dyn RecordStore, kind: ObjectKind) -> Vec<Object> {
    let rows = ledger(store).await;
    rows.into_iter().filter(|row| row.kind == kind && row.state == ObjectState::Live).collect()
}

/// The titles of one page, in its order.
pub(super) async fn titles(store: &dyn RecordStore, owner: UserId, query: &ListQuery) -> Vec<String> {
    let page = store.list_projects(owner, query).await.unwrap();
    page.projects.iter().map(|project| project.metadata.title.as_str().to_owned()).collect()
}

/// A query with this limit.
pub(super) fn by(limit: usize) -> ListQuery {
    ListQuery { limit: NonZeroUsize::new(limit), ..ListQuery::default() }
}

/// Rows that were reserved or became unreferenced before this instant.
pub(super) fn stale_before(at: Timestamp) -> StaleBefore {
    StaleBefore { reserved: at, unreferenced: at }
}

/// Purges everything that is left of removed accounts.
pub(super) async fn purge(store: &dyn RecordStore, now: Timestamp) {
    while store.purge_removed(MANY, now).await.unwrap() > 0 {}
}

/// Runs all of these concurrently, each in its own task; returns their outputs in the same order.
pub(super) async fn race<F>(racers: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let racers: Vec<F> = racers.into_iter().collect();
    let start = Arc::new(Barrier::new(racers.len()));
    let tasks = racers.into_iter().map(|racer| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            start.wait().await;
            racer.await
        })
    });
    // Collected first, so that all tasks run before the first is awaited.
    let tasks: Vec<_> = tasks.collect();
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}
