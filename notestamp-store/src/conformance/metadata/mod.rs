//! What every metadata backend promises: the contract of [`MetadataStore`](crate::metadata::MetadataStore), case by case.
//!
//! ```no_run
//! use std::sync::Arc;
//! use notestamp_store::metadata::{MemoryMetadata, MetadataStore};
//!
//! // A fresh store, and whatever has to outlive it, such as its temporary folder.
//! async fn fresh() -> (Arc<dyn MetadataStore>, ()) {
//!     (Arc::new(MemoryMetadata::new()), ())
//! }
//!
//! notestamp_store::metadata_conformance!(fresh);
//! # fn main() {}
//! ```
#![expect(missing_docs, reason = "a case is named for what it claims")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod fixture;

pub mod objects;
pub mod removal;
pub mod sessions;
pub mod users;

/// Makes a test of each case from an async factory for a fresh store.
///
/// The factory answers an `Arc<dyn MetadataStore>` and a value that is dropped after it. Attributes
/// before it are given to each test, such as the reason why it is ignored where a service is needed.
#[macro_export]
macro_rules! metadata_conformance {
    ($(#[$attribute:meta])* $factory:path) => {
        $crate::metadata_conformance! { @each [$(#[$attribute])*] $factory;
            users {
                a_new_password_hash_changes_nothing_else
                a_password_hash_is_replaced_only_as_it_was_read
                a_taken_address_is_refused
                an_account_round_trips
                an_unknown_account_is_absent
                what_is_closed_refuses
            }
            removal {
                a_purge_is_bounded_and_complete
                a_purge_of_nothing_answers_none
                a_purge_spares_media_that_others_share
                a_removed_account_is_not_found
                a_removed_account_keeps_its_new_namesake_apart
                an_account_is_removed_once
                projects_of_a_removed_account_are_refused_at_once
                sessions_of_a_removed_account_are_refused_at_once
                the_address_of_a_removed_account_is_free_at_once
            }
            sessions {
                a_revoked_session_is_not_reopened_by_a_stale_replacement
                a_session_of_an_unknown_account_is_refused
                a_session_round_trips
                a_session_that_has_changed_is_not_replaced
                all_sessions_but_one_are_revoked
                an_unknown_session_is_absent
                every_field_of_a_session_is_replaced
                every_reason_of_a_revocation_round_trips
                expired_sessions_are_forgotten_bit_by_bit
                neither_revoked_nor_expired_sessions_are_listed
                sessions_are_listed_latest_used_first
            }
            objects {
                a_doom_of_the_stale_is_bounded
                a_writer_gives_up_only_what_is_reserved
                an_id_is_never_reserved_twice
                only_the_doomed_are_forgotten
                reserved_rows_round_trip
                rows_are_listed_in_the_order_of_their_ids
                what_is_exactly_at_the_cutoff_is_spared
            }
        }
    };
    (@each $attributes:tt $factory:path; $($module:ident { $($case:ident)* })*) => {
        $($($crate::metadata_conformance! { @test $attributes $factory, $module, $case })*)*
    };
    // Races run in tasks, which share the store.
    (@test [$($attribute:tt)*] $factory:path, races, $case:ident) => {
        $($attribute)*
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let (store, _outlives_it) = $factory().await;
            $crate::conformance::metadata::races::$case(store).await;
        }
    };
    (@test [$($attribute:tt)*] $factory:path, $module:ident, $case:ident) => {
        $($attribute)*
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let (store, _outlives_it) = $factory().await;
            $crate::conformance::metadata::$module::$case(&*store).await;
        }
    };
}
