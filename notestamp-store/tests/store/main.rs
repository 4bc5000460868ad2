//! The promises of the store, tested over memory and over SQLite with local folders.

#![allow(clippy::unwrap_used, reason = "all of it is tests, helpers too")]

mod damaged;
mod fixture;
mod identity;
mod leftovers;
mod lost;
mod races;
mod reopening;
mod saves;
mod sweeps;

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
    saves {
        a_saved_project_is_read_as_it_was_saved
        a_later_save_replaces_the_notes_and_keeps_the_media
        a_project_without_media_takes_it_later
        equal_media_of_one_account_is_stored_once
        equal_media_of_two_accounts_is_stored_twice_by_default
        equal_media_of_two_accounts_is_stored_once_in_a_shared_namespace
        a_digest_stands_for_media_that_the_owner_has
        a_digest_of_somebody_elses_media_is_worth_nothing
        media_that_is_not_what_was_announced_is_refused
        other_media_for_a_project_that_has_some_is_refused
        a_stale_revision_is_refused
        what_an_account_uses_is_exact
    }
    leftovers {
        a_save_that_is_dropped_leaves_nothing
        a_body_that_is_abandoned_leaves_nothing
        a_body_that_breaks_off_leaves_nothing
        media_beyond_its_limit_leaves_nothing
        notes_beyond_their_limit_leave_nothing
        an_upload_beyond_its_time_leaves_nothing
        a_save_beyond_the_quota_leaves_nothing
        a_refused_save_leaves_nothing
        a_save_of_a_removed_account_leaves_nothing
        a_commit_whose_caller_goes_away_comes_to_its_end
        a_commit_that_is_given_up_undoes_no_later_save
    }
    lost {
        a_file_that_is_lost_is_mended_by_the_next_save_that_brings_it
        a_file_that_is_lost_is_needed_where_only_its_digest_comes
        a_file_that_was_cut_short_is_mended_too
    }
    identity {
        a_store_keeps_its_id
        a_blob_store_of_another_store_is_refused
        a_blob_store_that_has_lost_its_id_and_all_is_refused
        a_blob_store_in_which_nothing_is_missed_may_be_replaced
        a_blob_store_that_another_store_uses_is_not_taken_by_a_new_one
    }
    races {
        equal_media_saved_at_the_same_moment_is_stored_once
        saves_of_one_title_at_the_same_moment_make_one_project
        saves_deletions_removals_and_sweeps_at_the_same_moment_break_nothing
        what_is_opened_while_others_save_is_of_one_revision
    }
    sweeps {
        a_deleted_project_leaves_its_twin_readable
        media_that_nobody_refers_to_goes_when_its_grace_is_over
        media_saved_again_within_its_grace_brings_no_new_bytes
        a_removed_account_is_gone_at_once_and_its_bytes_with_the_next_sweep
        without_grace_one_sweep_takes_all
        a_sweep_spares_uploads_under_way
        a_clock_that_is_a_month_ahead_for_a_while_takes_nothing_early
        a_sweep_is_minutes_behind_a_writer_however_short_its_time
        an_upload_that_a_sweep_has_outlived_is_refused
    }
}
