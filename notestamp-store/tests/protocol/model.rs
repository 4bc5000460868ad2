//! The protocol as a transition system: which actor may take which step, and what must always hold.

use std::collections::BTreeMap;

use notestamp_store::{Digest, Namespace, Object, ObjectId, ObjectKind, ObjectState, ProjectId};
use stateright::{Model, Property};

use crate::mover::{Move, Mover};
use crate::saver::{At, Brings, Outcome, Save, Saver};
use crate::sweeper::Sweeper;
use crate::world::{Blob, NOW, Path, Reference, World};

/// The protocol in one scenario, over one kind of database.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) scenario: Scenario,
    pub(crate) isolation: Isolation,
    pub(crate) clocks: Clocks,
    pub(crate) fault: Option<Fault>,
}

/// What the actors do: two save, and up to two delete or move records. In every scenario two more actors sweep.
///
/// A version and a project in the trash are records like a project: each has an id of its own, and one reference.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) at_start: Option<(ProjectId, ObjectKind, Reference)>,
    pub(crate) saves: [Save; 2],
    pub(crate) moves: [Option<Move>; 2],
    /// The object whose bytes get lost, once, at any time, by a cause outside the protocol.
    pub(crate) loses: Option<ObjectId>,
}

/// The isolation level of transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Isolation {
    /// Each transaction is one step.
    Serializable,
    /// Each transaction reads in one step and commits in another.
    Snapshot,
}

/// Whether a writer is sure to stop before its row counts as abandoned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clocks {
    /// The sweep dooms a reserved row only after its writer has stopped writing.
    Kept,
    /// The sweep may doom any reserved row at any time.
    Ignored,
}

/// A fault of the protocol: one of its rules is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The path is derived from the digest instead of the object's id.
    PathUsedTwice,
    /// A transaction that relies on a live row only reads it. The references are not stored in the row, but counted
    /// from the projects that refer to it.
    LiveRowOnlyRead,
    /// The commit does not check that its row is still reserved.
    ReservationNotChecked,
    /// The sweep deletes the bytes of a stale object before its row is doomed.
    DeletedBeforeDoomed,
    /// The row is forgotten before its bytes are deleted.
    ForgottenBeforeDeleted,
    /// No unique index keeps the digests of live media unique.
    NoUniqueIndex,
    /// A save with an unknown outcome of its commit deletes what it has written, without checking whether that is
    /// live.
    CommitInDoubtIsTakenForFailed,
    /// A save with an unknown outcome of its last write dooms its row, instead of leaving it to the sweep.
    WriteInDoubtIsGivenUp,
    /// A failed save does not delete what it has written.
    FailedSaveKeepsItsBytes,
    /// A save that brings lost bytes again repoints only its own project to them.
    OnlyItsOwnIsRepointed,
    /// A save does not write its bytes because the ledger has a row for them, without checking that they exist.
    LedgerIsBelieved,
    /// A purge removes the record in one transaction, and releases its object in another.
    ReleasedAfterPurge,
    /// A purge does what it has decided before a restore has moved the record away.
    PurgeDecidesTooEarly,
    /// A save releases the media that it replaces, though a version refers to it from then on.
    KeptMediaReleased,
    /// The bytes of inline notes are added in a transaction of their own, after the row and the project.
    InlineBytesComeLater,
    /// The transaction that takes the last reference to inline notes away removes their row, and leaves their bytes.
    InlineBytesAreLeft,
}

/// The state of the whole system.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) savers: [Saver; 2],
    pub(crate) movers: [Mover; 2],
    pub(crate) sweepers: [Sweeper; 2],
    pub(crate) has_lost: bool,
}

/// A transition: a step of one actor, or the loss of bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Saver(usize, Step),
    Mover(usize, Step),
    Sweeper(usize, Step),
    /// The bytes of [`Scenario::loses`] get lost.
    Lose,
}

