//! After any sequence of operations the SQLite backend has returned and stored the same as the memory backend.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "in a test, to panic is to fail")]

use std::num::NonZeroUsize;
use std::time::Duration;

use notestamp_store::protocol::{
    MediaCheck, MediaOffer, NewNotes, SaveCommit, StaleBefore, TrashRestore, Written,
};
use notestamp_store::records::{MemoryRecords, RecordStore, SaveOutcome, SqliteRecords};
use notestamp_store::{
    Cursor, Digest, Durability, Email, LastModified, ListQuery, Metadata, Namespace, Object, ObjectId,
    ObjectKind, Order, PasswordHash, Precondition, Project, ProjectId, Revision, Sort, Start, Timestamp,
    Title, User, UserId,
};
use proptest::prelude::*;

const USERS: [UserId; 2] = [UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16])];
const TITLES: [&str; 5] = ["Straße", "STRASSE", "50%_*", "Ωδή", "a"];
const KINDS: [&str; 2] = ["audio", "pdf"];
const MANY: usize = usize::MAX;
const HOUR: Duration = Duration::from_secs(3_600);

/// One operation, which is done to both backends.
#[derive(Clone, Debug)]
enum Act {
    Register { user: usize },
    Save(Save),
    Delete { user: usize, title: usize },
    Trash { user: usize, title: usize, trashed_max: u64 },
    RestoreTrashed { user: usize, nth: usize, title: Option<usize> },
    PurgeTrashed { user: usize, nth: usize },
    Thin { user: usize, title: usize, hours: u32, limit: usize },
    List { user: usize, query: Query },
    DoomStale { reserved: bool, unreferenced: bool },
    ForgetDoomed,
    Remove { user: usize },
    PurgeRemoved,
}

#[derive(Clone, Debug)]
struct Save {
    user: usize,
    title: usize,
    kind: usize,
    last_modified: i64,
    notes_size: u64,
    media: Option<(Offer, u8)>,
    shared: bool,
    precondition: Precondition,
    history: Option<Duration>,
    restores: bool,
    quota: Option<u64>,
    projects_max: u64,
    /// Whether a sweep doomed its rows as abandoned before the commit.
    late: bool,
    /// Whether the objects that it checks are reported as lost.
    is_lost: bool,
}

#[derive(Clone, Copy, Debug)]
enum Offer {
    Written,
    Unfinished,
    Known,
}

#[derive(Clone, Debug)]
struct Query {
    search: Option<&'static str>,
    kind: Option<usize>,
    sort: Sort,
    order: Option<Order>,
    limit: Option<usize>,
}

fn act() -> impl Strategy<Value = Act> {
    let user = 0..USERS.len();
    prop_oneof![
        2 => user.clone().prop_map(|user| Act::Register { user }),
        12 => save().prop_map(Act::Save),
        3 => (user.clone(), 0..TITLES.len()).prop_map(|(user, title)| Act::Delete { user, title }),
        3 => (user.clone(), 0..TITLES.len(), 1..4_u64)
            .prop_map(|(user, title, trashed_max)| Act::Trash { user, title, trashed_max }),
        2 => (user.clone(), 0..3_usize, proptest::option::of(0..TITLES.len()))
            .prop_map(|(user, nth, title)| Act::RestoreTrashed { user, nth, title }),
        1 => (user.clone(), 0..3_usize).prop_map(|(user, nth)| Act::PurgeTrashed { user, nth }),
        1 => (user.clone(), 0..TITLES.len(), 0..100_u32, 1..5_usize)
            .prop_map(|(user, title, hours, limit)| Act::Thin { user, title, hours, limit }),
        3 => (user.clone(), query()).prop_map(|(user, query)| Act::List { user, query }),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(reserved, unreferenced)| Act::DoomStale { reserved, unreferenced }),
        1 => Just(Act::ForgetDoomed),
        1 => user.prop_map(|user| Act::Remove { user }),
        1 => Just(Act::PurgeRemoved),
    ]
}

