//! The save of a project.

use std::mem;

use notestamp_store::protocol::{
    MediaCheck, MediaOffer, Settled, Settlement, Written, add_inline, adopt, doom_reserved, remove_reference,
    settle_media,
};
use notestamp_store::{
    Digest, Error, Namespace, Object, ObjectId, ObjectKind, ObjectPlace, ObjectState, ProjectId,
};

use crate::disposal::Disposal;
use crate::model::{Action, Fault, Isolation, Protocol, State, Step};
use crate::transaction::Transaction;
use crate::world::{Blob, NOW, Reference};

/// What a saver saves: media or notes, so that a project's reference is to one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Save {
    pub(crate) project: ProjectId,
    pub(crate) brings: Brings,
    pub(crate) object: ObjectId,
    pub(crate) digest: Digest,
    /// The id under which the state that this save replaces is kept as a version; `None` keeps none.
    pub(crate) keeps: Option<ProjectId>,
}

/// What a save brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Brings {
    Media,
    MediaByDigest,
    Notes,
    /// Notes that the commit adds to the database.
    InlineNotes,
}

impl Save {
    fn written(&self) -> Written {
        Written { object: self.object, digest: self.digest, size: 1 }
    }

    fn reserved(&self) -> Object {
        let kind = match self.brings {
            Brings::Media | Brings::MediaByDigest => ObjectKind::Media,
            Brings::Notes | Brings::InlineNotes => ObjectKind::Notes,
        };
        Object::reserve(self.object, kind, Namespace::Shared, NOW)
    }

    fn reference(&self, object: ObjectId) -> Reference {
        Reference { object, digest: self.digest }
    }
}

/// The outcome of beginning a commit.
enum Begun {
    Transaction(Transaction),
    /// The bytes must be completed first.
    BytesNeeded,
    /// The saver must check first whether the bytes of this object exist.
    CheckNeeded(ObjectId),
}

/// The state of a save.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Saver {
    pub(crate) at: At,
    /// Whether it has written after its row was no longer reserved, and has not deleted that since. The program does
    /// not know this; the model records it to recognise the one leak that needs a deadline.
    pub(crate) wrote_late: bool,
    /// The results of its checks of objects that may have its bytes already.
    pub(crate) checks: Vec<MediaCheck>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum At {
    Start,
    Reserved,
    Writing,
    /// The outcome of the last write is unknown: it may take effect at any time.
    WriteInDoubt,
    Written,
    Committing {
        transaction: Transaction,
        written: bool,
    },
    /// The outcome of the commit is unknown.
    InDoubt,
    /// Has committed, and not added its bytes, under [`Fault::InlineBytesComeLater`].
    Adding(Reference),
    Disposing {
        disposal: Disposal,
        outcome: Outcome,
    },
    /// Finished or crashed: no later step depends on which.
    Stopped,
}

/// The outcome of a save that has objects to dispose of; the model drops it after the disposal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Outcome {
    /// Saved with an object that other projects refer to.
    Shared,
    /// Saved with an existing object that no project referred to any more.
    Revived,
    /// Saved with its own object, which has replaced one whose bytes were lost.
    Mended,
    /// Refused: its row is no longer reserved.
    Expired,
    /// Aborted: the upload was interrupted, or the outcome of the commit is unknown.
    GaveUp,
}

impl Saver {
    pub(crate) fn new(save: &Save) -> Self {
        let at = match save.brings {
            Brings::Media | Brings::Notes => At::Start,
            Brings::MediaByDigest | Brings::InlineNotes => At::Written,
        };
        Self { at, wrote_late: false, checks: Vec::new() }
    }

