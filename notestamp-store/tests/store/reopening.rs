//! Opening a store again: what the next process finds.

#![cfg(feature = "sqlite")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use notestamp_store::records::{ObjectLedger, RecordStore, SqliteRecords};
use notestamp_store::{
    BlobStore, BlobUrl, CheckReport, Clock, Durability, Email, Error, ListQuery, ManualClock, Namespace,
    Object, ObjectId, ObjectKind, Precondition, Store, StoreId, StoreSettings, SystemClock, UserId,
};

use super::fixture::{LARGE, NOW, account, draft, media, notes, read, title};

async fn blobs(folder: &Path, kind: ObjectKind) -> BlobStore {
    let url = BlobUrl::folder(folder.join(format!("{kind:?}"))).unwrap();
    BlobStore::open(kind, &url, Durability::Relaxed).await.unwrap()
}

async fn records(folder: &Path) -> Result<SqliteRecords, Error> {
    SqliteRecords::open(folder.join("metadata.db"), Durability::Relaxed).await
}

async fn open(folder: &Path) -> Store {
    try_open(folder).await.unwrap()
}

/// Without inline notes, as programs of earlier versions saved.
async fn try_open(folder: &Path) -> Result<Store, Error> {
    open_with(folder, StoreSettings { notes_inline_bytes_max: Some(0), ..StoreSettings::default() }).await
}

async fn open_with(folder: &Path, settings: StoreSettings) -> Result<Store, Error> {
    let records = Arc::new(records(folder).await?);
    let (notes, media) = (blobs(folder, ObjectKind::Notes).await, blobs(folder, ObjectKind::Media).await);
    Store::builder(records, notes, media).settings(settings).open().await
}

/// Turns the database into one of an earlier version, without a store id, and then runs `sql` on it.
fn make_older(folder: &Path, sql: &str) {
    let file = rusqlite::Connection::open(folder.join("metadata.db")).unwrap();
    file.execute_batch(WITHOUT_INLINE).unwrap();
    file.execute_batch(WITHOUT_HISTORY).unwrap();
    file.execute_batch(WITHOUT_EPOCHS).unwrap();
    file.execute_batch(&format!("DROP TABLE store; PRAGMA user_version = 2; {sql}")).unwrap();
}

/// Takes back what the versions 8 and 7 have added.
const WITHOUT_INLINE: &str = "
    DROP TABLE holds;
    DROP TABLE held_bytes;
    DROP TABLE restore;
    DROP TABLE inline_bytes;
    DROP INDEX objects_live_notes;
    ALTER TABLE objects DROP COLUMN inline;
    PRAGMA user_version = 6";

/// Takes back what version 6 has added.
const WITHOUT_HISTORY: &str = "
    DROP TABLE versions;
    DROP TABLE trash;
    ALTER TABLE projects DROP COLUMN saved;
    ALTER TABLE users DROP COLUMN usage_record_bytes;
    ALTER TABLE users DROP COLUMN usage_trashed;
    ALTER TABLE users DROP COLUMN usage_kept_bytes;
    ALTER TABLE users DROP COLUMN usage_kept_record_bytes;";

/// Takes back what version 5 has added.
const WITHOUT_EPOCHS: &str = "
    DROP INDEX sessions_by_user;
    CREATE INDEX sessions_by_user ON sessions (user, revoked_at, last_used, id);
    ALTER TABLE sessions DROP COLUMN epoch;
    ALTER TABLE users DROP COLUMN epoch_begun_reason;
    ALTER TABLE users DROP COLUMN epoch_begun_at;
    ALTER TABLE users DROP COLUMN session_epoch;";

/// Deletes a project for good.
async fn delete(store: &Store, owner: UserId, text: &str) {
    store.delete_project_permanently_if(owner, &title(text), &Precondition::None).await.unwrap();
}

/// The file that holds the store's id in a blob store.
fn id_file(folder: &Path, kind: ObjectKind) -> PathBuf {
    folder.join(format!("{kind:?}")).join(".store-id")
}

