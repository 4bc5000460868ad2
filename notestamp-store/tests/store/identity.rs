//! The store's identity: records and blob stores of different stores are not opened together.

use notestamp_store::records::StoreIdentity;
use notestamp_store::{BlobStore, Error, ObjectKind, Result, Store, StoreId};

use super::fixture::{Fixture, Parts, long_notes, media, read};

/// The same records with other blob stores.
fn with(it: &Fixture, notes: &BlobStore, media: &BlobStore) -> Parts {
    let mut parts = it.parts.clone();
    (parts.notes, parts.media) = (notes.clone(), media.clone());
    parts
}

#[track_caller]
fn assert_foreign(opened: Result<Store>, place: &str, expected: StoreId, found: Option<StoreId>) {
    let Err(error @ Error::ForeignStore { .. }) = opened else { panic!("{opened:?}") };
    let message = error.to_string();
    assert!(message.contains(place) && message.contains(&expected.to_string()), "{message}");
    assert!(found.is_none_or(|found| message.contains(&found.to_string())), "{message}");
}

pub async fn a_store_keeps_its_id(it: Fixture) -> Fixture {
    for _ in 0..2 {
        assert_eq!(it.parts.try_open().await.unwrap().id(), it.store.id());
    }
    let mut expected = StoreIdentity::new(it.store.id());
    expected.mark(ObjectKind::Notes);
    expected.mark(ObjectKind::Media);
    let proposed = StoreId::from_bytes([7; 16]);
    assert_eq!(it.parts.records.claim_identity(proposed).await.unwrap(), expected);
    it
}

pub async fn a_blob_store_of_another_store_is_refused(it: Fixture) -> Fixture {
    it.draft("title").notes(&long_notes()).media(&media(1, 10)).save().await;
    let others = Parts::new(it.backend).await;
    let other = others.try_open().await.unwrap().id();
    let (ours, theirs) = (&it.parts, &others);
    let wrong_media = with(&it, &ours.notes, &theirs.media).try_open().await;
    assert_foreign(wrong_media, "media store", it.store.id(), Some(other));
    let wrong_notes = with(&it, &theirs.notes, &ours.media).try_open().await;
    assert_foreign(wrong_notes, "notes store", it.store.id(), Some(other));
    // The refused attempts have changed nothing.
    assert_eq!(theirs.try_open().await.unwrap().id(), other);
    assert_eq!(ours.try_open().await.unwrap().id(), it.store.id());
    it
}

pub async fn an_emptied_blob_store_without_an_id_is_refused(it: Fixture) -> Fixture {
    it.draft("title").notes(&long_notes()).media(&media(1, 10)).save().await;
    let empty = Parts::new(it.backend).await;
    for parts in [with(&it, &it.parts.notes, &empty.media), with(&it, &empty.notes, &it.parts.media)] {
        assert_foreign(parts.try_open().await, "store", it.store.id(), None);
    }
    it
}

pub async fn a_blob_store_without_live_objects_may_be_replaced(mut it: Fixture) -> Fixture {
    let (id, empty) = (it.store.id(), Parts::new(it.backend).await);
    it.parts = with(&it, &empty.notes, &empty.media);
    it.parts.folders.extend(empty.folders);
    let it = it.with(|_| {}).await;
    assert_eq!(it.store.id(), id);
    it.draft("title").notes(&long_notes()).media(&media(1, 10)).save().await;
    let missed = Parts::new(it.backend).await;
    let missed = with(&it, &missed.notes, &missed.media);
    assert_foreign(missed.try_open().await, "notes store", id, None);
    it
}

pub async fn a_new_store_refuses_a_blob_store_of_another_store(it: Fixture) -> Fixture {
    let saved = it.draft("title").media(&media(1, 10)).save().await;
    let mut new = Parts::new(it.backend).await;
    let id = new.try_open().await.unwrap().id();
    new.media = it.parts.media.clone();
    assert_foreign(new.try_open().await, "media store", id, Some(it.store.id()));
    it.store.ping().await.unwrap();
    assert!(read(&it.store, &saved, None).await == media(1, 10));

    // An empty blob store is accepted.
    let other = Parts::new(it.backend).await;
    other.try_open().await.unwrap();
    new.media = other.media.clone();
    assert_eq!(new.try_open().await.unwrap().id(), id);
    it
}
