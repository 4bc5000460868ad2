//! The promises of the store, tested over memory and over SQLite with local folders.

#![allow(clippy::unwrap_used, reason = "all of it is tests, helpers too")]

mod backups;
mod checks;
mod clock_steps;
mod damaged;
mod fixture;
mod history;
mod identity;
mod leftovers;
mod lost;
mod races;
mod reopening;
mod saves;
mod sweeps;
mod uploads;

/// Makes a test of each case for each backend. Each case is an async function over a [`fixture::Fixture`].
macro_rules! on_every_backend {
    ($($module:ident { $($case:ident)* })*) => {
        mod memory {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                crate::fixture::run(crate::fixture::Backend::Memory, crate::$module::$case).await;
            })*)*
        }

        #[cfg(feature = "sqlite")]
        mod embedded {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                crate::fixture::run(crate::fixture::Backend::Embedded, crate::$module::$case).await;
            })*)*
        }
    };
}

on_every_backend! {
    backups {
        a_backup_is_restored_into_another_kind_of_store
        a_damaged_backup_is_refused_and_named_by_a_verification
        a_folder_that_is_no_backup_of_this_store_is_refused
        a_restore_that_fails_at_any_call_goes_on
        a_second_backup_copies_only_what_is_new
        a_snapshot_that_was_written_by_version_1_is_restored
        backups_during_a_load_restore_states_that_were_acknowledged
        bytes_stay_while_a_backup_holds_them
        nothing_else_is_served_while_a_backup_is_restored
        pruning_deletes_what_no_snapshot_needs
        what_the_store_has_lost_is_reported_and_left_out
    }
    checks {
        a_check_beside_saves_and_deletions_reports_nothing
        an_object_without_a_row_is_moved_into_the_quarantine
        damaged_media_is_named_exactly
    }
    clock_steps {
        a_clock_that_is_set_ahead_makes_no_replay
        a_clock_that_is_set_back_prolongs_no_grace
        the_use_of_a_session_is_written_down_once_an_hour
        a_rotation_by_another_process_is_judged_by_the_clock_as_far_as_it_can_be_believed
    }
    saves {
        a_saved_project_is_read_as_it_was_saved
        a_later_save_replaces_the_notes_and_keeps_the_media
        media_can_be_added_to_a_project_later
        equal_media_of_one_account_is_stored_once
        equal_media_of_two_accounts_is_stored_twice_by_default
        equal_media_of_two_accounts_is_stored_once_in_a_shared_namespace
        a_digest_can_replace_media_that_the_owner_has
        a_digest_of_another_accounts_media_is_refused
        media_with_another_digest_than_announced_is_refused
        other_media_for_a_project_with_media_is_refused
        a_stale_revision_is_refused
        the_usage_of_an_account_is_exact
    }
    uploads {
        an_upload_ends_as_soon_as_it_exceeds_the_quota
        uploads_in_progress_share_what_is_left_of_the_quota
        media_that_the_account_has_may_be_uploaded_again_at_the_quota
    }
    history {
        a_version_is_opened_and_restored
        a_restored_version_without_media_takes_the_media_away
        a_version_of_a_removed_or_other_project_is_not_restored
        media_of_a_version_is_read_after_a_save_has_repaired_it
        the_sweep_thins_histories_out_and_empties_the_trash
        a_clock_a_month_ahead_purges_nothing_early
        without_history_and_trash_the_sweep_purges_what_was_kept
        an_emptied_trash_leaves_nothing
    }
    leftovers {
        a_save_that_is_dropped_leaves_nothing
        a_body_that_is_abandoned_leaves_nothing
        an_incomplete_body_leaves_nothing
        media_beyond_its_limit_leaves_nothing
        notes_beyond_their_limit_leave_nothing
        an_expired_upload_leaves_nothing
        a_save_beyond_the_quota_leaves_nothing
        a_refused_save_leaves_nothing
        a_save_of_a_removed_account_leaves_nothing
        a_commit_whose_caller_is_cancelled_completes
        an_abandoned_commit_does_not_undo_a_later_save
    }
    lost {
        a_lost_file_is_restored_by_the_next_save_with_the_same_bytes
        a_lost_file_is_needed_if_a_save_has_only_its_digest
        a_truncated_file_is_restored_too
    }
    identity {
        a_store_keeps_its_id
        a_blob_store_of_another_store_is_refused
        an_emptied_blob_store_without_an_id_is_refused
        a_blob_store_without_live_objects_may_be_replaced
        a_new_store_refuses_a_blob_store_of_another_store
    }
    races {
        equal_media_in_concurrent_saves_is_stored_once
        concurrent_saves_of_one_title_create_one_project
        concurrent_saves_deletions_removals_and_sweeps_stay_consistent
        an_open_during_saves_returns_notes_and_metadata_of_one_revision
    }
    sweeps {
        a_project_stays_readable_when_another_with_equal_media_is_deleted
        unreferenced_media_is_deleted_after_its_grace_period
        media_saved_again_within_its_grace_period_stores_no_new_bytes
        a_removed_account_is_gone_at_once_and_the_next_sweep_deletes_its_bytes
        without_a_grace_period_one_sweep_deletes_everything_unreferenced
        a_sweep_keeps_uploads_in_progress
        a_sweep_with_a_clock_a_month_ahead_deletes_nothing_early
        a_sweep_dooms_a_reservation_minutes_after_the_upload_time_at_the_earliest
        an_upload_whose_reservation_a_sweep_has_doomed_is_refused
    }
}