    pub(crate) fn has_stopped_writing(&self) -> bool {
        match self.at {
            At::Start
            | At::Reserved
            | At::Writing
            | At::WriteInDoubt
            | At::Committing { written: false, .. } => false,
            At::Written
            | At::Committing { written: true, .. }
            | At::InDoubt
            | At::Adding(_)
            | At::Disposing { .. }
            | At::Stopped => true,
        }
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.at, At::Start | At::Stopped)
    }

    pub(crate) fn retry_if(&mut self, loses: impl Fn(&Transaction) -> bool) {
        if let At::Committing { transaction, written } = &self.at
            && loses(transaction)
        {
            self.at = if *written { At::Written } else { At::Writing };
        }
    }

    pub(crate) fn actions(&self, save: &Save, who: usize, actions: &mut Vec<Action>) {
        let steps: &[Step] = match self.at {
            At::Start => &[Step::Reserve],
            At::Reserved => &[Step::Write, Step::Crash],
            At::Writing if save.brings == Brings::Notes => {
                &[Step::Complete, Step::CompleteInDoubt, Step::GiveUp, Step::Crash]
            }
            At::Writing => &[Step::Complete, Step::CompleteInDoubt, Step::Begin, Step::GiveUp, Step::Crash],
            At::WriteInDoubt => &[Step::Complete, Step::Crash],
            // It has written nothing, so it has nothing to give up.
            At::Written if save.brings == Brings::InlineNotes => &[Step::Begin, Step::Crash],
            At::Written => &[Step::Begin, Step::GiveUp, Step::Crash],
            At::Committing { .. } => &[Step::Commit, Step::CommitInDoubt, Step::Crash],
            At::InDoubt => &[Step::GiveUp, Step::Crash],
            At::Adding(_) => &[Step::Add, Step::Crash],
            At::Disposing { .. } => &[Step::Dispose, Step::Crash],
            At::Stopped => &[],
        };
        actions.extend(steps.iter().map(|&step| Action::Saver(who, step)));
    }
}