/// The steps of the protocol, by their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Reserve,
    Write,
    Complete,
    /// The last write fails or its response is lost, and it may take effect later. Its row is left to the sweep.
    CompleteInDoubt,
    Begin,
    Commit,
    /// The commit succeeds, and its response is lost.
    CommitInDoubt,
    /// The save aborts: dooms the row if it is reserved, and disposes of it unless it is live.
    GiveUp,
    /// Releases the object of a purged record, under [`Fault::ReleasedAfterPurge`].
    Release,
    /// Adds the bytes of inline notes, under [`Fault::InlineBytesComeLater`].
    Add,
    Doom(ObjectId),
    List,
    Dispose,
    Crash,
}

pub(crate) const NEVER_DANGLING: &str = "no project refers to what is not there";
pub(crate) const STORED_ONCE: &str = "equal bytes are one live object";
pub(crate) const COUNTED: &str = "a row counts the projects that refer to it";
pub(crate) const NOTHING_LEAKS: &str = "a sweep leaves what projects refer to, and nothing else";
pub(crate) const NO_OTHER_LEAK: &str = "only the late writes of a writer that died leak";
pub(crate) const SHARED: &str = "both saves succeed and share one object";
pub(crate) const EXPIRED: &str = "a save fails because its row was swept";
pub(crate) const MENDED: &str = "a save brings bytes again that were lost";
pub(crate) const REVIVED: &str = "a save refers to an object that no project referred to";

impl Protocol {
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(crate) fn path(&self, object: ObjectId) -> Path {
        if self.has(Fault::PathUsedTwice) {
            return Path::OfDigest(self.scenario.saves[0].digest);
        }
        Path::OfObject(object)
    }
}

impl Scenario {
    /// Equal bytes are saved under two new projects while the project that has them is deleted.
    pub(crate) fn old_project_is_deleted() -> Self {
        let reference = Reference { object: object(0), digest: Digest::of(b"media") };
        Self {
            at_start: Some((project(0), ObjectKind::Media, reference)),
            saves: [media(1, Brings::Media), media(2, Brings::Media)],
            moves: [Some(Move::Purge(project(0))), None],
            loses: None,
        }
    }

    /// Equal bytes are saved under two new projects, one of which is deleted after it has been created.
    pub(crate) fn new_project_is_deleted() -> Self {
        Self {
            at_start: None,
            moves: [Some(Move::Purge(project(1))), None],
            ..Self::old_project_is_deleted()
        }
    }

    /// One save sends bytes, another only their digest, while the project that has them is deleted.
    pub(crate) fn digest_is_offered() -> Self {
        let saves = [media(1, Brings::Media), media(2, Brings::MediaByDigest)];
        Self { saves, ..Self::old_project_is_deleted() }
    }

    /// Two saves bring the same bytes, one of them under the project that has them already, while these bytes get lost
    /// and that project is deleted.
    pub(crate) fn bytes_get_lost() -> Self {
        let again = Save { project: project(0), ..media(1, Brings::Media) };
        let saves = [again, media(2, Brings::Media)];
        Self { saves, loses: Some(object(0)), ..Self::old_project_is_deleted() }
    }

    /// The same, but one save sends only a digest, and the deleted project is not the one that had the bytes.
    pub(crate) fn bytes_of_a_digest_get_lost() -> Self {
        let saves = [media(1, Brings::Media), media(2, Brings::MediaByDigest)];
        Self { saves, moves: [Some(Move::Purge(project(2))), None], ..Self::bytes_get_lost() }
    }

    /// The notes of one new project are saved twice, and it is deleted after it has been created.
    pub(crate) fn notes_are_replaced() -> Self {
        let notes = |n: u8| Save {
            project: project(0),
            brings: Brings::Notes,
            object: object(n),
            digest: Digest::of(&[n]),
            keeps: None,
        };
        let moves = [Some(Move::Purge(project(0))), None];
        Self { at_start: None, saves: [notes(1), notes(2)], moves, loses: None }
    }

