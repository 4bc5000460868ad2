//! Transactions under snapshot isolation, as in MongoDB. The serializable transactions of SQLite and memory are the
//! case in which no transaction is open while another commits.
//!
//! A transaction begins by reading, and calls the pure functions to decide what to write; it commits in a later step.
//! It conflicts with a transaction that has meanwhile written a row that it *writes*: the first to commit wins. A row
//! that it only reads does not conflict. The loser learns of the conflict when the winner commits, not at its own
//! commit: an open transaction has no effect, so the difference cannot be observed. It begins again from a new
//! snapshot.

use notestamp_store::{Object, ObjectId, ProjectId};

use crate::model::{Fault, Protocol, State};
use crate::mover::Move;
use crate::world::{Blob, Path, Reference, World, is_live_media};

/// The pending writes of an open transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Transaction {
    pub(crate) rows: Vec<Object>,
    /// Projects, each with its new reference; `None` if the project is deleted.
    pub(crate) projects: Vec<(ProjectId, Option<Reference>)>,
    /// The bytes of new inline notes.
    pub(crate) inline: Option<Reference>,
}

impl Transaction {
    /// A transaction that writes only to the ledger.
    pub(crate) fn of_rows(rows: Vec<Object>) -> Self {
        Self { rows, projects: Vec::new(), inline: None }
    }

    fn conflicts_with(&self, other: &Self) -> bool {
        let writes = |transaction: &Self, id| transaction.projects.iter().any(|(project, _)| *project == id);
        self.projects.iter().any(|(id, _)| writes(other, *id))
            || self.rows.iter().any(|row| other.writes_row(row.id))
    }

    /// Whether it writes this row.
    pub(crate) fn writes_row(&self, id: ObjectId) -> bool {
        self.rows.iter().any(|row| row.id == id)
    }

    fn violates_unique_index(&self, world: &World) -> bool {
        self.rows.iter().any(|row| {
            let Some((digest, _)) = row.content else { return false };
            let is_rival = |other: &Object| !self.writes_row(other.id) && is_live_media(other, digest);
            is_live_media(row, digest) && world.ledger.values().any(is_rival)
        })
    }
}

impl State {
    /// Commits, unless the unique index on the digests of live media refuses it; returns whether it is committed.
    #[must_use]
    pub(crate) fn commit(&mut self, model: &Protocol, transaction: &Transaction) -> bool {
        if !model.has(Fault::NoUniqueIndex) && transaction.violates_unique_index(&self.world) {
            return false;
        }
        for row in &transaction.rows {
            if row.is_gone() {
                self.world.ledger.remove(&row.id);
                if !model.has(Fault::InlineBytesAreLeft) {
                    self.world.blobs.remove(&Path::Inline(row.id));
                }
            } else {
                self.world.ledger.insert(row.id, row.clone());
            }
        }
        if let Some(added) = transaction.inline {
            self.world.blobs.insert(Path::Inline(added.object), Blob::Whole(added.digest));
        }
        for (id, reference) in &transaction.projects {
            match reference {
                Some(reference) => drop(self.world.projects.insert(*id, *reference)),
                None => drop(self.world.projects.remove(id)),
            }
        }
        self.retry_if(model, |open| open.conflicts_with(transaction));
        true
    }

    /// Deletes a row of the ledger, in a transaction of its own.
    pub(crate) fn forget(&mut self, model: &Protocol, id: ObjectId) {
        self.world.ledger.remove(&id);
        self.retry_if(model, |open| open.writes_row(id));
    }

    fn retry_if(&mut self, model: &Protocol, loses: impl Fn(&Transaction) -> bool) {
        self.savers.iter_mut().for_each(|saver| saver.retry_if(&loses));
        for (mover, planned) in self.movers.iter_mut().zip(&model.scenario.moves) {
            let is_purge = matches!(planned, Some(Move::Purge(_)));
            if !(is_purge && model.has(Fault::PurgeDecidesTooEarly)) {
                mover.retry_if(&loses);
            }
        }
    }
}
