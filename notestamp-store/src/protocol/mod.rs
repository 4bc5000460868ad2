//! The save protocol: pure functions decide, from what a transaction has read, what it writes.
//!
//! An object and the record that refers to it lie in two stores without a common transaction. The *ledger* keeps them
//! consistent: it has one row for every object that exists, or may exist, in a blob store.
//!
//! | step | what happens | a crash here leaves |
//! | --- | --- | --- |
//! | reserve | a *reserved* row is written for each new object | reserved rows, for the sweep |
//! | write | the bytes are streamed to their paths, hashed and counted | the same, and bytes of these rows |
//! | commit | one transaction, [`plan_save`]: rows turn *live*, the project is written | the whole save |
//! | respond | only after the commit | doomed objects, for the sweep |
//!
//! Small notes may be *inline*: their bytes lie in the records, beside the ledger row. Row and bytes are added by the
//! commit itself ([`add_inline`]), so there is nothing to reserve and to write before, and they are removed in the
//! transaction that takes the last reference away ([`Object::is_gone`](crate::domain::Object::is_gone)), so there is
//! nothing to delete afterwards. The setting that decides which notes are inline may change: each row says where its
//! bytes lie.
//!
//! Before a save drops new bytes because an object has the same digest, it checks that object in the blob store.
//! If its bytes are lost, the commit replaces it by the new object for all projects that refer to it
//! ([`settle_media`]).
//!
//! A save that fails dooms its rows, deletes the bytes that it wrote and forgets the rows, with one exception: the
//! outcome of a write that did not return success is unknown, and the object may still appear. Its row stays *reserved*
//! until the sweep dooms it.
//!
//! The *sweep* dooms stale rows ([`doom_if_stale`]); for each *doomed* row it deletes the bytes, then forgets the row.
//! These steps are idempotent: every process may repeat each of them at any time, and may stall between any two. A path
//! is used for only one object, ever, so a late delete can only hit the doomed object.
//!
//! Every backend runs a step in the same way: one transaction reads what the step needs, calls the pure function, and
//! writes everything that the function returns. The rules are here and nowhere else. A transaction that relies on a row
//! also writes that row, so that two transactions that would invalidate each other have a write conflict, under
//! snapshot isolation too.
//!
//! `tests/protocol/` checks every interleaving of two savers, two movers (which delete, purge, or move a record to the
//! trash and back) and two sweepers with a model checker, with a crash after every step. The steps call the functions that decide about objects: [`adopt`], [`add_inline`], [`settle_media`],
//! [`remove_reference`], [`doom_reserved`], [`doom_if_stale`] and [`MediaOffer`]. The model has its own project record,
//! so it does not call [`admit()`], [`check_precondition`], [`plan_save`], [`plan_trash`], [`plan_trash_restore`] and
//! [`plan_purge`]. It also shows that the model checker finds the fault in variants that omit one of the rules.

mod admit;
mod ledger;
mod offer;
mod precondition;
mod purge;
mod save;
pub mod thinning;
mod trash;
mod usage;

pub use admit::admit;
pub use ledger::{
    MediaCheck, Settled, Settlement, StaleBefore, add_inline, adopt, doom_if_stale, doom_reserved, recount,
    remove_reference, settle_media,
};
pub use offer::{MediaOffer, NewNotes, Written};
pub use precondition::check_precondition;
pub use purge::{Holding, PurgePlan, PurgeReads, plan_purge, release};
pub use save::{
    PURGED_FOR_QUOTA_MAX, SaveCommit, SaveDecision, SavePlan, SaveReads, exceeds_quota, plan_save,
};
pub use trash::{
    TrashPlan, TrashReads, TrashRestore, TrashRestorePlan, TrashRestoreReads, plan_trash, plan_trash_restore,
};
pub use usage::MediaUse;