fn save() -> impl Strategy<Value = Save> {
    let offer = prop_oneof![2 => Just(Offer::Written), 1 => Just(Offer::Unfinished), 1 => Just(Offer::Known)];
    let revision = (1..4_u64).prop_map(Revision::new);
    let precondition = prop_oneof![
        6 => Just(Precondition::None),
        1 => Just(Precondition::Exists),
        1 => Just(Precondition::Absent),
        1 => revision.clone().prop_map(|it| Precondition::OneOf(vec![it])),
        1 => revision.prop_map(|it| Precondition::NoneOf(vec![it])),
    ];
    let what = (0..USERS.len(), 0..TITLES.len(), 0..KINDS.len(), 0..3_i64, 0..50_u64);
    let media = proptest::option::of((offer, 0..3_u8));
    let history = proptest::option::weighted(0.7, (1..100_u64).prop_map(Duration::from_secs));
    let quota = proptest::option::weighted(0.2, 1_000..8_000_u64);
    let rarely = || proptest::bool::weighted(0.1);
    let limits = (quota, 1..8_u64, history, proptest::bool::weighted(0.2));
    let how = (media, any::<bool>(), precondition, limits, rarely(), proptest::bool::weighted(0.3));
    (what, how).prop_map(
        |(
            (user, title, kind, last_modified, notes_size),
            (media, shared, precondition, (quota, projects_max, history, restores), late, is_lost),
        )| Save {
            user,
            title,
            kind,
            last_modified,
            notes_size,
            media,
            shared,
            precondition,
            history,
            restores,
            quota,
            projects_max,
            late,
            is_lost,
        },
    )
}

fn query() -> impl Strategy<Value = Query> {
    let search = proptest::option::of(prop::sample::select(vec!["ss", "%", "_", "*", "ΩΔ", "A", ""]));
    let sort = prop::sample::select(vec![Sort::Saved, Sort::LastModified, Sort::Title]);
    let order = proptest::option::of(prop::sample::select(vec![Order::Ascending, Order::Descending]));
    let limit = proptest::option::of(1..3_usize);
    (search, proptest::option::of(0..KINDS.len()), sort, order, limit)
        .prop_map(|(search, kind, sort, order, limit)| Query { search, kind, sort, order, limit })
}

/// Performs the `nth` act; returns its outcome as text.
async fn perform(store: &dyn RecordStore, act: &Act, nth: usize) -> String {
    let now = now(nth);
    match act {
        Act::Register { user } => {
            let email = Email::parse(&format!("user{user}@example.org")).unwrap();
            // A real account is never created again with the same id, but this test does so; first nothing may be left
            // of the removed one.
            store.purge_removed(MANY, now).await.unwrap();
            let user = User::new(USERS[*user], email, PasswordHash::new("$argon2id$…"), now);
            format!("{:?}", store.create_user(&user).await.is_ok())
        }
        Act::Save(save) => commit(store, save, nth).await,
        Act::Delete { user, title } => {
            let deleted = store.delete_project(USERS[*user].into(), &title_of(*title), now).await;
            sorted(deleted.map(|deleted| deleted.doomed))
        }
        Act::Trash { user, title, trashed_max } => {
            let (caller, key) = (USERS[*user].into(), title_of(*title).into());
            let trashed = store.trash_project_if(caller, &key, &Precondition::None, *trashed_max, now);
            sorted(trashed.await.map(|trashed| trashed.doomed))
        }
        Act::RestoreTrashed { user, nth, title } => {
            let caller = USERS[*user].into();
            let id = trashed(store, USERS[*user], *nth).await;
            let title = title.map(title_of);
            let restore = TrashRestore { caller, id, title, projects_max: 4, now };
            format!("{:?}", store.restore_trashed(&restore).await)
        }
        Act::PurgeTrashed { user, nth } => {
            let id = trashed(store, USERS[*user], *nth).await;
            let purged = store.purge_trashed(USERS[*user].into(), &[id], now).await;
            sorted(purged.map(|(_, purged)| purged.doomed))
        }
        Act::Thin { user, title, hours, limit } => {
            let project = store.find_project(USERS[*user], &title_of(*title)).await.unwrap();
            let Some(project) = project else { return String::new() };
            let (history, later) = (Some(Duration::from_secs(50 * 3_600)), now.after(*hours * HOUR));
            let thinned = store.thin_history(USERS[*user], project.id, history, *limit, later).await;
            sorted(thinned.map(|thinned| thinned.doomed))
        }
        Act::List { user, query } => walk(store, USERS[*user], query).await,
        Act::DoomStale { reserved, unreferenced } => {
            let before = |wanted| if wanted { now } else { Timestamp::MIN };
            let before = StaleBefore { reserved: before(*reserved), unreferenced: before(*unreferenced) };
            format!("{:?}", store.doom_stale(&before, MANY, now).await)
        }
        Act::ForgetDoomed => {
            let doomed = store.list_doomed(None, MANY).await.unwrap();
            let ids: Vec<_> = doomed.iter().map(|row| row.id).collect();
            store.forget_doomed(&ids).await.unwrap();
            format!("{doomed:?}")
        }
        Act::Remove { user } => format!("{:?}", store.remove_user(USERS[*user].into(), now).await),
        Act::PurgeRemoved => format!("{:?}", store.purge_removed(MANY, now).await),
    }
}

