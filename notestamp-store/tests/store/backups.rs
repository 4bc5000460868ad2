//! Backups of a store, and what they restore.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use notestamp_store::backup::{
    BackupError, BackupEvent, BackupFolder, BackupReport, BackupSource, BlobRef, BlobTarget, RestoreReport,
    RestoreTarget, StateLine, UserLine, back_up, prune, restore, verify,
};
use notestamp_store::{
    ByteStream, Digest, Email, Error, ListQuery, ObjectKind, PasswordHash, RestoreId, Store, StoreSettings,
    UserId,
};
use tokio::sync::mpsc;

use crate::fixture::{Backend, Fixture, Parts, account, assert_all_whole, draft, media, title};

/// The same store with a history and a trash.
async fn keeping(it: Fixture) -> Fixture {
    it.with(|settings| {
        let StoreSettings { history, trash, .. } = StoreSettings::default();
        (settings.history, settings.trash) = (history, trash);
    })
    .await
}

/// A library with history, trash, and media that several projects have; a second account.
async fn fill(it: &Fixture) -> UserId {
    let store = &it.store;
    it.draft("Song").notes("first").media(&media(1, 3_000)).save().await;
    it.draft("Song").notes("second").save().await;
    it.draft("Song").notes("third").media(&media(2, 5_000)).save().await;
    it.draft("Gone").notes("gone").media(&media(1, 3_000)).save().await;
    it.delete("Gone").await.unwrap();
    it.draft("Ünusual \"title\"/..").notes("x").save().await;
    let bob = account(store, "bob@example.org").await;
    draft(store, bob, "Song").notes("third").media(&media(1, 3_000)).save().await;
    bob
}

async fn take(folder: &Path, store: &Store) -> (BackupReport, Vec<BackupEvent>) {
    let (sender, mut receiver) = mpsc::channel(10_000);
    let report = back_up(folder, store, &sender).await.unwrap();
    drop(sender);
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        if matches!(event, BackupEvent::Finding(_)) {
            events.push(event);
        }
    }
    (report, events)
}

async fn bring_back(folder: &Path, target: &dyn RestoreTarget) -> Result<RestoreReport, BackupError> {
    restore(folder, None, target, &no_receiver()).await
}

/// A sender whose receiver is gone.
fn no_receiver() -> mpsc::Sender<BackupEvent> {
    mpsc::channel(1).0
}

/// An empty store.
async fn empty(backend: Backend) -> (Store, Parts) {
    let parts = Parts::new(backend).await;
    (open(&parts).await, parts)
}

async fn open(parts: &Parts) -> Store {
    let builder = Store::builder(parts.records.clone(), parts.notes.clone(), parts.media.clone());
    builder.open_restoring().open().await.unwrap()
}

fn other(backend: Backend) -> Backend {
    match backend {
        #[cfg(feature = "sqlite")]
        Backend::Memory => Backend::Embedded,
        _ => Backend::Memory,
    }
}

/// The files of the snapshots, the oldest first.
fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("snapshots")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.collect();
    files.sort();
    files
}

fn blobs(folder: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder.join("blobs")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
    files.sort();
    files
}

/// Everything that a backup of a store contains.
async fn content(store: &Store) -> (String, Vec<Vec<u8>>) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("backup");
    assert_eq!(take(&folder, store).await.1, []);
    let snapshot = fs::read_to_string(&snapshots(&folder)[0]).unwrap();
    (snapshot, blobs(&folder).iter().map(|path| fs::read(path).unwrap()).collect())
}

fn findings(folder: &Path) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let tell = |event| {
        if let BackupEvent::Finding(finding) = event {
            found.push((finding.name, finding.object));
        }
        true
    };
    let report = verify(folder, tell).unwrap();
    assert_eq!(report.findings, found.len() as u64);
    found
}

