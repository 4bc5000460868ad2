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
mod fixture;
pub mod ingest;
pub mod list;
pub mod read;

/// Makes a `#[tokio::test]` of each case, which runs against a fresh store from the given factory.
///
/// Attributes before the factory are added to each test, for example `#[ignore]` with its reason if the tests need a
/// service.
#[macro_export]
macro_rules! blob_conformance {
    ($(#[$attribute:meta])* $factory:path) => {
        $crate::blob_conformance! { @cases [$(#[$attribute])*] $factory:
            delete::a_deleted_object_is_gone,
            delete::deleting_is_idempotent,
            delete::deleting_one_object_keeps_the_others,
            delete::an_open_reader_gets_all_bytes_or_an_error,
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
            list::exactly_the_stored_objects_are_listed,
            list::a_ping_of_a_working_store_succeeds,
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