/// The doomed rows in the order of their ids, as text.
fn sorted(doomed: notestamp_store::Result<Vec<Object>>) -> String {
    let doomed = doomed.map(|mut rows| {
        rows.sort_by_key(|row| row.id);
        rows
    });
    format!("{doomed:?}")
}

/// The id of a project in the trash, or one that no project has.
async fn trashed(store: &dyn RecordStore, owner: UserId, nth: usize) -> ProjectId {
    let trash = store.list_trash(owner, None, MANY).await.unwrap();
    trash.get(nth).map_or(ProjectId::from_bytes([9; 16]), |trashed| trashed.project.id)
}

/// A third of all notes are inline.
fn new_notes(save: &Save, reserved: &Object, unused: ObjectId) -> NewNotes {
    let (size, digest) = (save.notes_size, Digest::of(&[(save.notes_size % 2) as u8]));
    if size % 3 == 0 {
        return NewNotes::Inline { object: unused, digest, bytes: vec![b' '; size as usize].into() };
    }
    NewNotes::Written(Written { object: reserved.id, digest, size })
}

async fn commit(store: &dyn RecordStore, save: &Save, nth: usize) -> String {
    let (now, owner) = (now(nth), USERS[save.user]);
    let namespace = if save.shared { Namespace::Shared } else { Namespace::Owner(owner) };
    let notes = Object::reserve(object_id(nth, 0), ObjectKind::Notes, Namespace::Owner(owner), now);
    let media = Object::reserve(object_id(nth, 1), ObjectKind::Media, namespace, now);
    store.reserve(&[notes.clone(), media.clone()]).await.unwrap();
    if save.late {
        let before =
            StaleBefore { reserved: now.after(Duration::from_millis(1)), unreferenced: Timestamp::MIN };
        store.doom_stale(&before, MANY, now).await.unwrap();
    }
    let mut metadata = Metadata::new(title_of(save.title), now);
    metadata.kind = KINDS[save.kind].to_owned();
    metadata.last_modified = LastModified::at(Timestamp::from_millis(save.last_modified));
    let offer = |(offer, byte): (Offer, u8)| {
        let digest = Digest::of(&[byte]);
        let written = Written { object: media.id, digest, size: 50 + u64::from(byte) };
        match offer {
            Offer::Written => MediaOffer::Written(written),
            Offer::Unfinished => MediaOffer::Staged(written),
            Offer::Known => MediaOffer::Known(digest),
        }
    };
    let restored = store.find_project(owner, &title_of(save.title)).await.unwrap();
    let commit = SaveCommit {
        caller: owner.into(),
        new_id: ProjectId::from_bytes(*object_id(nth, 2).as_bytes()),
        metadata,
        precondition: save.precondition.clone(),
        notes: new_notes(save, &notes, object_id(nth, 3)),
        media: save.media.map(offer),
        checks: Vec::new(),
        namespace,
        restores: restored.filter(|_| save.restores).map(|project| project.id),
        history: save.history,
        quota_bytes_max: save.quota,
        projects_max: save.projects_max,
        now,
    };
    let mut commit = commit;
    let mut outcomes = String::new();
    loop {
        let outcome = store.commit_save(&commit).await;
        let outcome = outcome.map(|outcome| match outcome {
            SaveOutcome::Saved { project, mut doomed } => {
                doomed.sort_by_key(|row| row.id);
                SaveOutcome::Saved { project, doomed }
            }
            other => other,
        });
        outcomes += &format!("{outcome:?}");
        match outcome {
            Ok(SaveOutcome::CheckNeeded(media)) => {
                commit.checks.push(MediaCheck { object: media.object, is_whole: !save.is_lost });
            }
            _ => return outcomes,
        }
    }
}

