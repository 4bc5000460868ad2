//! The save protocol: what a transaction writes, decided by pure functions over what it has read.
//!
//! A file and the record that points at it lie in two stores that share no transaction. The
//! *ledger* keeps them in step: one row for every object that exists, or may exist, in a blob store.
//!
//! | step | what happens | a crash here leaves |
//! | --- | --- | --- |
//! | reserve | a *reserved* row for each object to come | rows that the sweep takes |
//! | write | the bytes flow to their paths while they are hashed and counted | the same, and bytes that the rows account for |
//! | commit | one transaction, [`plan_save`]: rows turn *live*, references are counted, the project row is written | the whole save |
//! | answer | only now | what was doomed, for the sweep |
//!
//! Before bytes in hand are dropped because the ledger has them, somebody looks at the object. If its bytes are lost, the
//! new ones take its place for all projects that refer to it, in the commit ([`settle_media`]).
//!
//! A save that fails dooms its rows, deletes what it has written and forgets them, with one exception. A write
//! that was not answered with success may still happen: its row stays *reserved*, and is the sweep's.
//!
//! The *sweep* dooms what is stale ([`doom_if_stale`]), and for each *doomed* row deletes the bytes,
//! then forgets the row. Anybody may repeat any of it, at any time, in any process, and stall between
//! any two steps: a path is used once, for one life of one object, so a late delete can only hit what was doomed.
//!
//! Every backend runs a step in the same way: in one transaction it reads what the step asks for,
//! calls the pure function, and writes all that it returns. The rules are here and nowhere else.
//! Who relies on a row writes it, so that two transactions that would break each other's
//! assumption collide, under snapshot isolation too.
//!
//! `tests/protocol/` walks every interleaving of these functions with a model checker, with a crash after
//! every step, and shows that it finds the fault in variants that leave one of the rules out.

mod admit;
mod delete;
mod ledger;
mod save;

pub use admit::admit;
pub use delete::{DeletePlan, DeleteReads, plan_delete, plan_purge};
pub use ledger::{
    Look, Settled, Settlement, StaleBefore, adopt, discard, doom_if_stale, release, settle_media,
};
pub use save::{MediaOffer, SaveCommit, SaveDecision, SavePlan, SaveReads, Written, plan_save};
