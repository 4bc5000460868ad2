//! An object that streams in appears whole or not at all.

use bytes::Bytes;
use futures_util::future::join_all;

use super::fixture::{
    assert_corrupt, becomes_empty, content, list, object, owner, read, save, within_a_minute,
};
use crate::blob::{BlobStore, Ingest, ListedObject};
use crate::domain::Digest;

/// An object that is put as a whole is read back unchanged, an empty object too.
pub async fn a_small_object_round_trips(store: &BlobStore) {
    for (number, size) in [(1, 0), (2, 1), (3, 100_000)] {
        store.put(owner(1), object(number), content(size)).await.expect("it is put");
        assert_eq!(read(store, owner(1), object(number), size).await.expect("it is read"), content(size));
    }
}

/// Objects of every size on and next to a boundary of parts are read back unchanged, with their digest and size.
pub async fn an_object_of_any_size_round_trips(store: &BlobStore) {
    let part = store.part_bytes();
    for (number, size) in (1..).zip([0, 1, part - 1, part, part + 1, 2 * part, 5 * part + 7]) {
        let bytes = content(size);
        let mut ingest = store.ingest(owner(1), object(number));
        ingest.write(bytes.clone()).await.expect("the backend takes bytes");
        let staged = ingest.stage().await.expect("the backend takes bytes");
        assert_eq!(staged.digest, Digest::of(&bytes), "{size}");
        assert_eq!(staged.size, size as u64);
        staged.complete().await.expect("it is completed");
        let found = read(store, owner(1), object(number), size).await.expect("it is read");
        assert!(found == bytes, "{size} bytes are others than were written");
    }
}

/// The pieces in which bytes are written do not change the object or its digest.
pub async fn any_chunking_gives_the_same_object(store: &BlobStore) {
    let part = store.part_bytes();
    let bytes = content(2 * part + 12_345);
    // Pieces smaller and larger than the copy buffer, aligned to parts and not, and of several parts at once.
    let chunkings: &[&[usize]] = &[
        &[1021],
        &[1, 4095, 4096, 4097, 0, 3],
        &[64 << 10],
        &[part - 1, 2],
        &[part],
        &[part + 1],
        &[bytes.len()],
    ];
    for (number, sizes) in (1..).zip(chunkings) {
        let mut ingest = store.ingest(owner(1), object(number));
        let mut rest = bytes.clone();
        for size in sizes.iter().cycle() {
            let piece = rest.split_to(rest.len().min(*size));
            ingest.write(piece).await.expect("the backend takes bytes");
            if rest.is_empty() {
                break;
            }
        }
        let staged = ingest.stage().await.expect("the backend takes bytes");
        assert_eq!(staged.digest, Digest::of(&bytes), "{sizes:?}");
        staged.complete().await.expect("it is completed");
        let found = read(store, owner(1), object(number), bytes.len()).await.expect("it is read");
        assert!(found == bytes, "{sizes:?}");
    }
}

/// Before an object is completed it can be neither read nor listed, however much of it has been written.
pub async fn an_object_is_invisible_until_complete(store: &BlobStore) {
    for (number, bytes) in (1..).zip(small_and_large(store)) {
        let object = object(number);
        let ingest = begun(store, number, &bytes).await;
        assert_corrupt(read(store, owner(1), object, bytes.len()).await);
        let staged = ingest.stage().await.expect("the backend takes bytes");
        assert_corrupt(read(store, owner(1), object, bytes.len()).await);
        let is_it = |found: &ListedObject| matches!(found, ListedObject::Object { object: listed, .. } if *listed == object);
        assert!(!list(store).await.iter().any(is_it), "listed before it was completed");
        staged.complete().await.expect("it is completed");
        assert!(read(store, owner(1), object, bytes.len()).await.expect("it is read") == bytes);
        assert!(list(store).await.iter().any(is_it), "not listed when it was completed");
    }
}

/// Aborting deletes everything that has been written.
pub async fn an_aborted_ingest_leaves_nothing(store: &BlobStore) {
    for bytes in small_and_large(store) {
        begun(store, 1, &bytes).await.abort().await.expect("it is aborted");
        assert_eq!(list(store).await, []);
    }
}

/// The same after all bytes have been staged.
pub async fn an_aborted_unfinished_object_leaves_nothing(store: &BlobStore) {
    for bytes in small_and_large(store) {
        let staged = begun(store, 1, &bytes).await.stage().await.expect("the backend takes bytes");
        staged.abort().await.expect("it is aborted");
        assert_eq!(list(store).await, []);
    }
}

/// Dropping an ingest aborts it in the background.
pub async fn a_dropped_ingest_leaves_nothing(store: &BlobStore) {
    for bytes in small_and_large(store) {
        drop(begun(store, 1, &bytes).await);
        becomes_empty(store).await;
    }
}

/// The same after all bytes have been staged.
pub async fn a_dropped_unfinished_object_leaves_nothing(store: &BlobStore) {
    for bytes in small_and_large(store) {
        drop(begun(store, 1, &bytes).await.stage().await.expect("the backend takes bytes"));
        becomes_empty(store).await;
    }
}

/// Objects that are written concurrently, also in new namespaces, each get their own bytes.
pub async fn concurrent_ingests_do_not_mix(store: &BlobStore) {
    let size = store.part_bytes() + 1000;
    let bytes_of = |number: u8| Bytes::from(vec![number; size + usize::from(number)]);
    let saves = (0..8).map(|number| async move {
        save(store, owner(number / 2), object(number), &bytes_of(number), 300_000).await;
    });
    within_a_minute(join_all(saves)).await;
    for number in 0..8 {
        let bytes = bytes_of(number);
        let found = read(store, owner(number / 2), object(number), bytes.len()).await.expect("it is read");
        assert!(found == bytes, "{number}");
    }
}

/// One object that fits into one part, and one that does not: they are written in different ways.
fn small_and_large(store: &BlobStore) -> [Bytes; 2] {
    [content(1000), content(2 * store.part_bytes() + 1)]
}

async fn begun(store: &BlobStore, number: u8, bytes: &Bytes) -> Ingest {
    let mut ingest = store.ingest(owner(1), object(number));
    ingest.write(bytes.clone()).await.expect("the backend takes bytes");
    ingest
}
