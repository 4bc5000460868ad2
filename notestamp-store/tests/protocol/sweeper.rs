//! The sweep.

use std::mem;

use notestamp_store::protocol::{StaleBefore, doom_if_stale};
use notestamp_store::{Object, ObjectId, ObjectState, Timestamp};

use crate::disposal::Disposal;
use crate::model::{Action, Clocks, Fault, Protocol, State, Step};
use crate::transaction::Transaction;
use crate::world::NOW;

/// The state of a sweep. A sweep begins again for ever; a crashed one is like one that begins again.
///
/// It dooms one row at a time, in any order, and lists the doomed rows at any time. A sweep that dooms several rows at
/// once is among the interleavings of this model, because what happens to a row depends on that row alone. For the
/// same reason a transaction that dooms is one step even under snapshot isolation: it writes everything that it has
/// read, so it commits only if no other transaction has changed that in between.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Sweeper {
    Idle,
    Disposing(Disposal),
}

impl State {
    pub(crate) fn sweeper_actions(&self, model: &Protocol, who: usize, actions: &mut Vec<Action>) {
        let steps: &[Step] = match self.sweepers[who] {
            Sweeper::Disposing(_) => &[Step::Dispose, Step::Crash],
            Sweeper::Idle => {
                let stale = self.world.ledger.keys().filter(|&&id| self.doomed(model, id).is_some());
                actions.extend(stale.map(|&id| Action::Sweeper(who, Step::Doom(id))));
                if self.to_dispose_of(model).is_done() { &[] } else { &[Step::List] }
            }
        };
        actions.extend(steps.iter().map(|&step| Action::Sweeper(who, step)));
    }

    pub(crate) fn step_sweeper(&mut self, model: &Protocol, who: usize, step: Step) {
        self.sweepers[who] = match (step, mem::replace(&mut self.sweepers[who], Sweeper::Idle)) {
            (Step::Doom(id), Sweeper::Idle) => {
                let row = self.doomed(model, id).expect("only what is stale is offered");
                let committed = self.commit(model, &Transaction::of_rows(vec![row]));
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
    }

    /// The doomed row, if the sweep finds it stale.
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
