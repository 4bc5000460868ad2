use futures_util::stream::BoxStream;

use super::DamagedRecord;
use crate::clock::Timestamp;
use crate::domain::{Digest, Project, User};
use crate::error::Result;

/// The records of one instant, as a stream.
pub type RecordSnapshot = BoxStream<'static, Result<SnapshotRecord>>;

/// A record in a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SnapshotRecord {
    /// An account.
    User(User),
    /// A state of a project.
    State(Box<StateRecord>),
    /// A record that cannot be read.
    Damaged(DamagedRecord),
}

/// A state of a project, with what the ledger knows of its notes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateRecord {
    /// Where it belongs.
    pub kind: StateKind,
    /// The project in this state.
    pub project: Project,
    /// The digest of its notes; `None` if the ledger does not have them.
    pub notes_digest: Option<Digest>,
}

/// Where a state of a project belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateKind {
    /// It is the current state.
    Current,
    /// It is a version, replaced at this time.
    Replaced(Timestamp),
    /// It is in the trash, deleted at this time.
    Trashed(Timestamp),
}
