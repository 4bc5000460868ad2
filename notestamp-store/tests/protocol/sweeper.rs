//! The sweep.

use notestamp_store::protocol::{StaleBefore, doom_if_stale};
use notestamp_store::{Object, ObjectId, ObjectState, Timestamp};

use crate::disposal::Disposal;
use crate::model::{Action, Clocks, Fault, Isolation, Protocol, State, Step};
use crate::transaction::Transaction;
use crate::world::NOW;

/// How far a sweep has come. It begins again for ever; one that crashes is like one that begins again.
///
/// It dooms one row per transaction, in any order, and lists the doomed when it likes: whatever a
/// sweep does that dooms several at once is among the interleavings of that, because what it makes
/// of a row depends on that row alone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Sweeper {
    Idle,
    Dooming(Transaction),
    Disposing(Disposal),
}

impl Sweeper {
    pub(crate) fn retry_if(&mut self, loses: impl Fn(&Transaction) -> bool) {
        if let Self::Dooming(transaction) = self
            && loses(transaction)
        {
            *self = Self::Idle;
        }
    }

    pub(crate) fn actions(&self, model: &Protocol, state: &State, who: usize, actions: &mut Vec<Action>) {
        match self {
            Self::Idle => {
                let stale = state.world.ledger.keys().filter(|&&id| state.doomed(model, id).is_some());
                actions.extend(stale.map(|&id| Action::Sweeper(who, Step::Doom(id))));
                if !state.to_dispose_of(model).is_done() {
                    actions.push(Action::Sweeper(who, Step::List));
                }
            }
            Self::Dooming(_) => {
                actions.extend([Step::Commit, Step::Crash].map(|step| Action::Sweeper(who, step)));
            }
            Self::Disposing(_) => {
                actions.extend([Step::Dispose, Step::Crash].map(|step| Action::Sweeper(who, step)));
            }
        }
    }

    /// Orders sweepers, which are interchangeable, by what they are about to do.
    pub(crate) fn rank(&self) -> (u8, Option<(ObjectId, bool)>, Option<&Disposal>) {
        match self {
            Self::Idle => (0, None, None),
            Self::Dooming(transaction) => {
                let row = transaction.rows.first().map(|row| (row.id, row.content.is_some()));
                (1, row, None)
            }
            Self::Disposing(disposal) => (2, None, Some(disposal)),
        }
    }
}

impl State {
    pub(crate) fn step_sweeper(&mut self, model: &Protocol, who: usize, step: Step) {
        self.sweepers[who] = match (step, self.sweepers[who].clone()) {
            (Step::Doom(id), Sweeper::Idle) => {
                let row = self.doomed(model, id).expect("only what is stale is offered");
                Sweeper::Dooming(Transaction::of_rows(vec![row]))
            }
            (Step::Commit, Sweeper::Dooming(transaction)) => {
                self.sweepers[who] = Sweeper::Idle;
                let committed = self.commit(model, &transaction);
                assert!(committed, "no index is about the doomed");
                Sweeper::Idle
            }
            (Step::List, Sweeper::Idle) => Sweeper::Disposing(self.to_dispose_of(model)),
            (Step::Dispose, Sweeper::Disposing(disposal)) => {
                let rest = self.dispose(model, disposal);
                if rest.is_done() { Sweeper::Idle } else { Sweeper::Disposing(rest) }
            }
            (Step::Crash, _) => Sweeper::Idle,
            (step, at) => unreachable!("{step:?} is not offered at {at:?}"),
        };
        if matches!(step, Step::Doom(_)) && model.isolation == Isolation::Serializable {
            self.step_sweeper(model, who, Step::Commit);
        }
    }

    /// What the sweep makes of a row, if it is stale.
    fn doomed(&self, model: &Protocol, id: ObjectId) -> Option<Object> {
        let row = self.world.row(model, id)?;
        let writer = model.scenario.saves.iter().position(|save| save.object == id);
        let spared = model.clocks == Clocks::Kept
            && writer.is_some_and(|writer| !self.savers[writer].has_stopped_writing());
        let reserved = if spared { Timestamp::MIN } else { Timestamp::MAX };
        doom_if_stale(&row, &StaleBefore { reserved, unreferenced: Timestamp::MAX }, NOW)
    }

    fn to_dispose_of(&self, model: &Protocol) -> Disposal {
        let rows = self.world.ledger.values().filter(|row| {
            let stale = || self.doomed(model, row.id).is_some();
            row.state == ObjectState::Doomed || model.has(Fault::DeletedBeforeDoomed) && stale()
        });
        Disposal::of(rows.map(|row| row.id))
    }
}