    /// The notes of one new project are saved twice, once inline, and it is deleted after it has been created.
    pub(crate) fn inline_notes_are_replaced() -> Self {
        let Self { at_start, saves: [first, second], moves, loses } = Self::notes_are_replaced();
        let saves = [Save { brings: Brings::InlineNotes, ..first }, second];
        Self { at_start, saves, moves, loses }
    }

    /// Both times inline, and the second save keeps what it replaces as a version, which is purged too.
    pub(crate) fn inline_version_is_purged() -> Self {
        let Self { at_start, saves, moves: [purge, _], loses } = Self::inline_notes_are_replaced();
        let saves = saves.map(|save| Save { keeps: Some(VERSION), brings: Brings::InlineNotes, ..save });
        Self { at_start, saves, moves: [purge, Some(Move::Purge(VERSION))], loses }
    }

    /// The media of a project is replaced, and the version that keeps it is purged, while equal bytes are saved under
    /// another project.
    pub(crate) fn version_is_purged() -> Self {
        let replacing = Save {
            project: project(0),
            digest: Digest::of(b"other media"),
            keeps: Some(VERSION),
            ..media(1, Brings::Media)
        };
        let moves = [Some(Move::Purge(VERSION)), None];
        Self { saves: [replacing, media(2, Brings::Media)], moves, ..Self::old_project_is_deleted() }
    }

    /// The media of a project is replaced, and then restored from the version by its digest. The project that the first
    /// save creates is purged.
    pub(crate) fn version_is_restored() -> Self {
        let [replacing, _] = Self::version_is_purged().saves;
        let restoring =
            Save { project: project(0), keeps: Some(SECOND_VERSION), ..media(2, Brings::MediaByDigest) };
        let moves = [Some(Move::Purge(project(0))), None];
        Self { saves: [replacing, restoring], moves, ..Self::old_project_is_deleted() }
    }

    /// A project in the trash is restored and purged at once, while equal bytes are saved.
    pub(crate) fn trash_is_restored_and_purged() -> Self {
        let scenario = Self::old_project_is_deleted();
        let at_start = scenario.at_start.map(|(_, kind, reference)| (TRASHED, kind, reference));
        let moves = [Some(Move::To(TRASHED, project(0))), Some(Move::Purge(TRASHED))];
        let by_digest = media(2, Brings::MediaByDigest);
        Self { at_start, moves, saves: [media(1, Brings::Media), by_digest], ..scenario }
    }

    /// A project moves to the trash and back, while its bytes get lost, and a save of another account brings them again.
    pub(crate) fn bytes_of_the_trash_get_lost() -> Self {
        let moves = [Some(Move::To(project(0), TRASHED)), Some(Move::To(TRASHED, project(0)))];
        let saves = [media(1, Brings::Media), media(2, Brings::MediaByDigest)];
        Self { moves, saves, ..Self::bytes_get_lost() }
    }
}

/// Ids of records that are no projects.
const VERSION: ProjectId = ProjectId::from_bytes([10; 16]);
const SECOND_VERSION: ProjectId = ProjectId::from_bytes([11; 16]);
const TRASHED: ProjectId = ProjectId::from_bytes([20; 16]);

fn media(n: u8, brings: Brings) -> Save {
    Save { project: project(n), brings, object: object(n), digest: Digest::of(b"media"), keeps: None }
}

