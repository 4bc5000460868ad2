//! What the next process finds.

#![cfg(feature = "sqlite")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use notestamp_store::records::{ObjectLedger, RecordStore, SqliteRecords};
use notestamp_store::{
    BlobStore, BlobUrl, CheckReport, Durability, Error, ListQuery, Namespace, Object, ObjectId, ObjectKind,
    Store,
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
    let metadata = Arc::new(records(folder).await.unwrap());
    let (notes, media) = (blobs(folder, ObjectKind::Notes).await, blobs(folder, ObjectKind::Media).await);
    Store::builder(metadata, notes, media).open().await.unwrap()
}

#[tokio::test]
async fn what_was_saved_is_there_after_the_store_was_closed() {
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

/// As version 1 had it: without the index by which a search finds titles.
#[tokio::test]
async fn an_older_database_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let owner = account(&store, "ada@example.org").await;
    draft(&store, owner, "A lecture").save().await;
    draft(&store, owner, "Another").save().await;
    store.close().await.unwrap();
    let file = rusqlite::Connection::open(folder.path().join("metadata.db")).unwrap();
    file.execute_batch(
        "DROP TABLE title_grams;
             DROP TABLE title_documents;
             ALTER TABLE users DROP COLUMN revision_floor;
             PRAGMA user_version = 1",
    )
    .unwrap();
    drop(file);

    let store = open(folder.path()).await;
    let found = async |text: &str| {
        let query = ListQuery { search: Some(text.to_owned()), ..ListQuery::default() };
        store.list_projects(owner, &query).await.unwrap().projects.len()
    };
    assert_eq!((found("LECTURE").await, found("e").await), (1, 2));
    store.delete_project(owner, &title("A lecture")).await.unwrap();
    draft(&store, owner, "Another lecture").save().await;
    assert_eq!((found("LECTURE").await, found("e").await), (1, 2));
}

/// Nobody else can have the records open, so whoever reserved anything is dead, and nobody waits
/// for the time that an upload may take.
#[tokio::test]
async fn what_a_dead_process_has_reserved_is_given_up_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let owner = account(&open(folder.path()).await, "ada@example.org").await;
    let namespace = Namespace::Owner(owner);

    // What a process leaves that is killed at each of the stages of a save.
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
    assert_eq!((before.unreferenced.len(), before.unaccounted.len()), (3, 3));
    assert_eq!(store.sweep().await.unwrap().deleted, 3);
    assert_eq!(store.check().await.unwrap(), CheckReport::default());
}
