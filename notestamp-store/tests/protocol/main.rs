//! A model checker walks every interleaving of the save protocol.
//!
//! Two savers, a deleter and two sweepers work on one ledger, one blob store and one list of
//! projects. Between any two steps of one actor any of the others may take theirs, so everybody may stall
//! anywhere for as long as they like, and a delete may arrive very late; and after any step an actor may die.
//! What a transaction writes is decided by the functions of `notestamp_store::protocol` over real
//! [`Object`](notestamp_store::Object) rows; what is modelled here is only who calls them when, and
//! what a database and a blob store do in between.
//!
//! # What must hold
//!
//! In every state: no project refers to what is not there; equal bytes are one live object; a row counts the
//! projects that refer to it. In every state in which all have finished or died: a sweep with all
//! grace periods over leaves what projects refer to, and nothing else. And so that none of this holds only
//! because nothing happens: both saves can share one object, a save can fail because its row was
//! swept, and a save can revive an object that no project referred to any more.
//!
//! - With deadlines that are kept, all of it holds, with serializable transactions and under snapshot isolation.
//! - When clocks mean nothing, and a sweep may take any reserved row at any time, all holds
//!   but one leak: what a writer writes after its row was swept, and then dies.
//! - Bytes may get lost behind the protocol's back. Then only what refers to them dangles, until a save brings them again:
//!   it mends all that refer to them at once.
//! - Each rule left out breaks a promise, and the checker finds it ([`model::Fault`]). That shows that the
//!   rule is needed, and that the model could see it missing.
//!
//! # What is left out
//!
//! - A project refers to one object, its media or its notes: the rows of the two never meet.
//! - The account. Every save and deletion of one owner writes its row, which makes them collide and would hide
//!   collisions that are missing; two owners in a shared namespace have no such help.
//! - Time. A row that can be stale at all is: that allows all that any clock allows.
//! - All media are of one digest, and nobody but a sweeper does their work twice.
//! - Serializable transactions without deadlines: snapshot isolation allows all that they do, a
//!   transaction that commits right after it has begun.
//!
//! # Its size
//!
//! Some 1,500,000 states, more than half of them of the old project without deadlines; they are counted, and examples
//! are shown, by `cargo test --test protocol -- --nocapture`. Without loss, because nothing that is
//! checked can tell the difference: a transaction that has lost begins again at once, the two
//! sweepers are kept in one order, a sweep's transaction is one step, and finished is the same as dead.

mod deleter;
mod disposal;
mod model;
mod saver;
mod sweeper;
mod transaction;
mod world;

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use model::*;

/// Walks all states and answers which properties have an example or a counterexample.
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

/// Asserts that the promises hold in all states, and that what should be possible is.
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

/// Asserts that the checker finds how the fault breaks the promise.
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
fn lost_bytes_that_are_mended_for_one_project_leave_another_dangling() {
    let scenario = Scenario::bytes_of_a_digest_get_lost();
    assert_breaks(NEVER_DANGLING, faulty(Fault::OnlyItsOwnIsRepointed, scenario, Isolation::Snapshot));
}

#[test]
fn without_a_look_lost_bytes_are_never_mended() {
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
fn a_commit_without_an_answer_taken_for_failed_leaves_a_project_dangling() {
    let scenario = Scenario::old_project_is_deleted();
    assert_breaks(NEVER_DANGLING, faulty(Fault::UnansweredIsTakenForFailed, scenario, Isolation::Snapshot));
}

#[test]
fn a_write_without_an_answer_given_up_leaks_its_bytes() {
    let scenario = Scenario::old_project_is_deleted();
    assert_breaks(NOTHING_LEAKS, faulty(Fault::UnansweredWriteIsGivenUp, scenario, Isolation::Snapshot));
}

#[test]
fn a_failed_save_that_keeps_its_bytes_leaks_them() {
    let scenario = Scenario::old_project_is_deleted();
    let model = faulty(Fault::FailedSaveKeepsItsBytes, scenario, Isolation::Snapshot);
    assert_breaks(NO_OTHER_LEAK, Protocol { clocks: Clocks::Ignored, ..model });
}
