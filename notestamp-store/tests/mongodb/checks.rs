//! A check names damaged numbers and lost rows exactly, and corrects them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use mongodb::bson::{Binary, Document, Uuid, doc, spec::BinarySubtype};
use notestamp_store::{
    BlobStore, BlobUrl, CheckEvent, CheckOptions, Durability, Email, Metadata, Notes, ObjectKind,
    PasswordHash, SaveRequest, Store,
};
use tokio::sync::mpsc;

use crate::database::TestDatabase;
use crate::fixture::{NOW, behind, title};

/// The names of the findings, and whether each is repaired.
async fn findings(store: &Store, repair: bool) -> Vec<(&'static str, bool)> {
    let (events, mut reported) = mpsc::channel(1_000);
    store.check_with(CheckOptions { deep: true, repair }, &events).await.unwrap();
    drop(events);
    let mut findings = Vec::new();
    while let Some(event) = reported.recv().await {
        if let CheckEvent::Finding(finding) = event {
            findings.push((finding.name.as_str(), finding.is_repaired));
        }
    }
    findings
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn damaged_numbers_and_lost_rows_are_named_exactly_and_corrected() {
    let database = TestDatabase::new();
    let blobs = async |kind| {
        BlobStore::open(kind, &BlobUrl::parse("memory:///").unwrap(), Durability::Full).await.unwrap()
    };
    let (notes, media) = (blobs(ObjectKind::Notes).await, blobs(ObjectKind::Media).await);
    let store = Store::builder(Arc::new(database.open().await), notes, media).open().await.unwrap();
    for name in ["ada", "bob"] {
        let email = Email::parse(&format!("{name}@example.org")).unwrap();
        let owner = store.create_account(email, PasswordHash::new("$argon2id$…")).await.unwrap().id;
        for text in ["Song", "Talk"] {
            let mut save = store.begin_save(owner).await.unwrap();
            let bytes = Bytes::from(format!("the song of {name}"));
            save.write_media(stream::iter([Ok::<_, std::convert::Infallible>(bytes)])).await.unwrap();
            let notes = Notes::parse(b"[]".to_vec()).unwrap();
            save.commit(SaveRequest::new(Metadata::new(title(text), NOW), notes)).await.unwrap();
        }
    }
    assert_eq!(findings(&store, false).await, []);

    let raw = behind(&database).await;
    let objects = raw.collection::<Document>("objects");
    let users = raw.collection::<Document>("users");
    let media = objects.find_one(doc! { "kind": "media" }).await.unwrap().unwrap();
    let id = || doc! { "_id": media.get("_id").cloned() };

    let more = doc! { "$set": { "references": 7_i64 } };
    objects.update_one(id(), more).await.unwrap();
    users
        .update_one(doc! { "email": "ada@example.org" }, doc! { "$inc": { "usage.bytes": 1_i64 } })
        .await
        .unwrap();
    let stale = Binary { subtype: BinarySubtype::Uuid, bytes: Uuid::from_bytes([7; 16]).bytes().to_vec() };
    let mut row = media.clone();
    row.extend(doc! { "_id": stale, "state": "doomed", "references": 0_i64, "since": mongodb::bson::DateTime::from_millis(1) });
    objects.insert_one(row).await.unwrap();
    let mut found = findings(&store, false).await;
    found.sort_unstable();
    assert_eq!(found, [("reference count", false), ("stale row", false), ("usage", false)]);
    assert!(findings(&store, true).await.iter().all(|(_, is_repaired)| *is_repaired));
    assert_eq!(findings(&store, false).await, []);

    objects.update_one(id(), doc! { "$set": { "state": "doomed", "references": 0_i64 } }).await.unwrap();
    assert_eq!(findings(&store, false).await, [("reference count", false)]);
    assert_eq!(findings(&store, true).await, [("reference count", true)], "its bytes are there");
    assert_eq!(findings(&store, false).await, []);

    objects.delete_one(id()).await.unwrap();
    assert_eq!(findings(&store, false).await, [("missing", false); 2], "two projects refer to it");
    assert_eq!(findings(&store, true).await.first(), Some(&("missing", true)));
    assert_eq!(findings(&store, false).await, []);
    store.close().await.unwrap();
}
