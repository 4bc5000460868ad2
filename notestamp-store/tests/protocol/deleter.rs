//! The deletion of a project.

use std::mem;

use notestamp_store::ObjectState;
use notestamp_store::protocol::remove_reference;

use crate::disposal::Disposal;
use crate::model::{Action, Fault, Isolation, Protocol, State, Step};
use crate::transaction::Transaction;
use crate::world::NOW;

/// The state of the deletion. A crashed deletion has the same state as a finished one: it takes no further step, and
/// no actor waits for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Deleter {
    Start,
    Committing(Transaction),
    Disposing(Disposal),
    Stopped,
}

impl Deleter {
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self, Self::Start | Self::Stopped)
    }

    pub(crate) fn retry_if(&mut self, loses: impl Fn(&Transaction) -> bool) {
        if let Self::Committing(transaction) = self
            && loses(transaction)
        {
            *self = Self::Start;
        }
    }

    pub(crate) fn actions(&self, model: &Protocol, state: &State, actions: &mut Vec<Action>) {
        let steps: &[Step] = match self {
            Self::Start if state.world.projects.contains_key(&model.scenario.deletes) => &[Step::Begin],
            Self::Committing(_) => &[Step::Commit, Step::Crash],
            Self::Disposing(_) => &[Step::Dispose, Step::Crash],
            Self::Start | Self::Stopped => &[],
        };
        actions.extend(steps.iter().map(|&step| Action::Deleter(step)));
    }
}

impl State {
    pub(crate) fn step_deleter(&mut self, model: &Protocol, step: Step) {
        self.deleter = match (step, mem::replace(&mut self.deleter, Deleter::Stopped)) {
            (Step::Begin, Deleter::Start) => Deleter::Committing(self.begin_delete(model)),
            (Step::Commit, Deleter::Committing(transaction)) => {
                let committed = self.commit(model, &transaction);
                assert!(committed, "a deletion makes nothing live");
                let doomed = transaction.rows.iter().filter(|row| row.state == ObjectState::Doomed);
                dispose_and_stop(Disposal::of(doomed.map(|row| row.id)))
            }
            (Step::Dispose, Deleter::Disposing(disposal)) => dispose_and_stop(self.dispose(model, disposal)),
            (Step::Crash, _) => Deleter::Stopped,
            (step, at) => unreachable!("{step:?} is not offered at {at:?}"),
        };
        if step == Step::Begin && model.isolation == Isolation::Serializable {
            self.step_deleter(model, Step::Commit);
        }
    }

    fn begin_delete(&self, model: &Protocol) -> Transaction {
        let id = model.scenario.deletes;
        let row = self.world.projects.get(&id).and_then(|project| self.world.row(model, project.object));
        let mut rows: Vec<_> = row.iter().map(|row| remove_reference(row, NOW)).collect();
        if model.has(Fault::LiveRowOnlyRead) {
            rows.clear();
        }
        Transaction { rows, projects: vec![(id, None)] }
    }
}

fn dispose_and_stop(disposal: Disposal) -> Deleter {
    if disposal.is_done() { Deleter::Stopped } else { Deleter::Disposing(disposal) }
}