const KINDS: [ObjectKind; 2] = [ObjectKind::Notes, ObjectKind::Media];

#[tokio::test]
async fn saved_projects_exist_after_the_store_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let owner = account(&store, "ada@example.org").await;
    let bytes = media(1, LARGE);
    let saved = draft(&store, owner, "title").notes("words").media(&bytes).save().await;
    assert!(matches!(records(folder.path()).await, Err(Error::InUse { .. })));
    store.close().await.unwrap();
    assert!(store.find_project(owner, &title("title")).await.is_err(), "it is closed");

    let store = open(folder.path()).await;
    let opened = store.open_project(owner, &title("title")).await.unwrap();
    assert_eq!((&opened.project, &opened.notes), (&saved, notes("words").as_bytes()));
    assert!(read(&store, &saved, None).await == bytes);
    assert_eq!(store.check().await.unwrap(), CheckReport::default());
}

/// A database as version 1 wrote it: without the index by which a search finds titles.
#[tokio::test]
async fn an_older_database_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let owner = account(&store, "ada@example.org").await;
    draft(&store, owner, "A lecture").save().await;
    draft(&store, owner, "Another").save().await;
    store.close().await.unwrap();
    make_older(
        folder.path(),
        "DROP TABLE title_grams;
             DROP TABLE title_documents;
             ALTER TABLE users DROP COLUMN revision_floor;
             PRAGMA user_version = 1",
    );
    KINDS.into_iter().for_each(|kind| fs::remove_file(id_file(folder.path(), kind)).unwrap());

    let store = open(folder.path()).await;
    let found = async |text: &str| {
        let query = ListQuery { search: Some(text.to_owned()), ..ListQuery::default() };
        store.list_projects(owner, &query).await.unwrap().projects.len()
    };
    assert_eq!((found("LECTURE").await, found("e").await), (1, 2));
    delete(&store, owner, "A lecture").await;
    draft(&store, owner, "Another lecture").save().await;
    assert_eq!((found("LECTURE").await, found("e").await), (1, 2));
}

/// The notes that version 6 stored are files.
#[tokio::test]
async fn notes_of_an_older_store_are_read_and_move_into_the_records_when_they_are_saved_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let owner = account(&store, "ada@example.org").await;
    for text in ["kept", "saved again"] {
        draft(&store, owner, text).notes("old").save().await;
    }
    store.close().await.unwrap();
    let file = rusqlite::Connection::open(folder.path().join("metadata.db")).unwrap();
    file.execute_batch(WITHOUT_INLINE).unwrap();
    drop(file);

    let store = open_with(folder.path(), StoreSettings::default()).await.unwrap();
    let home = folder.path().join("Notes").join(Namespace::Owner(owner).to_string());
    let files = || fs::read_dir(&home).unwrap().count();
    let notes_of = async |text: &str| store.open_project(owner, &title(text)).await.unwrap().notes;
    assert_eq!((notes_of("kept").await, files()), (notes("old").as_bytes().clone(), 2));
    let saved = draft(&store, owner, "saved again").notes("new").save().await;
    assert_eq!(&notes_of("saved again").await, notes("new").as_bytes());
    let key = title("saved again").into();
    let former = store.list_history(owner, &key, None, 10.try_into().unwrap()).await.unwrap().states;
    assert_eq!(former.len(), 2, "the version keeps its file");
    delete(&store, owner, "saved again").await;
    store.sweep().await.unwrap();
    assert_eq!(files(), 1);
    assert_eq!(store.check().await.unwrap().findings, []);
    store.close().await.unwrap();

    // With the setting off, notes in the records are read all the same.
    let store = open_with(folder.path(), StoreSettings::default()).await.unwrap();
    let inline = draft(&store, owner, "inline").notes("small").save().await;
    assert_ne!(inline.notes.object, saved.notes.object);
    store.close().await.unwrap();
    let store = open(folder.path()).await;
    assert_eq!(&store.open_project(owner, &title("inline")).await.unwrap().notes, notes("small").as_bytes());
    assert_eq!((files(), store.check().await.unwrap().findings), (1, vec![]));
}

