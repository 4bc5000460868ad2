//! A model checker walks every interleaving of the save protocol.
//!
//! Two savers, two movers (which delete records, or move them to the trash and back) and two sweepers work on one ledger, one blob store and one list of projects. Between any two
//! steps of one actor any other actor may take a step. So each actor may stall at any step for any time, a delete may
//! arrive very late, and after each step an actor may crash. The functions of `notestamp_store::protocol` decide what
//! a transaction writes, over real [`Object`](notestamp_store::Object) rows. Modelled here is only which actor calls
//! them when, and what a database and a blob store do in between.
//!
//! # What must hold
//!
//! In every state: no project refers to an absent object; equal bytes are one live object; a row counts the projects
//! that refer to it. In every state in which all actors have finished or crashed: a sweep after all grace periods
//! leaves exactly what projects refer to. And states must be reachable that show that the model does something: both
//! saves share one object, a save fails because its row was swept, and a save revives an object that no project
//! referred to any more.
//!
//! - If deadlines are kept, all of this holds, with serializable transactions and under snapshot isolation.
//! - If clocks mean nothing, and a sweep may doom any reserved row at any time, all of this holds with one exception,
//!   a leak: bytes that a writer writes after its row was swept, if the writer then crashes.
//! - Bytes may get lost by a cause outside the protocol. Then only the projects that refer to them have a dangling
//!   reference, until a save brings the bytes again: it mends all these projects at once.
//! - If one rule is left out, a promise is broken, and the checker finds it ([`model::Fault`]). So the rule is needed,
//!   and the model is able to detect that it is missing.
//!
//! # What is left out
//!
//! - A project refers to one object, its media or its notes: the rows of the two never interact. So does a version, and
//!   a project in the trash; in the model, all three are records with a reference.
//! - Inline notes are bytes in the database, which only the transactions write that write their row.
//! - The user record. Every save and deletion of one owner writes to it, which makes them conflict, and would hide
//!   conflicts that are missing. Two owners in a shared namespace do not have this help.
//! - Time. Every row that can be stale at all is stale: this allows everything that any clock allows.
//! - All media have one digest, and only the sweeper does its work twice.
//! - Serializable transactions without deadlines: snapshot isolation allows all their behaviour, by transactions that
//!   commit right after they begin.
//!
//! # Its size
//!
//! Some 1,500,000 states, more than half of them of the old project without deadlines; `cargo test --test protocol --
//! --nocapture` prints their counts and examples. Some simplifications reduce this number, and no checked property can
//! tell the difference: a transaction that has lost a conflict begins again at once, the two sweepers are kept in one
//! order, a transaction of a sweep is one step, and a finished actor has the same state as a crashed one.

mod disposal;
mod model;
mod mover;
mod saver;
mod sweeper;
mod transaction;
mod world;

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use model::*;

/// Walks all states; returns the properties that have an example or a counterexample.
fn discoveries(model: Protocol) -> BTreeSet<&'static str> {
    let checker = model.checker().spawn_bfs().join();
    let Protocol { isolation, clocks, fault, .. } = checker.model();
    println!("{isolation:?}, clocks {clocks:?}, fault {fault:?}: {} states", checker.unique_state_count());
    let mut names = BTreeSet::new();
    for (name, path) in checker.discoveries() {
        println!("{name}: {:?}", path.into_actions());
        names.insert(name);
    }
    names
}

