//! Deletions, purges, and moves of a record to the trash and back.

use std::mem;

use notestamp_store::protocol::remove_reference;
use notestamp_store::{Object, ObjectState, ProjectId};

use crate::disposal::Disposal;
use crate::model::{Action, Fault, Isolation, Protocol, State, Step};
use crate::transaction::Transaction;
use crate::world::NOW;

/// What a mover does, once, as soon as its record exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Move {
    /// Purges a record: a project, a version, or a project in the trash.
    Purge(ProjectId),
    /// Moves a record to the trash, or from there to another place that is free.
    To(ProjectId, ProjectId),
}

/// The state of a mover. One that has crashed has the same state as one that has finished: it takes no further step, and
/// no actor waits for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Mover {
    Start,
    Committing(Transaction),
    /// Has removed the record, and not released its object, under [`Fault::ReleasedAfterPurge`].
    Releasing(Transaction),
    Disposing(Disposal),
    Stopped,
}

impl Mover {
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

    pub(crate) fn actions(&self, model: &Protocol, state: &State, who: usize, actions: &mut Vec<Action>) {
        let exists = |id| state.world.projects.contains_key(&id);
        let is_possible = match model.scenario.moves[who] {
            Some(Move::Purge(id)) => exists(id),
            Some(Move::To(from, to)) => exists(from) && !exists(to),
            None => false,
        };
        let steps: &[Step] = match self {
            Self::Start if is_possible => &[Step::Begin],
            Self::Committing(_) => &[Step::Commit, Step::Crash],
            Self::Releasing(_) => &[Step::Release, Step::Crash],
            Self::Disposing(_) => &[Step::Dispose, Step::Crash],
            Self::Start | Self::Stopped => &[],
        };
        actions.extend(steps.iter().map(|&step| Action::Mover(who, step)));
    }
}

impl State {
    pub(crate) fn step_mover(&mut self, model: &Protocol, who: usize, step: Step) {
        // Taken out of the state, so that its own open transaction does not conflict with this step.
        self.movers[who] = match (step, mem::replace(&mut self.movers[who], Mover::Stopped)) {
            (Step::Begin, Mover::Start) => Mover::Committing(self.begin_move(model, who)),
            (Step::Commit, Mover::Committing(transaction)) if model.has(Fault::ReleasedAfterPurge) => {
                let Transaction { rows, projects, inline } = transaction;
                let committed = self.commit(model, &Transaction { rows: Vec::new(), projects, inline });
                assert!(committed, "no index is about projects");
                Mover::Releasing(Transaction::of_rows(rows))
            }
            (Step::Commit, Mover::Committing(transaction))
            | (Step::Release, Mover::Releasing(transaction)) => {
                let committed = self.commit(model, &transaction);
                assert!(committed, "it makes nothing live");
                let is_left = |row: &&Object| row.state == ObjectState::Doomed && !row.is_gone();
                let doomed = transaction.rows.iter().filter(is_left);
                dispose_and_stop(Disposal::of(doomed.map(|row| row.id)))
            }
            (Step::Dispose, Mover::Disposing(disposal)) => dispose_and_stop(self.dispose(model, disposal)),
            (Step::Crash, _) => Mover::Stopped,
            (step, at) => unreachable!("{step:?} is not offered at {at:?}"),
        };
        if step == Step::Begin && model.isolation == Isolation::Serializable {
            self.step_mover(model, who, Step::Commit);
        }
    }

    fn begin_move(&self, model: &Protocol, who: usize) -> Transaction {
        let planned = model.scenario.moves[who].expect("it is offered only where there is one");
        let (from, to) = match planned {
            Move::Purge(from) => (from, None),
            Move::To(from, to) => (from, Some(to)),
        };
        let reference = self.world.projects.get(&from).copied();
        let row = reference.and_then(|reference| self.world.row(model, reference.object));
        // A moved reference stays counted, so its row is not written.
        let is_written = to.is_none() && !model.has(Fault::LiveRowOnlyRead);
        let rows = row.iter().filter(|_| is_written).map(|row| remove_reference(row, NOW));
        let moved = to.map(|to| (to, reference));
        let projects = [(from, None)].into_iter().chain(moved).collect();
        Transaction { rows: rows.collect(), projects, inline: None }
    }
}

fn dispose_and_stop(disposal: Disposal) -> Mover {
    if disposal.is_done() { Mover::Stopped } else { Mover::Disposing(disposal) }
}
