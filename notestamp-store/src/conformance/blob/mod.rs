//! What every blob backend must do: one function for each case, which panics if the promise is broken.
//!
//! The test file of a backend consists of a factory for a fresh, empty store and
//! [`blob_conformance!`](crate::blob_conformance). The value that the factory returns along with the store lives as
//! long as the test.
//!
//! ```
//! use std::sync::Arc;
//! use notestamp_store::{BlobStore, ObjectKind};
//!
//! async fn in_memory() -> (BlobStore, ()) {
//!     let objects = Arc::new(object_store::memory::InMemory::new());
//!     (BlobStore::new(ObjectKind::Media, objects), ())
//! }
//!
//! notestamp_store::blob_conformance!(in_memory);
//! # fn main() {}
//! ```

pub mod delete;
pub mod ingest;
pub mod list;
pub mod read;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use crate::blob::{BlobStore, ListedObject};
use crate::domain::{Namespace, ObjectId, UserId};
use crate::error::{Error, Result};

/// Makes a `#[tokio::test]` of each case, which runs against a fresh store from the given factory.
///
/// Attributes before the factory are added to each test, for example `#[ignore]` with its reason if the tests need a
/// service.
#[macro_export]
macro_rules! blob_conformance {
    ($(#[$attribute:meta])* $factory:path) => {
        $crate::blob_conformance! { @cases [$(#[$attribute])*] $factory:
            delete::a_deleted_object_is_gone,
            delete::deleting_twice_is_fine,
            delete::deleting_one_object_spares_the_others,
            delete::an_open_reader_ends_whole_or_with_an_error,
            ingest::a_small_object_round_trips,
            ingest::an_object_of_any_size_round_trips,
            ingest::any_chunking_gives_the_same_object,
            ingest::an_object_is_invisible_until_complete,
            ingest::an_aborted_ingest_leaves_nothing,
            ingest::an_aborted_unfinished_object_leaves_nothing,
            ingest::a_dropped_ingest_leaves_nothing,
            ingest::a_dropped_unfinished_object_leaves_nothing,
            ingest::concurrent_ingests_do_not_mix,
            list::an_empty_store_lists_nothing,
            list::exactly_what_is_there_is_listed,
            list::a_store_that_works_answers,
            read::every_range_equals_the_slice,
            read::a_range_beyond_the_end_is_refused,
            read::a_missing_object_is_an_error,
            read::an_object_of_another_size_is_an_error,
            read::an_object_is_read_in_its_own_namespace_only,
        }
    };
    (@cases $attributes:tt $factory:path: $($file:ident::$case:ident),+ $(,)?) => {
        $($crate::blob_conformance! { @test $attributes $factory, $file, $case })+
    };
    (@test [$($attribute:tt)*] $factory:path, $file:ident, $case:ident) => {
        $($attribute)*
        #[tokio::test]
        async fn $case() {
            let (store, _kept) = $factory().await;
            $crate::conformance::blob::$file::$case(&store).await;
        }
    };
}

/// Bytes that reveal a read at a wrong offset: they differ after every plausible shift.
fn content(len: usize) -> Bytes {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn object(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 16])
}

fn owner(number: u8) -> Namespace {
    Namespace::Owner(UserId::from_bytes([number; 16]))
}

/// Writes an object in pieces of the given size.
async fn save(store: &BlobStore, namespace: Namespace, object: ObjectId, bytes: &Bytes, piece: usize) {
    let mut ingest = store.ingest(namespace, object);
    for at in (0..bytes.len()).step_by(piece) {
        let piece = bytes.slice(at..bytes.len().min(at + piece));
        ingest.write(piece).await.expect("the backend takes bytes");
    }
    let staged = ingest.stage().await.expect("the backend takes bytes");
    staged.complete().await.expect("the object is completed");
}

async fn read(store: &BlobStore, namespace: Namespace, object: ObjectId, size: usize) -> Result<Bytes> {
    store.read_to_bytes(namespace, object, size as u64).await
}

async fn list(store: &BlobStore) -> Vec<ListedObject> {
    let mut found: Vec<_> = store.list().try_collect().await.expect("the backend lists");
    found.sort();
    found
}

/// Waits until background tasks have deleted everything.
async fn becomes_empty(store: &BlobStore) {
    let empty = async {
        while !list(store).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within_a_minute(empty).await;
}

/// A timeout, so that a case which never ends fails instead of hanging.
async fn within_a_minute<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it comes to its end")
}

#[track_caller]
fn assert_corrupt<T>(result: Result<T>) {
    match result {
        Err(Error::Corrupt(_)) => {}
        Err(error) => panic!("corrupt, rather than {error:?}"),
        Ok(_) => panic!("corrupt, rather than a success"),
    }
}
