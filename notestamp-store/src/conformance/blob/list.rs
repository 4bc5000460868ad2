//! Listing names every object in the store.

use super::fixture::{content, list, object, owner};
use crate::blob::{BlobStore, ListedObject};
use crate::domain::Namespace;

/// A fresh store has nothing in it.
pub async fn an_empty_store_lists_nothing(store: &BlobStore) {
    assert_eq!(list(store).await, []);
}

/// Every object is listed once, with its namespace, id and size, also without a ledger row.
pub async fn exactly_the_stored_objects_are_listed(store: &BlobStore) {
    let mut expected = Vec::new();
    for (namespace, number, size) in
        [(owner(1), 1, 0), (owner(1), 2, 10), (owner(2), 1, 20), (Namespace::Shared, 3, 30)]
    {
        let object = object(number);
        store.put(namespace, object, content(size)).await.expect("it is put");
        expected.push(ListedObject::Object { namespace, object, size: size as u64 });
    }
    expected.sort();
    assert_eq!(list(store).await, expected);
}

/// A ping succeeds each time, and leaves no object in the store.
pub async fn a_ping_of_a_working_store_succeeds(store: &BlobStore) {
    for _ in 0..2 {
        store.ping().await.expect("the store responds");
    }
    assert_eq!(list(store).await, []);
}
