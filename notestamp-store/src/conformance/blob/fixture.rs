//! Objects and their content, and the steps that many cases make.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use crate::blob::{BlobStore, ListedObject};
use crate::domain::{Namespace, ObjectId, UserId};
use crate::error::{Error, Result};

/// Bytes that reveal a read at a wrong offset: they differ after every plausible shift.
pub(super) fn content(len: usize) -> Bytes {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

pub(super) fn object(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 16])
}

pub(super) fn owner(number: u8) -> Namespace {
    Namespace::Owner(UserId::from_bytes([number; 16]))
}

/// Writes an object in pieces of the given size.
pub(super) async fn save(
    store: &BlobStore,
    namespace: Namespace,
    object: ObjectId,
    bytes: &Bytes,
    piece: usize,
) {
    let mut ingest = store.ingest(namespace, object);
    for at in (0..bytes.len()).step_by(piece) {
        let piece = bytes.slice(at..bytes.len().min(at + piece));
        ingest.write(piece).await.expect("the backend takes bytes");
    }
    let staged = ingest.stage().await.expect("the backend takes bytes");
    staged.complete().await.expect("the object is completed");
}

pub(super) async fn read(
    store: &BlobStore,
    namespace: Namespace,
    object: ObjectId,
    size: usize,
) -> Result<Bytes> {
    store.read_to_bytes(namespace, object, size as u64).await
}

pub(super) async fn list(store: &BlobStore) -> Vec<ListedObject> {
    let mut found: Vec<_> = store.list().try_collect().await.expect("the backend lists");
    found.sort();
    found
}

/// Waits until background tasks have deleted everything.
pub(super) async fn becomes_empty(store: &BlobStore) {
    let empty = async {
        while !list(store).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within_a_minute(empty).await;
}

/// A timeout, so that a case which never ends fails instead of hanging.
pub(super) async fn within_a_minute<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it comes to its end")
}

#[track_caller]
pub(super) fn assert_corrupt<T>(result: Result<T>) {
    match result {
        Err(Error::Corrupt(_)) => {}
        Err(error) => panic!("corrupt, rather than {error:?}"),
        Ok(_) => panic!("corrupt, rather than a success"),
    }
}