/// No other process can have the records open, so every reserved row belongs to a process that has ended, and the
/// sweep need not wait for upload deadlines.
#[tokio::test]
async fn reservations_of_a_dead_process_are_doomed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let owner = account(&open(folder.path()).await, "ada@example.org").await;
    let namespace = Namespace::Owner(owner);

    // What a process leaves behind if it is killed, for each stage of a save.
    let ledger = records(folder.path()).await.unwrap();
    for (n, kind) in [ObjectKind::Notes, ObjectKind::Media, ObjectKind::Media].into_iter().enumerate() {
        let id = ObjectId::from_bytes([n as u8; 16]);
        ledger.reserve(&[Object::reserve(id, kind, namespace, NOW)]).await.unwrap();
        if n > 0 {
            blobs(folder.path(), kind).await.put(namespace, id, Bytes::from_static(b"whole")).await.unwrap();
        }
        let home = folder.path().join(format!("{kind:?}")).join(namespace.to_string());
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join(format!("{id}#1")), "half written").unwrap();
    }
    ledger.close().await.unwrap();

    let store = open(folder.path()).await;
    let before = store.check().await.unwrap();
    assert_eq!((before.unreferenced.len(), before.findings.len()), (3, 0));
    assert_eq!(store.sweep().await.unwrap().deleted, 3);
    assert_eq!(store.check().await.unwrap(), CheckReport::default());
}

/// Creates a store with one project, and closes it.
async fn used(folder: &Path) -> (UserId, StoreId) {
    let store = open(folder).await;
    let owner = account(&store, "ada@example.org").await;
    draft(&store, owner, "title").media(&media(1, 1_000)).save().await;
    store.close().await.unwrap();
    (owner, store.id())
}

#[track_caller]
fn assert_foreign(opened: Result<Store, Error>, folder: &Path) {
    let Err(error @ Error::ForeignStore { .. }) = opened else { panic!("{opened:?}") };
    let message = error.to_string();
    assert!(message.contains(folder.to_str().unwrap()) && message.contains("sqlite"), "{message}");
}

#[tokio::test]
async fn a_store_of_an_earlier_version_is_given_an_id_once() {
    let folder = tempfile::tempdir().unwrap();
    let (owner, before) = used(folder.path()).await;
    make_older(folder.path(), "");
    KINDS.into_iter().for_each(|kind| fs::remove_file(id_file(folder.path(), kind)).unwrap());

    let store = open(folder.path()).await;
    assert_ne!(store.id(), before);
    let project = store.find_project(owner, &title("title")).await.unwrap();
    assert!(read(&store, &project, None).await == media(1, 1_000));
    for kind in KINDS {
        assert_eq!(fs::read_to_string(id_file(folder.path(), kind)).unwrap(), format!("{}\n", store.id()));
    }
    store.close().await.unwrap();

    // A blob store that was given the id and does not hold it is not given the id again.
    for kind in KINDS {
        let id = fs::read(id_file(folder.path(), kind)).unwrap();
        fs::remove_file(id_file(folder.path(), kind)).unwrap();
        assert_foreign(try_open(folder.path()).await, folder.path());
        fs::write(id_file(folder.path(), kind), id).unwrap();
    }
    open(folder.path()).await;
}

#[tokio::test]
async fn an_unmounted_folder_beside_an_earlier_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    used(folder.path()).await;
    make_older(folder.path(), "");
    for kind in KINDS {
        fs::remove_file(id_file(folder.path(), kind)).unwrap();
    }
    let (media, elsewhere) = (folder.path().join("Media"), folder.path().join("elsewhere"));
    fs::rename(&media, &elsewhere).unwrap();
    assert_foreign(try_open(folder.path()).await, &media);
    assert!(!id_file(folder.path(), ObjectKind::Media).exists(), "what lies under a mount is left as it was");

    fs::remove_dir(&media).unwrap();
    fs::rename(&elsewhere, &media).unwrap();
    open(folder.path()).await;
}