impl State {
    pub(crate) fn step_saver(&mut self, model: &Protocol, who: usize, step: Step) {
        let save = &model.scenario.saves[who];
        // Taken out of the state, so that its own open transaction does not conflict with this step.
        let at = mem::replace(&mut self.savers[who].at, At::Stopped);
        self.savers[who].at = match (step, at) {
            (Step::Reserve, At::Start) => {
                self.world.ledger.insert(save.object, save.reserved());
                At::Reserved
            }
            (Step::Write, At::Reserved) => {
                self.write(model, who, Blob::Partial);
                At::Writing
            }
            (Step::Complete, At::Writing) => {
                self.write(model, who, Blob::Whole(save.digest));
                At::Written
            }
            (Step::CompleteInDoubt, At::Writing) => {
                if model.has(Fault::WriteInDoubtIsGivenUp) {
                    self.doom_reserved(model, save.object);
                }
                At::WriteInDoubt
            }
            // The delayed write takes effect. The saver has left the row reserved and stopped.
            (Step::Complete, At::WriteInDoubt) => {
                self.write(model, who, Blob::Whole(save.digest));
                At::Stopped
            }
            (Step::GiveUp, _) => {
                let live = self.doom_reserved(model, save.object);
                let spared = live && !model.has(Fault::CommitInDoubtIsTakenForFailed);
                let given_up = (!spared).then_some(save.object);
                self.dispose_and_stop(who, Disposal::of(given_up), Outcome::GaveUp)
            }
            (Step::Begin, at) => {
                let written = at == At::Written;
                match self.begin_save(model, who, written) {
                    Ok(Begun::BytesNeeded) => at,
                    Ok(Begun::CheckNeeded(object)) => {
                        let check = self.check_media(model, object, save.digest);
                        self.savers[who].checks.push(check);
                        at
                    }
                    Ok(Begun::Transaction(transaction)) => At::Committing { transaction, written },
                    Err(Error::MediaNeeded) => At::Stopped,
                    Err(Error::UploadExpired) => {
                        let kept = model.has(Fault::FailedSaveKeepsItsBytes);
                        let written = (!kept).then_some(save.object);
                        self.dispose_and_stop(who, Disposal::of(written), Outcome::Expired)
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            (Step::Commit, At::Committing { mut transaction, written })
                if model.has(Fault::InlineBytesComeLater) && transaction.inline.is_some() =>
            {
                let added = transaction.inline.take().expect("it has some");
                if !self.commit(model, &transaction) {
                    At::Committing { transaction, written }
                } else {
                    At::Adding(added)
                }
            }
            (Step::Add, At::Adding(added)) => {
                let added = Transaction { inline: Some(added), ..Transaction::of_rows(Vec::new()) };
                let committed = self.commit(model, &added);
                assert!(committed, "no index is about bytes");
                At::Stopped
            }
            (Step::Commit | Step::CommitInDoubt, At::Committing { transaction, written }) => {
                if !self.commit(model, &transaction) {
                    if written { At::Written } else { At::Writing }
                } else if step == Step::Commit {
                    let is_left = |row: &&Object| row.state == ObjectState::Doomed && !row.is_gone();
                    let doomed = transaction.rows.iter().filter(is_left);
                    let disposal = Disposal::of(doomed.map(|row| row.id));
                    self.dispose_and_stop(who, disposal, outcome(save, &transaction))
                } else if save.brings == Brings::InlineNotes {
                    At::Stopped
                } else {
                    At::InDoubt
                }
            }
            (Step::Dispose, At::Disposing { disposal, outcome }) => {
                let rest = self.dispose(model, disposal);
                self.dispose_and_stop(who, rest, outcome)
            }
            (Step::Crash, _) => At::Stopped,
            (step, at) => unreachable!("{step:?} is not offered at {at:?}"),
        };
        if self.savers[who].at == At::Stopped {
            self.savers[who].checks.clear();
        }
        if model.isolation == Isolation::Serializable
            && step == Step::Begin
            && matches!(self.savers[who].at, At::Committing { .. })
        {
            self.step_saver(model, who, Step::Commit);
        }
    }

    /// Dooms a row if it is still reserved; returns whether it is live.
    fn doom_reserved(&mut self, model: &Protocol, object: ObjectId) -> bool {
        let row = self.world.row(model, object);
        if let Ok(doomed) = doom_reserved(row.as_ref(), NOW) {
            let committed = self.commit(model, &Transaction::of_rows(vec![doomed]));
            assert!(committed, "no index is about the doomed");
        }
        row.is_some_and(|row| row.state == ObjectState::Live)
    }

    /// Writes to the saver's path. Complete bytes replace what is there atomically; partial bytes never replace
    /// anything.
    fn write(&mut self, model: &Protocol, who: usize, blob: Blob) {
        let object = model.scenario.saves[who].object;
        let row = self.world.ledger.get(&object);
        self.savers[who].wrote_late |= row.is_none_or(|row| row.state != ObjectState::Reserved);
        let there = self.world.blobs.entry(model.path(object)).or_insert(blob);
        if blob != Blob::Partial {
            *there = blob;
        }
    }

    /// Checks whether the bytes of an object exist.
    fn check_media(&self, model: &Protocol, object: ObjectId, digest: Digest) -> MediaCheck {
        let found = self.world.blobs.get(&model.path(object));
        let is_whole = model.has(Fault::LedgerIsBelieved) || found == Some(&Blob::Whole(digest));
        MediaCheck { object, is_whole }
    }

    /// Begins the commit: reads, and decides what to write.
    fn begin_save(&self, model: &Protocol, who: usize, written: bool) -> Result<Begun, Error> {
        let save = &model.scenario.saves[who];
        let ours = if model.has(Fault::ReservationNotChecked) {
            Some(save.reserved())
        } else {
            self.world.row(model, save.object)
        };
        let old = self.world.projects.get(&save.project);
        let offer = match save.brings {
            Brings::Media if written => MediaOffer::Written(save.written()),
            Brings::Media => MediaOffer::Staged(save.written()),
            Brings::MediaByDigest => MediaOffer::Known(save.digest),
            Brings::Notes => {
                let row = adopt(ours.as_ref(), &save.written(), NOW)?;
                return Ok(Begun::Transaction(self.with_notes(model, save, row)));
            }
            Brings::InlineNotes => {
                let row = add_inline(ours.as_ref(), &save.written(), Namespace::Shared, NOW)?;
                return Ok(Begun::Transaction(self.with_notes(model, save, row)));
            }
        };
        let kept = old.filter(|old| old.digest == save.digest).map(|old| old.object);
        // At most one live row has these bytes; if the project has media with these bytes, it is that row.
        let candidates: Vec<Object> = self.world.live_media(model, save.digest).into_iter().collect();
        let mut checks = self.savers[who].checks.clone();
        if model.scenario.loses.is_none() {
            // No bytes get lost in this scenario, so a check needs no step of its own.
            checks = candidates.iter().map(|row| self.check_media(model, row.id, save.digest)).collect();
        }
        let mut settled = match settle_media(&offer, ours.as_ref(), &candidates, kept, &checks, NOW)? {
            Settlement::Settled(settled) => settled,
            Settlement::BytesNeeded => return Ok(Begun::BytesNeeded),
            Settlement::CheckNeeded(media) => return Ok(Begun::CheckNeeded(media.object)),
        };
        if model.has(Fault::LiveRowOnlyRead) {
            settled.rows.retain(|row| row.id == save.object);
        }
        let reference = Some(save.reference(settled.media.object));
        let mut projects = vec![(save.project, reference)];
        if let (Some(old), Some(version)) = (old, save.keeps) {
            // The version takes over the reference of the state that is replaced. Its object may have been replaced.
            let kept = if settled.lost.contains(&old.object) { reference } else { Some(*old) };
            projects.push((version, kept));
            settled.rows.extend(self.rows_with_version(model, &settled, old.object));
        }
        if !model.has(Fault::OnlyItsOwnIsRepointed) {
            let referring = self.world.projects.iter().filter(|(_, it)| settled.lost.contains(&it.object));
            let others = referring.filter(|(id, _)| **id != save.project && Some(**id) != save.keeps);
            projects.extend(others.map(|(id, _)| (*id, reference)));
        }
        Ok(Begun::Transaction(Transaction { rows: settled.rows, projects, inline: None }))
    }

    /// The transaction that saves new notes, whose row this is.
    fn with_notes(&self, model: &Protocol, save: &Save, row: Object) -> Transaction {
        let reference = save.reference(row.id);
        let inline = (row.place == ObjectPlace::Inline).then_some(reference);
        let (mut rows, mut projects) = (vec![row], vec![(save.project, Some(reference))]);
        match (self.world.projects.get(&save.project), save.keeps) {
            // The version takes over the reference of the state that is replaced.
            (Some(old), Some(version)) => projects.push((version, Some(*old))),
            (Some(old), None) => {
                let old = self.world.row(model, old.object);
                rows.extend(old.map(|old| remove_reference(&old, NOW)));
            }
            (None, _) => {}
        }
        Transaction { rows, projects, inline }
    }

    /// The row that changes because a version keeps the old media: it gets a reference if the project has it still.
    fn rows_with_version(&self, model: &Protocol, settled: &Settled, old: ObjectId) -> Option<Object> {
        if model.has(Fault::LiveRowOnlyRead) {
            return None;
        }
        let row = self.world.row(model, old)?;
        let is_replaced = settled.media.object != old && !settled.lost.contains(&old);
        match is_replaced {
            true if model.has(Fault::KeptMediaReleased) => Some(remove_reference(&row, NOW)),
            true => None,
            false => {
                let row = settled.rows.iter().find(|row| row.id == settled.media.object).cloned();
                let row = row.or_else(|| self.world.row(model, settled.media.object))?;
                Some(Object { references: row.references + 1, ..row })
            }
        }
    }

    fn dispose_and_stop(&mut self, who: usize, disposal: Disposal, outcome: Outcome) -> At {
        if disposal.is_done() {
            self.savers[who].wrote_late = false;
            return At::Stopped;
        }
        At::Disposing { disposal, outcome }
    }
}

fn outcome(save: &Save, transaction: &Transaction) -> Outcome {
    let is_mended = |row: &Object| row.id == save.object && row.state == ObjectState::Live;
    if save.brings == Brings::Media && transaction.rows.iter().any(is_mended) {
        return Outcome::Mended;
    }
    let theirs = transaction.rows.iter().find(|row| row.id != save.object);
    if theirs.is_some_and(|row| row.references == 1) { Outcome::Revived } else { Outcome::Shared }
}