/// Asserts that the promises hold in all states, and that the states of `possible` are reachable.
#[track_caller]
fn assert_promises_hold(scenario: Scenario, clocks: Clocks, possible: &[&'static str]) {
    let known_leak: &[&str] = match clocks {
        Clocks::Kept => &[],
        Clocks::Ignored => &[NOTHING_LEAKS],
    };
    let isolations: &[Isolation] = match clocks {
        Clocks::Kept => &[Isolation::Serializable, Isolation::Snapshot],
        Clocks::Ignored => &[Isolation::Snapshot],
    };
    for &isolation in isolations {
        let found = discoveries(Protocol { scenario: scenario.clone(), isolation, clocks, fault: None });
        assert_eq!(found, possible.iter().chain(known_leak).copied().collect(), "{isolation:?}");
    }
}

/// Asserts that the checker finds a counterexample to the promise.
#[track_caller]
fn assert_breaks(promise: &'static str, model: Protocol) {
    let found = HasDiscoveries::AnyOf([promise].into());
    let checker = model.checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(promise);
    println!("{promise}: {:?}", path.into_actions());
}

fn faulty(fault: Fault, scenario: Scenario, isolation: Isolation) -> Protocol {
    Protocol { scenario, isolation, clocks: Clocks::Kept, fault: Some(fault) }
}

#[test]
fn promises_hold_while_a_version_is_kept_and_purged() {
    assert_promises_hold(Scenario::version_is_purged(), Clocks::Kept, MEDIA);
}

#[test]
fn promises_hold_while_a_version_is_restored() {
    assert_promises_hold(Scenario::version_is_restored(), Clocks::Kept, &[EXPIRED]);
}

#[test]
fn promises_hold_while_a_project_in_the_trash_is_restored_and_purged() {
    assert_promises_hold(Scenario::trash_is_restored_and_purged(), Clocks::Kept, MEDIA);
}

#[test]
fn promises_hold_while_the_bytes_of_a_project_in_the_trash_get_lost() {
    let possible: &[&str] = &[SHARED, EXPIRED, MENDED];
    assert_promises_hold(Scenario::bytes_of_the_trash_get_lost(), Clocks::Kept, possible);
}

#[test]
fn an_object_released_after_its_version_is_purged_leaks() {
    let scenario = Scenario::version_is_purged();
    assert_breaks(NOTHING_LEAKS, faulty(Fault::ReleasedAfterPurge, scenario, Isolation::Snapshot));
}

#[test]
fn a_purge_that_does_not_see_a_restore_leaves_a_project_dangling() {
    let scenario = Scenario::trash_is_restored_and_purged();
    assert_breaks(NEVER_DANGLING, faulty(Fault::PurgeDecidesTooEarly, scenario, Isolation::Snapshot));
}

#[test]
fn media_released_while_a_version_has_it_leaves_the_version_dangling() {
    let scenario = Scenario::version_is_purged();
    assert_breaks(NEVER_DANGLING, faulty(Fault::KeptMediaReleased, scenario, Isolation::Snapshot));
}

const MEDIA: &[&str] = &[SHARED, EXPIRED, REVIVED];
const NOTES: &[&str] = &[EXPIRED];

#[test]
fn promises_hold_while_the_old_project_is_deleted() {
    assert_promises_hold(Scenario::old_project_is_deleted(), Clocks::Kept, MEDIA);
}

#[test]
fn promises_hold_while_a_new_project_is_deleted() {
    assert_promises_hold(Scenario::new_project_is_deleted(), Clocks::Kept, MEDIA);
}

#[test]
fn promises_hold_while_a_digest_is_offered() {
    assert_promises_hold(Scenario::digest_is_offered(), Clocks::Kept, MEDIA);
}

#[test]
fn promises_hold_while_notes_are_replaced() {
    assert_promises_hold(Scenario::notes_are_replaced(), Clocks::Kept, NOTES);
}

#[test]
fn promises_hold_while_inline_notes_are_replaced() {
    assert_promises_hold(Scenario::inline_notes_are_replaced(), Clocks::Kept, NOTES);
}

#[test]
fn promises_hold_while_a_version_with_inline_notes_is_purged() {
    assert_promises_hold(Scenario::inline_version_is_purged(), Clocks::Kept, &[]);
}

#[test]
fn inline_notes_whose_bytes_come_later_leave_a_project_dangling() {
    let scenario = Scenario::inline_notes_are_replaced();
    assert_breaks(NEVER_DANGLING, faulty(Fault::InlineBytesComeLater, scenario, Isolation::Snapshot));
}

#[test]
fn inline_bytes_that_are_not_removed_with_their_row_leak() {
    let scenario = Scenario::inline_version_is_purged();
    assert_breaks(NOTHING_LEAKS, faulty(Fault::InlineBytesAreLeft, scenario, Isolation::Snapshot));
}

#[test]
fn promises_hold_while_bytes_get_lost() {
    let possible: &[&str] = &[SHARED, EXPIRED, MENDED, REVIVED];
    assert_promises_hold(Scenario::bytes_get_lost(), Clocks::Kept, possible);
}

#[test]
fn promises_hold_while_the_bytes_of_a_digest_get_lost() {
    let possible: &[&str] = &[SHARED, EXPIRED, MENDED];
    assert_promises_hold(Scenario::bytes_of_a_digest_get_lost(), Clocks::Kept, possible);
}

#[test]
fn restoring_lost_bytes_for_one_project_only_leaves_a_project_dangling() {
    let scenario = Scenario::bytes_of_a_digest_get_lost();
    assert_breaks(NEVER_DANGLING, faulty(Fault::OnlyItsOwnIsRepointed, scenario, Isolation::Snapshot));
}

#[test]
fn without_a_check_lost_bytes_are_never_restored() {
    let scenario = Scenario::bytes_get_lost();
    let model = faulty(Fault::LedgerIsBelieved, scenario, Isolation::Serializable);
    assert!(!discoveries(model).contains(MENDED));
}

#[test]
fn without_deadlines_only_late_writes_leak_while_the_old_project_is_deleted() {
    assert_promises_hold(Scenario::old_project_is_deleted(), Clocks::Ignored, MEDIA);
}

#[test]
fn without_deadlines_only_late_writes_leak_while_a_new_project_is_deleted() {
    assert_promises_hold(Scenario::new_project_is_deleted(), Clocks::Ignored, MEDIA);
}

#[test]
fn without_deadlines_only_late_writes_leak_while_a_digest_is_offered() {
    assert_promises_hold(Scenario::digest_is_offered(), Clocks::Ignored, MEDIA);
}

#[test]
fn without_deadlines_only_late_writes_leak_while_notes_are_replaced() {
    assert_promises_hold(Scenario::notes_are_replaced(), Clocks::Ignored, NOTES);
}

#[test]
fn a_path_used_twice_leaves_a_project_dangling() {
    let scenario = Scenario::old_project_is_deleted();
    assert_breaks(NEVER_DANGLING, faulty(Fault::PathUsedTwice, scenario, Isolation::Snapshot));
}

#[test]
fn a_live_row_that_is_only_read_leaves_a_project_dangling_under_snapshot_isolation() {
    let model = |isolation| faulty(Fault::LiveRowOnlyRead, Scenario::old_project_is_deleted(), isolation);
    assert_breaks(NEVER_DANGLING, model(Isolation::Snapshot));
    assert!(!discoveries(model(Isolation::Serializable)).contains(NEVER_DANGLING));
}

#[test]
fn a_reservation_that_is_not_checked_leaves_a_project_dangling() {
    let scenario = Scenario::old_project_is_deleted();
    assert_breaks(NEVER_DANGLING, faulty(Fault::ReservationNotChecked, scenario, Isolation::Snapshot));
}

#[test]
fn bytes_deleted_before_their_row_is_doomed_leave_a_project_dangling() {
    let scenario = Scenario::old_project_is_deleted();
    assert_breaks(NEVER_DANGLING, faulty(Fault::DeletedBeforeDoomed, scenario, Isolation::Snapshot));
}

#[test]
fn a_row_forgotten_before_its_bytes_are_deleted_leaks_them() {
    let scenario = Scenario::old_project_is_deleted();
    assert_breaks(NOTHING_LEAKS, faulty(Fault::ForgottenBeforeDeleted, scenario, Isolation::Snapshot));
}

#[test]
fn without_a_unique_index_equal_bytes_are_stored_twice_under_snapshot_isolation() {
    let model = |isolation| faulty(Fault::NoUniqueIndex, Scenario::new_project_is_deleted(), isolation);
    assert_breaks(STORED_ONCE, model(Isolation::Snapshot));
    assert!(!discoveries(model(Isolation::Serializable)).contains(STORED_ONCE));
}

#[test]
fn treating_an_unknown_commit_as_failed_leaves_a_project_dangling() {
    let scenario = Scenario::old_project_is_deleted();
    assert_breaks(
        NEVER_DANGLING,
        faulty(Fault::CommitInDoubtIsTakenForFailed, scenario, Isolation::Snapshot),
    );
}

#[test]
fn dooming_the_row_of_an_unconfirmed_write_leaks_its_bytes() {
    let scenario = Scenario::old_project_is_deleted();
    assert_breaks(NOTHING_LEAKS, faulty(Fault::WriteInDoubtIsGivenUp, scenario, Isolation::Snapshot));
}

#[test]
fn a_failed_save_that_keeps_its_bytes_leaks_them() {
    let scenario = Scenario::old_project_is_deleted();
    let model = faulty(Fault::FailedSaveKeepsItsBytes, scenario, Isolation::Snapshot);
    assert_breaks(NO_OTHER_LEAK, Protocol { clocks: Clocks::Ignored, ..model });
}