pub async fn a_backup_is_restored_into_another_kind_of_store(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    let bob = fill(&it).await;
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("new/backup");
    let (report, events) = take(&folder, &it.store).await;
    assert_eq!(events, []);
    assert_eq!((report.users, report.projects, report.versions, report.trashed), (2, 3, 2, 1));
    assert_eq!((report.blobs, report.copied), (7, 7));
    assert_eq!(findings(&folder), []);

    for backend in [it.backend, other(it.backend)] {
        let (store, parts) = empty(backend).await;
        let restored = bring_back(&folder, &store).await.unwrap();
        assert_eq!((restored.users, restored.states, restored.objects, restored.findings), (2, 6, 9, 0));
        assert_eq!(content(&store).await, content(&it.store).await);
        assert_eq!(store.check().await.unwrap(), Default::default());
        for owner in [it.owner, bob] {
            assert_all_whole(&store, owner).await;
        }
        let song = store.find_project(it.owner, &title("Song")).await.unwrap();
        assert_eq!(song.id, it.find("Song").await.unwrap().id);
        // It is a store like any other.
        let saved = draft(&store, it.owner, "Song").notes("fourth").save().await;
        assert_eq!(saved.revision, song.revision.next());
        assert!(matches!(bring_back(&folder, &store).await, Err(BackupError::Store(Error::NotEmpty))));
        drop(parts);
    }
    it
}

pub async fn a_second_backup_copies_only_what_is_new(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    fill(&it).await;
    let place = tempfile::tempdir().unwrap();
    let first = take(place.path(), &it.store).await.0;
    let second = take(place.path(), &it.store).await.0;
    assert_eq!((second.blobs, second.copied), (first.blobs, 0));
    it.draft("New").notes("new").media(&media(1, 3_000)).save().await;
    let third = take(place.path(), &it.store).await.0;
    assert_eq!((third.blobs, third.copied, third.copied_bytes), (first.blobs + 1, 1, 5));
    // A blob of another length was not written by a backup that was completed.
    fs::write(&blobs(place.path())[0], "short").unwrap();
    assert_eq!(take(place.path(), &it.store).await.0.copied, 1);
    assert_eq!(findings(place.path()), []);
    let entries = BackupFolder::open(place.path()).unwrap().list().unwrap();
    assert_eq!(entries.iter().map(|entry| entry.projects).collect::<Vec<_>>(), [3, 3, 4, 4]);
    #[cfg(unix)]
    for path in [place.path().to_owned(), place.path().join("blobs"), snapshots(place.path())[0].clone()] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o077, 0);
    }
    it
}

pub async fn a_folder_that_is_no_backup_of_this_store_is_refused(it: Fixture) -> Fixture {
    let place = tempfile::tempdir().unwrap();
    let (sender, _receiver) = mpsc::channel(100);
    let refused = |outcome: Result<BackupReport, BackupError>, part: &str| {
        let Err(BackupError::WrongUse(why)) = outcome else { panic!("{outcome:?}") };
        assert!(why.contains(part), "{why}");
    };
    let photos = place.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("photo.jpg"), "").unwrap();
    refused(back_up(&photos, &it.store, &sender).await, "neither empty nor a backup");
    assert_eq!(fs::read_dir(&photos).unwrap().count(), 1);

    let folder = place.path().join("backup");
    take(&folder, &it.store).await;
    let (stranger, _parts) = empty(Backend::Memory).await;
    refused(back_up(&folder, &stranger, &sender).await, "another store");
    let missing = bring_back(&place.path().join("absent"), &stranger).await;
    assert!(matches!(missing, Err(BackupError::WrongUse(_))), "{missing:?}");
    for time in ["2001-01-01T00-00-00.000Z", "../../etc", "yesterday"] {
        let absent = restore(&folder, Some(time), &stranger, &sender).await;
        assert!(matches!(absent, Err(BackupError::WrongUse(_))), "{absent:?}");
    }
    let name = BackupFolder::open(&folder).unwrap().list().unwrap()[0].name.clone();
    restore(&folder, Some(&name), &stranger, &sender).await.unwrap();
    it
}

