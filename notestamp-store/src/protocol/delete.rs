//! The deletion of a project: the commit removes the record and dooms its objects; their bytes are deleted afterwards.

use crate::clock::Timestamp;
use crate::domain::{Object, ObjectState, Project, User};

use super::ledger::remove_reference;

/// What the deletion of a project reads, in the same transaction that writes the plan.
#[derive(Clone, Debug)]
pub struct DeleteReads {
    /// The owner's user record; `None` if the account has been removed.
    pub user: Option<User>,
    /// The project that is to be deleted.
    pub project: Project,
    /// The ledger row of its notes.
    pub notes: Option<Object>,
    /// The ledger row of its media; `None` if it has no media here.
    pub media: Option<Object>,
    /// Whether another project of the same owner has media of the same digest.
    pub media_shared: bool,
}

/// What the deletion of a project writes, besides removing the project's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletePlan {
    /// The owner's user record, with its new usage and revision floor.
    pub user: Option<User>,
    /// The changed ledger rows.
    pub rows: Vec<Object>,
}

impl DeletePlan {
    /// The objects that the deletion dooms: their bytes can be deleted after the commit.
    pub fn doomed(&self) -> impl Iterator<Item = &Object> {
        self.rows.iter().filter(|row| row.state == ObjectState::Doomed)
    }
}

/// Decides what the deletion of a project writes: its objects lose a reference, and the owner's revision floor rises so
/// that its revisions are never used again.
pub fn plan_delete(reads: &DeleteReads, now: Timestamp) -> DeletePlan {
    let user = reads.user.clone().map(|mut user| {
        let media = reads.project.media.filter(|_| !reads.media_shared);
        let freed = reads.project.notes.size + media.map_or(0, |media| media.size);
        user.usage.bytes = user.usage.bytes.saturating_sub(freed);
        user.usage.projects = user.usage.projects.saturating_sub(1);
        user.revision_floor = user.revision_floor.max(reads.project.revision);
        user
    });
    DeletePlan { user, rows: plan_purge(reads.notes.as_ref(), reads.media.as_ref(), now) }
}

/// Decides what the purge of a project of a removed account writes, besides deleting its row: its objects lose a
/// reference. The other fields of the project may be damaged.
pub fn plan_purge(notes: Option<&Object>, media: Option<&Object>, now: Timestamp) -> Vec<Object> {
    [notes, media].into_iter().flatten().map(|row| remove_reference(row, now)).collect()
}
