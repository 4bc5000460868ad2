//! The trash: moves a deleted project there, and back.

use crate::clock::Timestamp;
use crate::domain::{Caller, Project, ProjectId, Title, Trashed, User};
use crate::error::{Error, Result};

use super::usage::{MediaUse, change_media_use};

/// What moving a project to the trash reads, in the same transaction that writes the plan.
#[derive(Clone, Debug)]
pub struct TrashReads {
    /// The owner's user record.
    pub user: User,
    /// The project.
    pub project: Project,
    /// How the other records of the account use its media.
    pub others: MediaUse,
}

/// What moving a project to the trash writes, besides removing the project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrashPlan {
    /// The owner's user record, with its new usage and revision floor.
    pub user: User,
    /// The project in the trash.
    pub trashed: Trashed,
}

/// Decides what moving a project to the trash writes. All its references stay.
///
/// No ledger row is written. A step that replaces lost media for all records that refer to it conflicts with this one,
/// because both write the project's record.
pub fn plan_trash(reads: TrashReads, now: Timestamp) -> TrashPlan {
    let TrashReads { mut user, project, others } = reads;
    let usage = &mut user.usage;
    usage.projects = usage.projects.saturating_sub(1);
    usage.trashed += 1;
    usage.bytes = usage.bytes.saturating_sub(project.notes.size);
    usage.kept_bytes += project.notes.size;
    usage.record_bytes = usage.record_bytes.saturating_sub(project.record_bytes());
    usage.kept_record_bytes += project.record_bytes();
    if let Some(media) = project.media {
        change_media_use(usage, media.size, others | MediaUse::SHOWN, others | MediaUse::KEPT);
    }
    user.revision_floor = user.revision_floor.max(project.revision);
    TrashPlan { user, trashed: Trashed { project, deleted: now } }
}

/// A request to restore a project from the trash.
#[derive(Clone, Debug)]
pub struct TrashRestore {
    /// The owner, and the session that restores.
    pub caller: Caller,
    /// The project.
    pub id: ProjectId,
    /// Its new title; `None` keeps the one that it had.
    pub title: Option<Title>,
    /// The most projects that the account may have.
    pub projects_max: u64,
    /// The time of the request.
    pub now: Timestamp,
}

impl TrashRestore {
    /// The title that the project will have.
    pub fn title<'a>(&'a self, trashed: &'a Trashed) -> &'a Title {
        self.title.as_ref().unwrap_or(&trashed.project.metadata.title)
    }
}

/// What restoring a project from the trash reads, in the same transaction that writes the plan.
#[derive(Clone, Debug)]
pub struct TrashRestoreReads {
    /// The owner's user record.
    pub user: Option<User>,
    /// The project in the trash.
    pub trashed: Option<Trashed>,
    /// Whether a project of the account has the title.
    pub title_taken: bool,
    /// How the other records of the account use its media.
    pub others: MediaUse,
}

/// What restoring a project from the trash writes, besides removing it from the trash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrashRestorePlan {
    /// The owner's user record, with its new usage and number of saves.
    pub user: User,
    /// The project, as the latest save of its account.
    pub project: Project,
}

/// Decides what restoring a project from the trash writes. Its revision rises above all revisions that projects of the
/// account had before their deletion, so that one revision never names two states of the same title.
///
/// # Errors
/// - [`Error::NoSuchAccount`] if the account has been removed.
/// - [`Error::NoSuchProject`] if the project is not in the trash.
/// - [`Error::TitleTaken`] if a project of the account has the title.
/// - [`Error::TooManyProjects`] if the account may have no more projects.
pub fn plan_trash_restore(reads: TrashRestoreReads, restore: &TrashRestore) -> Result<TrashRestorePlan> {
    let mut user = reads.user.ok_or(Error::NoSuchAccount)?;
    let trashed = reads.trashed.ok_or(Error::NoSuchProject)?;
    if reads.title_taken {
        return Err(Error::TitleTaken);
    }
    if user.usage.projects >= restore.projects_max {
        return Err(Error::TooManyProjects { max: restore.projects_max });
    }
    let title = restore.title(&trashed).clone();
    let mut project = trashed.project;
    let usage = &mut user.usage;
    usage.trashed = usage.trashed.saturating_sub(1);
    usage.projects += 1;
    usage.kept_bytes = usage.kept_bytes.saturating_sub(project.notes.size);
    usage.bytes += project.notes.size;
    usage.kept_record_bytes = usage.kept_record_bytes.saturating_sub(project.record_bytes());
    project.metadata.title = title;
    usage.record_bytes += project.record_bytes();
    if let Some(media) = project.media {
        change_media_use(usage, media.size, reads.others | MediaUse::KEPT, reads.others | MediaUse::SHOWN);
    }
    user.saves += 1;
    project.save = user.saves;
    project.revision = project.revision.max(user.revision_floor).next();
    Ok(TrashRestorePlan { user, project })
}
