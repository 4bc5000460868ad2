//! What every record backend promises: the contract of [`RecordStore`](crate::records::RecordStore), case by case.
//!
//! ```no_run
//! use std::sync::Arc;
//! use notestamp_store::records::{MemoryRecords, RecordStore};
//!
//! // A fresh store, and a value that must outlive it, such as its temporary folder.
//! async fn fresh() -> (Arc<dyn RecordStore>, ()) {
//!     (Arc::new(MemoryRecords::new()), ())
//! }
//!
//! notestamp_store::records_conformance!(fresh);
//! # fn main() {}
//! ```
#![expect(missing_docs, reason = "a case is named for what it claims")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod fixture;

pub mod audits;
pub mod backups;
pub mod ended_sessions;
pub mod history;
pub mod identity;
pub mod imports;
pub mod inline;
pub mod listing;
pub mod lost_media;
pub mod media;
pub mod objects;
pub mod projects;
pub mod races;
pub mod removal;
pub mod saves;
pub mod session_epochs;
pub mod sessions;
pub mod trash;
pub mod users;

/// Makes a test of each case, which runs against a fresh store from the given async factory.
///
/// The factory returns an `Arc<dyn RecordStore>` and a value that is dropped after it. Attributes before the factory
/// are added to each test, for example `#[ignore]` with its reason if the tests need a service.
#[macro_export]
macro_rules! records_conformance {
    ($(#[$attribute:meta])* $factory:path) => {
        $crate::records_conformance! { @each [$(#[$attribute])*] $factory;
            users {
                a_changed_password_ends_every_session_and_starts_one
                a_new_password_hash_changes_nothing_else
                a_password_is_changed_only_as_it_was_read
                a_password_hash_is_replaced_only_as_it_was_read
                a_taken_address_is_refused
                accounts_are_listed_in_the_order_of_their_ids
                an_account_round_trips
                an_unknown_account_is_absent
                a_closed_store_refuses_every_operation
            }
            removal {
                a_purge_is_bounded_and_complete
                a_purge_without_removed_accounts_returns_nothing
                a_purge_keeps_media_that_other_accounts_share
                a_removed_account_is_not_found
                a_new_account_with_the_address_of_a_removed_one_is_separate
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
                an_unknown_session_is_absent
                every_field_of_a_session_is_replaced
                every_reason_of_a_revocation_round_trips
                expired_sessions_are_forgotten_in_bounded_steps
                revoked_and_expired_sessions_are_not_listed
                sessions_are_listed_latest_used_first
            }
            session_epochs {
                a_session_beyond_the_limit_ends_the_least_recently_used
                a_session_that_was_revoked_alone_keeps_its_reason
                a_sign_in_that_began_before_all_sessions_ended_is_refused
                an_epoch_round_trips_and_nothing_else_of_the_account_changes
                none_of_the_old_sessions_is_admitted_and_new_ones_are
            }
            ended_sessions {
                a_caller_without_a_session_is_admitted
                a_deletion_by_an_ended_session_is_refused
                a_password_change_by_an_ended_session_is_refused
                a_removal_by_an_ended_session_is_refused
                a_revocation_by_an_ended_session_is_refused
                a_session_that_was_read_before_its_end_is_ended_for_every_later_call
                a_save_by_an_ended_session_is_refused
                an_open_session_is_revoked_once
                operations_of_an_open_session_take_effect
            }
            projects {
                a_deletion_whose_precondition_fails_changes_nothing
                a_project_is_deleted_once
                a_project_is_found_as_it_was_saved
                a_save_without_a_link_keeps_the_one_of_the_same_type
                a_deleted_title_that_is_saved_again_is_a_new_project
                revisions_are_not_reused_by_a_new_project_with_the_same_title
                all_metadata_round_trips
                normal_forms_of_an_accent_are_the_same_title
                every_unusual_title_is_a_separate_project
                owned_media_is_found_under_any_project
                a_missing_project_is_absent
                a_project_of_another_account_is_absent
            }
            saves {
                a_committed_save_is_not_committed_again
                a_save_of_an_unknown_account_is_refused
                a_save_whose_media_is_no_longer_reserved_has_expired
                a_save_whose_notes_are_no_longer_reserved_has_expired
                each_precondition_is_enforced
                metadata_that_is_too_large_is_refused
                the_first_save_creates_a_project
                the_limit_of_projects_is_enforced
                the_quota_is_enforced
                the_second_save_replaces_the_first
                usage_is_exact_after_each_operation
                the_doomed_objects_of_a_save_are_reported_as_stored
            }
            media {
                a_digest_of_media_that_the_owner_does_not_have_is_refused
                a_digest_of_own_media_replaces_the_bytes
                media_can_be_added_to_a_project_later
                a_shared_namespace_stores_once_for_all
                equal_bytes_are_one_object
                equal_bytes_in_two_namespaces_are_two_objects
                media_is_found_in_any_project_of_its_owner
                media_of_a_saved_project_is_not_replaced
                media_with_the_digest_of_notes_is_another_object
                only_live_media_is_found_by_its_digest
                a_save_revives_unreferenced_media
                unfinished_media_that_is_already_stored_is_not_needed
                unfinished_media_that_is_new_is_needed
                doomed_media_is_never_revived
                written_media_becomes_live
            }
            history {
                a_save_keeps_the_state_that_it_replaces
                a_save_with_equal_notes_and_media_keeps_no_version
                other_media_replaces_that_of_a_project_with_a_history
                media_added_to_a_project_is_absent_from_its_version
                a_restoring_save_takes_nothing_over
                a_restoring_save_is_refused_for_another_project
                versions_are_listed_in_pages_the_newest_first
                versions_of_another_account_are_absent
                lost_media_of_versions_is_replaced
                a_save_thins_out_the_versions_that_are_too_many
                a_history_is_thinned_in_bounded_steps
                replaced_versions_are_listed_by_their_time
                a_deletion_for_good_purges_the_versions
                versions_of_a_removed_account_are_purged
                the_oldest_of_history_and_trash_give_way_to_a_save
            }
            trash {
                a_project_in_the_trash_is_found_only_there
                a_restored_project_is_as_it_was
                a_title_that_is_taken_needs_another_one
                the_trash_is_listed_in_pages_the_last_deleted_first
                a_purged_project_is_gone_with_its_versions
                a_full_trash_loses_what_was_deleted_first
                expired_trash_is_listed_for_all_accounts
                the_trash_of_another_account_is_absent
                a_deletion_to_the_trash_checks_its_precondition
                a_restored_project_counts_for_the_limit
                an_ended_session_does_not_change_the_trash
                lost_media_in_the_trash_is_replaced
            }
            lost_media {
                unchecked_media_is_not_taken_for_present
                lost_media_in_another_namespace_is_replaced_too
                lost_media_is_replaced_for_all_projects_that_refer_to_it
                lost_media_of_a_digest_is_needed
                lost_media_that_exists_as_another_object_is_not_stored_again
                unfinished_media_that_was_lost_is_needed
            }
            inline {
                inline_notes_are_added_by_the_commit
                replaced_inline_notes_are_gone_with_the_commit
                notes_change_between_both_places
                inline_notes_of_an_id_that_is_taken_are_refused
                a_refused_save_adds_no_inline_notes
                versions_keep_their_inline_notes_until_they_are_purged
                inline_notes_move_to_the_trash_and_back
                inline_notes_are_audited_with_their_size
            }
            identity {
                live_objects_are_sampled_by_their_kind
                the_first_id_stays
            }
            imports {
                an_import_is_remembered_by_its_key
            }
            listing {
                a_contained_text_is_literal_and_compares_letter_case
                a_cursor_stays_valid_after_its_project_is_deleted
                a_cursor_without_a_limit_lists_the_rest
                a_list_starts_with_projects_and_ends_with_ids
                a_page_at_an_offset_is_a_slice_of_the_list
                a_search_finds_the_current_title
                a_search_in_many_titles_finds_rare_and_common_texts
                a_search_is_literal_and_ignores_letter_case
                a_started_list_contains_what_existed_throughout_once_and_in_order
                a_type_is_compared_exactly
                projects_are_found_in_the_order_of_their_ids_in_the_request
                pages_with_any_limit_list_all_projects_in_order
                unchanged_projects_are_listed_once_while_others_change
                each_sort_has_both_orders
                the_last_page_has_no_cursor
                the_latest_save_comes_first
            }
            objects {
                dooming_stale_rows_is_bounded
                a_writer_dooms_only_reserved_rows
                an_id_is_never_reserved_twice
                only_the_doomed_are_forgotten
                reserved_rows_round_trip
                rows_are_listed_in_the_order_of_their_ids
                a_row_exactly_at_the_cutoff_is_kept
            }
            audits {
                counts_agree_with_undamaged_records
                only_a_lost_row_with_a_reference_is_restored
                projects_of_a_removed_account_refer_until_they_are_purged
                undamaged_projects_do_not_dangle
            }
            backups {
                a_hold_is_there_until_it_is_forgotten
                a_hold_that_has_been_renewed_is_not_forgotten
                a_snapshot_contains_every_account_and_state
                a_snapshot_shows_one_instant
                a_snapshot_without_its_hold_is_refused
                a_restore_goes_on_only_with_the_same_snapshot
                a_restore_needs_an_empty_store
                bytes_of_removed_inline_notes_are_kept_while_there_is_a_hold
                no_account_is_created_during_a_restore
                restored_records_are_those_of_the_snapshot
            }
            races {
                a_conditional_deletion_does_not_delete_a_racing_save
                a_late_save_and_a_racing_sweep_agree_on_reserved_rows
                a_racing_delete_and_save_leave_consistent_records
                a_revocation_is_not_undone_by_a_racing_refresh
                a_save_and_a_racing_sweep_agree_on_unreferenced_media
                an_aborting_writer_and_its_commit_agree
                no_deletion_follows_the_end_of_its_session
                no_save_follows_the_end_of_its_session
                no_save_outlives_the_removal_that_it_raced
                no_session_outlives_the_removal_that_it_raced
                of_racing_conditional_saves_one_succeeds
                of_racing_creators_of_one_address_one_succeeds
                of_racing_deletes_one_succeeds
                of_racing_password_changes_one_succeeds
                of_racing_refreshes_one_succeeds
                of_racing_removals_one_succeeds
                a_restore_and_a_purge_of_the_trash_exclude_each_other
                racing_accounts_share_one_object_of_a_shared_namespace
                racing_purges_purge_each_project_once
                racing_savers_of_equal_bytes_share_one_object
                racing_savers_of_lost_bytes_store_them_once
                racing_saves_of_one_title_are_all_counted
                racing_saves_stay_within_the_quota
                racing_saves_stay_within_the_limit_of_projects
                racing_sign_ins_stay_within_the_limit_of_sessions
            }
        }
    };
    (@each $attributes:tt $factory:path; $($module:ident { $($case:ident)* })*) => {
        $($($crate::records_conformance! { @test $attributes $factory, $module, $case })*)*
    };
    // Races run in tasks, which share the store.
    (@test [$($attribute:tt)*] $factory:path, races, $case:ident) => {
        $($attribute)*
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let (store, _outlives_it) = $factory().await;
            $crate::conformance::records::races::$case(store).await;
        }
    };
    (@test [$($attribute:tt)*] $factory:path, $module:ident, $case:ident) => {
        $($attribute)*
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let (store, _outlives_it) = $factory().await;
            $crate::conformance::records::$module::$case(&*store).await;
        }
    };
}