#[tokio::test]
async fn a_database_without_an_id_takes_that_of_its_blob_stores() {
    let folder = tempfile::tempdir().unwrap();
    let (_, id) = used(folder.path()).await;
    make_older(folder.path(), "");
    assert_eq!(open(folder.path()).await.id(), id);
}

#[tokio::test]
async fn an_unmounted_folder_is_refused_at_the_start_and_detected_by_a_ping() {
    let folder = tempfile::tempdir().unwrap();
    used(folder.path()).await;
    let store = open(folder.path()).await;
    store.ping().await.unwrap();
    let (mount, disk) = (folder.path().join("Media"), folder.path().join("disk"));
    fs::rename(&mount, &disk).unwrap();
    fs::create_dir(&mount).unwrap();
    let pinged = store.ping().await;
    assert!(matches!(pinged, Err(Error::ForeignStore { .. })), "{pinged:?}");

    // An operation must not mistake the empty folder for a blob store that has lost its files.
    let owner =
        store.find_account_by_email(&Email::parse("ada@example.org").unwrap()).await.unwrap().unwrap().id;
    let brought = draft(&store, owner, "title").media(&media(1, 1_000)).try_save().await;
    assert!(matches!(brought, Err(Error::ForeignStore { .. })), "{brought:?}");
    delete(&store, owner, "title").await;
    store.close().await.unwrap();
    drop(store);
    assert_foreign(try_open(folder.path()).await, &mount);

    fs::remove_dir_all(&mount).unwrap();
    fs::rename(&disk, &mount).unwrap();
    open(folder.path()).await.ping().await.unwrap();
}

#[tokio::test]
async fn a_save_into_an_unmounted_folder_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (owner, _) = used(folder.path()).await;
    let store = open(folder.path()).await;
    let before = store.open_project(owner, &title("title")).await.unwrap();
    let (mount, disk) = (folder.path().join("Notes"), folder.path().join("disk"));
    fs::rename(&mount, &disk).unwrap();
    fs::create_dir(&mount).unwrap();
    let saved = draft(&store, owner, "title").try_save().await;
    assert!(matches!(saved, Err(Error::ForeignStore { .. })), "{saved:?}");
    // What a deletion dooms is not taken for deleted, either.
    delete(&store, owner, "title").await;
    store.close().await.unwrap();

    fs::remove_dir_all(&mount).unwrap();
    fs::rename(&disk, &mount).unwrap();
    let store = open(folder.path()).await;
    let doomed = before.project.notes.object;
    assert!(store.check().await.unwrap().unreferenced.contains(&doomed));
    store.sweep().await.unwrap();
    assert_eq!(store.check().await.unwrap().findings, []);
}

#[tokio::test]
async fn a_sweep_forgets_no_object_of_an_unmounted_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (owner, _) = used(folder.path()).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let records = Arc::new(records(folder.path()).await.unwrap());
    let (notes, blobs) =
        (blobs(folder.path(), ObjectKind::Notes).await, blobs(folder.path(), ObjectKind::Media).await);
    let store = Store::builder(records, notes, blobs).clock(clock.clone()).open().await.unwrap();
    delete(&store, owner, "title").await;
    let (mount, disk) = (folder.path().join("Media"), folder.path().join("disk"));
    fs::rename(&mount, &disk).unwrap();
    fs::create_dir(&mount).unwrap();
    clock.advance(2 * store.settings().sweep_grace);
    let report = store.sweep().await.unwrap();
    assert_eq!((report.doomed, report.failed), (1, 1));

    fs::remove_dir(&mount).unwrap();
    fs::rename(&disk, &mount).unwrap();
    assert_eq!(store.sweep().await.unwrap().deleted, 1);
    assert_eq!(store.check().await.unwrap(), CheckReport::default());
}