/// Follows the cursors of a listing to its end; returns its pages as text.
async fn walk(store: &dyn RecordStore, owner: UserId, query: &Query) -> String {
    let mut query = ListQuery {
        search: query.search.map(str::to_owned),
        kind: query.kind.map(|kind| KINDS[kind].to_owned()),
        start: Start::First(query.sort),
        order: query.order,
        limit: query.limit.and_then(NonZeroUsize::new),
        ..ListQuery::default()
    };
    let mut pages: Vec<(Vec<Project>, Option<Cursor>)> = Vec::new();
    loop {
        let page = store.list_projects(owner, &query).await.unwrap();
        let next = page.next.clone();
        pages.push((page.projects, page.next));
        assert!(pages.len() <= TITLES.len(), "the listing does not end");
        match next {
            Some(next) => query.start = Start::After(next),
            None => return format!("{pages:?}"),
        }
    }
}

/// The whole content of a store, as text.
async fn everything(store: &dyn RecordStore) -> String {
    let mut all = format!("{:#?}", store.audit_objects(None, MANY).await.unwrap());
    for owner in USERS {
        all += &format!("{:#?}", store.find_user(owner).await.unwrap());
        let projects = store.list_projects(owner, &ListQuery::default()).await.unwrap();
        let trash = store.list_trash(owner, None, MANY).await.unwrap();
        for project in projects.projects.iter().chain(trash.iter().map(|trashed| &trashed.project)) {
            all += &format!("{:#?}", store.list_versions(owner, project.id, None, MANY).await.unwrap());
        }
        all += &format!("{projects:#?}{trash:#?}");
        for byte in 0..3 {
            all += &format!("{:?}", store.find_owned_media(owner, Digest::of(&[byte])).await.unwrap());
        }
    }
    all
}

fn now(nth: usize) -> Timestamp {
    Timestamp::from_millis(1_709_294_400_000).after(Duration::from_secs(nth as u64))
}

fn object_id(nth: usize, which: u8) -> ObjectId {
    let mut bytes = [which; 16];
    bytes[..8].copy_from_slice(&nth.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

fn title_of(title: usize) -> Title {
    Title::parse(TITLES[title]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_returns_and_stores_the_same_as_memory(acts in proptest::collection::vec(act(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let path = folder.path().join("metadata.db");
            let sqlite = SqliteRecords::open(&path, Durability::Relaxed).await.unwrap();
            let memory = MemoryRecords::new();
            let registered = (0..USERS.len()).map(|user| Act::Register { user });
            for (nth, act) in registered.chain(acts).enumerate() {
                let expected = perform(&memory, &act, nth).await;
                prop_assert_eq!(perform(&sqlite, &act, nth).await, expected, "act {}: {:?}", nth, act);
            }
            let expected = everything(&memory).await;
            prop_assert_eq!(everything(&sqlite).await, expected);
            sqlite.close().await.unwrap();
            let reopened = SqliteRecords::open(&path, Durability::Relaxed).await.unwrap();
            prop_assert_eq!(everything(&reopened).await, everything(&memory).await);
            Ok(())
        })?;
    }
}
