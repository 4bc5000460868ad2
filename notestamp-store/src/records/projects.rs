use std::fmt;
use std::num::NonZeroUsize;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ListQuery, MediaRef, Object, Page, Precondition, Project, ProjectId, ProjectKey, Title,
    UserId,
};
use crate::error::Result;
use crate::protocol::SaveCommit;

/// Keeps the projects, and updates the ledger in the same step as a project.
#[async_trait]
pub trait ProjectStore: fmt::Debug + Send + Sync {
    /// The owner's project of this title; absent if the owner's account has been removed.
    async fn find_project(&self, owner: UserId, title: &Title) -> Result<Option<Project>>;

    /// The project of this id, if it belongs to this owner; absent if the owner's account has been removed.
    async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Option<Project>>;

    /// The media with this digest that one of this owner's projects refers to, a version, or a project in the trash;
    /// absent if none does.
    async fn find_owned_media(&self, owner: UserId, digest: Digest) -> Result<Option<MediaRef>>;

    /// A page of an owner's projects, read from one snapshot. A query without a limit returns all projects after its
    /// cursor.
    ///
    /// A client that follows the cursors gets each project exactly once, if it is neither saved nor deleted meanwhile.
    async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page>;

    /// Begins to read a list of any length in chunks: the first `len` projects that a query selects, and the ids of all
    /// that follow, read from one snapshot. Empty if the owner's account has been removed.
    ///
    /// The query's limit is ignored. The ids, of 16 bytes each, are all that grows with the list. Because they are read
    /// together with the first projects, a later save changes neither the order of the list nor what belongs to it.
    async fn start_list(&self, owner: UserId, query: &ListQuery, len: NonZeroUsize) -> Result<ListStart>;

    /// This owner's projects of these ids, in the order of the ids. Projects that are absent are left out; all are, if
    /// the owner's account has been removed.
    async fn find_projects_by_ids(&self, owner: UserId, ids: &[ProjectId]) -> Result<Vec<Project>>;

    /// Commits a save: reads [`SaveReads`], calls [`plan_save`], writes the plan, all in one transaction. The same
    /// transaction purges the versions that the plan thins out and, while the account [exceeds its quota], the oldest
    /// of its versions and of its trash, by the time at which they were replaced or deleted.
    ///
    /// At most one row is the live media of a namespace and digest, also when saves are committed concurrently.
    ///
    /// # Errors
    /// - Those of [`plan_save`]: nothing is committed, and the objects that were written for the save may be deleted.
    /// - Any other error: the outcome is unknown, the save may be committed, and the sweep deletes its objects if it
    ///   is not. So a backend may retry only if it knows that its earlier attempt has not been committed.
    ///
    /// [exceeds its quota]: crate::protocol::exceeds_quota
    /// [`SaveReads`]: crate::protocol::SaveReads
    /// [`plan_save`]: crate::protocol::plan_save
    async fn commit_save(&self, commit: &SaveCommit) -> Result<SaveOutcome>;

    /// Deletes a project for good, with its versions, if it meets a precondition: checks the precondition, calls
    /// [`plan_purge`](crate::protocol::plan_purge), and writes the plan, all in one transaction. So a concurrent save
    /// cannot make the deletion pass on a precondition that the project no longer meets.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    /// - [`Error::NoSuchProject`](crate::Error::NoSuchProject) if the owner has no such project, whatever the
    ///   precondition.
    /// - [`Error::PreconditionFailed`](crate::Error::PreconditionFailed) if the project does not meet the
    ///   precondition.
    async fn delete_project_if(
        &self,
        caller: Caller,
        key: &ProjectKey,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Deleted>;

    /// Deletes a project for good, whatever its revision: [`delete_project_if`](Self::delete_project_if) without a precondition.
    async fn delete_project(&self, caller: Caller, title: &Title, now: Timestamp) -> Result<Deleted> {
        self.delete_project_if(caller, &title.into(), &Precondition::None, now).await
    }
}

/// The start of a list: what [`ProjectStore::start_list`] returns.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListStart {
    /// The first projects, in the requested order.
    pub projects: Vec<Project>,
    /// The ids of all projects after these, in the same order.
    pub rest: Vec<ProjectId>,
}

/// The outcome of [`ProjectStore::commit_save`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaveOutcome {
    /// The save is committed.
    Saved {
        /// The project as it was committed.
        project: Box<Project>,
        /// The objects in blob stores that were doomed: their bytes can be deleted.
        doomed: Vec<Object>,
    },
    /// Nothing has changed: the store does not have the offered bytes. Their write must be completed before a retry.
    BytesNeeded,
    /// Nothing has changed: before a retry, the caller must check whether the bytes of this media exist, and say so in
    /// [`SaveCommit::checks`].
    CheckNeeded(MediaRef),
}

/// The outcome of a deletion: what is left to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deleted {
    /// The objects that were doomed: their bytes can be deleted.
    pub doomed: Vec<Object>,
}