fn object(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn project(n: u8) -> ProjectId {
    ProjectId::from_bytes([n; 16])
}

impl State {
    /// Whether all savers and movers have finished or crashed, and the sweepers are idle.
    fn is_at_rest(&self) -> bool {
        self.savers.iter().all(Saver::is_at_rest)
            && self.movers.iter().all(Mover::is_at_rest)
            && self.sweepers.iter().all(|sweeper| *sweeper == Sweeper::Idle)
    }

    fn has_outcome(&self, expected: Outcome) -> bool {
        let is_expected =
            |saver: &Saver| matches!(saver.at, At::Disposing { outcome, .. } if outcome == expected);
        self.savers.iter().any(is_expected)
    }

    fn both_share(&self, model: &Protocol) -> bool {
        let [a, b] = model.scenario.saves.each_ref();
        let reference = |save: &Save| self.world.projects.get(&save.project);
        a.project != b.project && reference(a).is_some() && reference(a) == reference(b)
    }

    fn nothing_leaks(&self, model: &Protocol) -> bool {
        if !self.is_at_rest() {
            return true;
        }
        let (paths, rows) = self.world.leaks(model);
        paths.is_empty() && rows.is_empty()
    }

    fn only_late_writes_leak(&self, model: &Protocol) -> bool {
        if !self.is_at_rest() {
            return true;
        }
        let (paths, rows) = self.world.leaks(model);
        let savers = self.savers.iter().zip(&model.scenario.saves);
        let late: Vec<Path> =
            savers.filter(|(saver, _)| saver.wrote_late).map(|(_, save)| model.path(save.object)).collect();
        rows.is_empty() && paths.iter().all(|path| late.contains(path))
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut world = World { ledger: BTreeMap::new(), blobs: BTreeMap::new(), projects: BTreeMap::new() };
        if let Some((project, kind, reference)) = self.scenario.at_start {
            let row = Object {
                state: ObjectState::Live,
                content: Some((reference.digest, 1)),
                references: 1,
                ..Object::reserve(reference.object, kind, Namespace::Shared, NOW)
            };
            world.ledger.insert(row.id, row);
            world.blobs.insert(self.path(reference.object), Blob::Whole(reference.digest));
            world.projects.insert(project, reference);
        }
        vec![State {
            world,
            savers: self.scenario.saves.each_ref().map(Saver::new),
            movers: [Mover::Start, Mover::Start],
            sweepers: [Sweeper::Idle, Sweeper::Idle],
            has_lost: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (who, (saver, save)) in state.savers.iter().zip(&self.scenario.saves).enumerate() {
            saver.actions(save, who, actions);
        }
        for (who, mover) in state.movers.iter().enumerate() {
            mover.actions(self, state, who, actions);
        }
        state.sweeper_actions(self, 0, actions);
        if let Some(object) = self.scenario.loses
            && !state.has_lost
            && state.world.blobs.contains_key(&self.path(object))
        {
            actions.push(Action::Lose);
        }
        if state.sweepers[0] != state.sweepers[1] {
            state.sweeper_actions(self, 1, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Saver(who, step) => state.step_saver(self, who, step),
            Action::Mover(who, step) => state.step_mover(self, who, step),
            Action::Sweeper(who, step) => state.step_sweeper(self, who, step),
            Action::Lose => {
                let object = self.scenario.loses.expect("it is offered only where there is one");
                state.world.blobs.remove(&self.path(object));
                state.has_lost = true;
            }
        }
        // The sweepers are interchangeable, so one order represents both.
        state.sweepers.sort();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_DANGLING, |model, state: &State| {
                state.world.nothing_dangles(model, model.scenario.loses.filter(|_| state.has_lost))
            }),
            Property::always(STORED_ONCE, |_, state: &State| state.world.stored_once()),
            Property::always(COUNTED, |_, state: &State| state.world.references_are_counted()),
            Property::always(NOTHING_LEAKS, |model, state: &State| state.nothing_leaks(model)),
            Property::always(NO_OTHER_LEAK, |model, state: &State| state.only_late_writes_leak(model)),
            Property::sometimes(SHARED, |model, state: &State| state.both_share(model)),
            Property::sometimes(EXPIRED, |_, state: &State| state.has_outcome(Outcome::Expired)),
            Property::sometimes(MENDED, |_, state: &State| state.has_outcome(Outcome::Mended)),
            Property::sometimes(REVIVED, |_, state: &State| state.has_outcome(Outcome::Revived)),
        ]
    }
}
