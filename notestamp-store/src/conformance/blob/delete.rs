//! Deletion: a deleted object is absent, and all others stay.

use futures_util::TryStreamExt;

use super::fixture::{assert_corrupt, content, list, object, owner, read, save, within_a_minute};
use crate::blob::BlobStore;

/// A deleted object is neither read nor listed.
pub async fn a_deleted_object_is_gone(store: &BlobStore) {
    let bytes = content(1000);
    save(store, owner(1), object(1), &bytes, 1000).await;
    store.delete(owner(1), object(1)).await.expect("it is deleted");
    assert_corrupt(read(store, owner(1), object(1), 1000).await);
    assert_eq!(list(store).await, []);
}

/// Deletion is idempotent, and succeeds for an absent object.
pub async fn deleting_is_idempotent(store: &BlobStore) {
    store.delete(owner(1), object(1)).await.expect("where even the namespace is not there");
    store.put(owner(1), object(1), content(10)).await.expect("it is put");
    for time in ["first", "second"] {
        store.delete(owner(1), object(1)).await.expect(time);
    }
}

/// Deletion changes neither another object of the namespace nor the same id in another namespace.
pub async fn deleting_one_object_keeps_the_others(store: &BlobStore) {
    let kept = [(owner(1), object(2)), (owner(2), object(1))];
    for (namespace, object) in kept.into_iter().chain([(owner(1), object(1))]) {
        store.put(namespace, object, content(10)).await.expect("it is put");
    }
    store.delete(owner(1), object(1)).await.expect("it is deleted");
    for (namespace, object) in kept {
        assert_eq!(read(store, namespace, object, 10).await.expect("it is still there"), content(10));
    }
    assert_eq!(list(store).await.len(), kept.len());
}

/// A read of an object that is deleted meanwhile yields all of its bytes or an error, never fewer bytes.
pub async fn an_open_reader_gets_all_bytes_or_an_error(store: &BlobStore) {
    let bytes = content(3 << 20);
    save(store, owner(1), object(1), &bytes, 1 << 20).await;
    let reader = store.read(owner(1), object(1), bytes.len() as u64, None).await.expect("it is opened");
    store.delete(owner(1), object(1)).await.expect("it is deleted");
    let all = within_a_minute(reader.try_collect::<Vec<_>>()).await;
    if let Ok(chunks) = all {
        assert_eq!(chunks.concat(), bytes);
    }
}