pub async fn bytes_stay_while_a_backup_holds_them(it: Fixture) -> Fixture {
    let song = it.draft("Song").notes("first").media(&media(1, 3_000)).save().await;
    let snapshot = BackupSource::begin(&it.store).await.unwrap();
    it.delete("Song").await.unwrap();
    for _ in 0..2 {
        it.let_time_pass();
        // The hold is renewed in the meantime of the clock, which stands for a few seconds here.
        let report = it.store.sweep().await.unwrap();
        if report.held {
            break;
        }
    }
    let blob = |digest, size| BlobRef {
        kind: ObjectKind::Media,
        namespace: notestamp_store::Namespace::Owner(it.owner),
        object: song.media.unwrap().object,
        digest,
        size,
    };
    let blob = blob(Digest::of(&media(1, 3_000)), 3_000);
    let bytes = it.store.read(&blob).await.unwrap().try_collect::<Vec<_>>().await.unwrap().concat();
    assert!(bytes == media(1, 3_000));
    assert!((snapshot.is_held)());
    drop(snapshot);
    // The hold is forgotten in the background.
    while it.store.sweep().await.unwrap().held {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(it.store.read(&blob).await.is_err());
    it
}

pub async fn nothing_else_is_served_while_a_backup_is_restored(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    fill(&it).await;
    let place = tempfile::tempdir().unwrap();
    take(place.path(), &it.store).await;
    it.draft("New").save().await;
    take(place.path(), &it.store).await;
    let first = BackupFolder::open(place.path()).unwrap().list().unwrap()[0].name.clone();

    let (store, parts) = empty(it.backend).await;
    let failing = Failing { store: store.clone(), calls_left: AtomicUsize::new(4) };
    bring_back(place.path(), &failing).await.unwrap_err();
    assert!(store.is_restoring());
    let hash = PasswordHash::new("$argon2id$…");
    let created = store.create_account(Email::parse("carl@example.org").unwrap(), hash).await;
    assert!(matches!(created, Err(Error::Restoring)), "{created:?}");
    assert!(matches!(store.sweep().await, Err(Error::Restoring)));
    assert!(matches!(store.ping().await, Err(Error::Restoring)));
    assert!(matches!(parts.try_open().await, Err(Error::Restoring)));
    let events = no_receiver();
    let other = restore(place.path(), Some(&first), &store, &events).await;
    assert!(matches!(other, Err(BackupError::Store(Error::Restoring))), "{other:?}");
    bring_back(place.path(), &open(&parts).await).await.unwrap();
    // This process learns it when it looks.
    store.ping().await.unwrap();
    assert!(!store.is_restoring());
    assert_eq!(content(&store).await, content(&it.store).await);
    it
}

/// A target of which one call fails, after it has taken effect or before.
struct Failing {
    store: Store,
    calls_left: AtomicUsize,
}

impl Failing {
    fn count(&self) -> Result<(), BackupError> {
        let left = self.calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        left.map(drop).map_err(|_| BackupError::WrongUse("on purpose".into()))
    }

    async fn pass<T>(&self, call: impl Future<Output = Result<T, BackupError>>) -> Result<T, BackupError> {
        self.count()?;
        let outcome = call.await?;
        self.count()?;
        Ok(outcome)
    }
}

#[async_trait]
impl RestoreTarget for Failing {
    async fn begin(&self, snapshot: Digest) -> Result<RestoreId, BackupError> {
        self.pass(RestoreTarget::begin(&self.store, snapshot)).await
    }

    async fn put_blob(&self, id: RestoreId, blob: &BlobTarget, bytes: ByteStream) -> Result<(), BackupError> {
        self.pass(self.store.put_blob(id, blob, bytes)).await
    }

    async fn put_states(&self, id: RestoreId, states: &[StateLine]) -> Result<(), BackupError> {
        self.pass(self.store.put_states(id, states)).await
    }

    async fn put_users(&self, id: RestoreId, users: &[UserLine]) -> Result<(), BackupError> {
        self.pass(self.store.put_users(id, users)).await
    }

    async fn end(&self, id: RestoreId, recount: &[UserId]) -> Result<(), BackupError> {
        self.pass(self.store.end(id, recount)).await
    }
}

pub async fn a_restore_that_fails_at_any_call_goes_on(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    fill(&it).await;
    let place = tempfile::tempdir().unwrap();
    take(place.path(), &it.store).await;
    let expected = content(&it.store).await;
    for calls in 0..1_000 {
        let (store, parts) = empty(it.backend).await;
        let failing = Failing { store, calls_left: AtomicUsize::new(calls) };
        let outcome = bring_back(place.path(), &failing).await;
        if outcome.is_err() {
            match bring_back(place.path(), &open(&parts).await).await {
                // Only the last call has taken effect, and is not known to have.
                Err(BackupError::Store(Error::NotEmpty)) => {
                    assert!(parts.records.find_restore().await.unwrap().is_none());
                }
                again => drop(again.unwrap()),
            }
        }
        let store = parts.try_open().await.unwrap();
        assert_eq!(content(&store).await, expected, "after {calls} calls");
        assert_eq!(store.check().await.unwrap(), Default::default());
        if outcome.is_ok() {
            assert!(calls > 20, "{calls}");
            return it;
        }
    }
    panic!("it never succeeds");
}

pub async fn what_the_store_has_lost_is_reported_and_left_out(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    fill(&it).await;
    let song = it.find("Song").await.unwrap();
    let lost = song.media.unwrap();
    it.parts.media.delete(lost.namespace, lost.object).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let (report, events) = take(place.path(), &it.store).await;
    assert_eq!(report.findings, 1);
    let [BackupEvent::Finding(finding)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((finding.name, finding.object.as_str()), ("missing", &*lost.object.to_string()));
    assert_eq!(findings(place.path()), [], "the backup itself is whole");

    let (store, _parts) = empty(it.backend).await;
    let restored = bring_back(place.path(), &store).await.unwrap();
    // The current state, and with it the project's two versions.
    assert_eq!((restored.states, restored.findings), (3, 3));
    assert_eq!(store.check().await.unwrap(), Default::default());
    let titles = store.list_projects(it.owner, &ListQuery::default()).await.unwrap().projects;
    assert_eq!(titles.len(), 1);
    assert_all_whole(&store, it.owner).await;
    // So that the fixture finds a whole store.
    it.draft("Song").notes("third").media(&media(2, 5_000)).save().await;
    it
}

pub async fn pruning_deletes_what_no_snapshot_needs(it: Fixture) -> Fixture {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for n in 0..4 {
        it.draft("Song").notes(&format!("notes {n}")).save().await;
        take(folder, &it.store).await;
    }
    assert_eq!((snapshots(folder).len(), blobs(folder).len()), (4, 4));
    let part = blobs(folder)[0].with_extension("part");
    fs::write(&part, "no blob").unwrap();
    let keep = |count| NonZeroUsize::new(count).unwrap();
    let report = prune(folder, keep(2)).unwrap();
    assert_eq!((report.snapshots, report.blobs, part.exists()), (2, 2, false));
    assert_eq!((snapshots(folder).len(), findings(folder)), (2, vec![]));
    // Interrupted after the snapshots, it deletes the blobs the next time.
    fs::remove_file(&snapshots(folder)[0]).unwrap();
    let report = prune(folder, keep(2)).unwrap();
    assert_eq!((report.snapshots, report.blobs), (0, 1));
    assert_eq!(findings(folder), []);
    // What a damaged snapshot needs is not known.
    let kept = &snapshots(folder)[0];
    let text = fs::read_to_string(kept).unwrap();
    fs::write(kept, text.replace("Song", "Sing")).unwrap();
    let refused = prune(folder, keep(1));
    assert!(matches!(refused, Err(BackupError::Damaged(_))), "{refused:?}");
    assert_eq!(blobs(folder).len(), 1);
    it
}

pub async fn a_damaged_backup_is_refused_and_named_by_a_verification(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    fill(&it).await;
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    take(folder, &it.store).await;
    let (snapshot, manifest) = (snapshots(folder)[0].clone(), folder.join("manifest.json"));
    let text = fs::read_to_string(&snapshot).unwrap();
    let damaged = async || {
        let (store, parts) = empty(Backend::Memory).await;
        let outcome = bring_back(folder, &store).await;
        assert!(matches!(outcome, Err(BackupError::Damaged(_))), "{outcome:?}");
        let begun = parts.records.find_restore().await.unwrap();
        assert_eq!(begun, None, "nothing has begun");
    };

    let lines = text.lines().count();
    for line in 0..lines {
        let with = |change: &dyn Fn(&str) -> String| {
            let changed =
                text.lines().enumerate().map(|(n, it)| if n == line { change(it) } else { it.into() });
            changed.filter(|line| line != "-").map(|line| line + "\n").collect::<String>()
        };
        let path = "/../../../../tmp/x";
        for changed in [
            with(&|it| it.replacen("\":\"", "\":\"x", 1)),
            with(&|it| it.replacen(':', "", 1)),
            with(&|it| it.replace('a', "/../")),
            with(&|it| format!("{it}{it}")),
            with(&|_| "{}".to_owned()),
            with(&|_| "-".to_owned()),
            with(&|it| it[..it.len() / 2].to_owned()),
            with(&|it| it.replacen("\"digest\":\"", &format!("\"digest\":\"{path}"), 1)),
            with(&|it| it.replacen("\"id\":\"", &format!("\"id\":\"{path}"), 1)),
            text.lines().take(line).map(|line| format!("{line}\n")).collect(),
        ] {
            if changed != text {
                fs::write(&snapshot, changed).unwrap();
                damaged().await;
                assert_eq!(findings(folder).len(), 1);
            }
        }
    }
    fs::write(&snapshot, text).unwrap();

    let whole = fs::read(&manifest).unwrap();
    for bytes in [&b""[..], b"{", b"[]", b"{\"format\":0,\"store\":\"x\"}", &vec![b' '; 1 << 20], b"\xff\xfe"]
    {
        fs::write(&manifest, bytes).unwrap();
        damaged().await;
        assert!(matches!(verify(folder, |_| true), Err(BackupError::Damaged(_))));
    }
    fs::write(&manifest, &whole).unwrap();

    for path in blobs(folder) {
        let (name, bytes) =
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
        fs::remove_file(&path).unwrap();
        damaged().await;
        assert_eq!(findings(folder), [("missing", name.clone())]);
        fs::write(&path, &bytes[1..]).unwrap();
        damaged().await;
        assert_eq!(findings(folder), [("wrong length", name.clone())]);
        let flipped: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
        fs::write(&path, flipped).unwrap();
        assert_eq!(findings(folder), [("wrong digest", name.clone())]);
        let (store, _parts) = empty(it.backend).await;
        let outcome = bring_back(folder, &store).await;
        assert!(matches!(outcome, Err(BackupError::Damaged(_))), "{outcome:?}");
        // The next attempt goes on with the right bytes.
        fs::write(&path, &bytes).unwrap();
        bring_back(folder, &store).await.unwrap();
    }
    assert_eq!(findings(folder), []);
    it
}

/// A backup that version 1 of the format has written; it must be restored for ever.
const VERSION_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/backup_version_1");

pub async fn a_snapshot_that_was_written_by_version_1_is_restored(it: Fixture) -> Fixture {
    let folder = Path::new(VERSION_1);
    if std::env::var_os("NOTESTAMP_WRITE_BACKUP").is_some() && !folder.exists() {
        let it = keeping(it).await;
        fill(&it).await;
        take(folder, &it.store).await;
        return it;
    }
    let copy = tempfile::tempdir().unwrap();
    for file in blobs(folder).into_iter().chain(snapshots(folder)).chain([folder.join("manifest.json")]) {
        let to = copy.path().join(file.strip_prefix(folder).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, to).unwrap();
    }
    let (store, _parts) = empty(it.backend).await;
    bring_back(copy.path(), &store).await.unwrap();
    let (snapshot, bytes) = content(&store).await;
    assert_eq!(snapshot, fs::read_to_string(&snapshots(folder)[0]).unwrap());
    assert_eq!(bytes, blobs(folder).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>());
    let ada = Email::parse("ada@example.org").unwrap();
    let ada = store.find_account_by_email(&ada).await.unwrap().unwrap();
    assert_eq!((ada.usage.projects, ada.usage.trashed), (2, 1));
    assert_all_whole(&store, ada.id).await;
    it
}

/// Writers count up, each in a project of its own; a state of a writer that was acknowledged before a backup began must
/// be in it, and none that was begun after it ended.
pub async fn backups_during_a_load_restore_states_that_were_acknowledged(it: Fixture) -> Fixture {
    let rounds: u64 = std::env::var("NOTESTAMP_BACKUP_ROUNDS").ok().map_or(5, |it| it.parse().unwrap());
    const WRITERS: usize = 3;
    let counts = std::sync::Arc::new([const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; WRITERS]);
    let mut load = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, owner, counts) = (it.store.clone(), it.owner, counts.clone());
        load.spawn(async move {
            for n in 1.. {
                counts[writer].0.store(n, Ordering::SeqCst);
                let save = draft(&store, owner, &format!("{writer}")).notes(&n.to_string());
                // Media comes and goes: the notes and the media must be of one state.
                match n % 3 {
                    0 => {
                        store.delete_project(owner, &title(&format!("{writer}"))).await.unwrap();
                        save.media(&media(n as u64, 1_000)).save().await;
                    }
                    _ => drop(save.save().await),
                }
                counts[writer].1.store(n, Ordering::SeqCst);
            }
        });
    }
    let sweeps = it.store.clone();
    load.spawn(async move {
        loop {
            sweeps.sweep().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let place = tempfile::tempdir().unwrap();
    for _ in 0..rounds {
        let before: Vec<usize> = counts.iter().map(|(_, acked)| acked.load(Ordering::SeqCst)).collect();
        let (report, events) = take(place.path(), &it.store).await;
        assert_eq!(events, [], "what a snapshot refers to stays until it is copied");
        let after: Vec<usize> = counts.iter().map(|(begun, _)| begun.load(Ordering::SeqCst)).collect();
        let (store, _parts) = empty(Backend::Memory).await;
        bring_back(place.path(), &store).await.unwrap();
        assert_eq!(store.check().await.unwrap(), Default::default(), "{report:?}");
        let restored: BTreeMap<String, usize> = restored_counts(&store, it.owner).await;
        for writer in 0..WRITERS {
            // Between a deletion and the save after it there is no project.
            let Some(n) = restored.get(&format!("{writer}")) else { continue };
            assert!((before[writer]..=after[writer]).contains(n), "{n}: {before:?} {after:?}");
        }
    }
    load.shutdown().await;
    it
}

async fn restored_counts(store: &Store, owner: UserId) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for project in store.list_projects(owner, &ListQuery::default()).await.unwrap().projects {
        let opened = store.open_project(owner, &project.metadata.title).await.unwrap();
        let notes: String = serde_json::from_slice(&opened.notes).unwrap();
        counts.insert(project.metadata.title.as_str().to_owned(), notes.parse().unwrap());
    }
    assert_all_whole(store, owner).await;
    counts
}
