use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ListQuery, MediaRef, Object, Page, Precondition, Project, ProjectId, Title, UserId,
};
use crate::error::Result;
use crate::protocol::SaveCommit;

/// Keeps the projects, and with every change of them the ledger.
#[async_trait]
pub trait ProjectStore: fmt::Debug + Send + Sync {
    /// The project of that title; none where the owner has been removed.
    async fn find_project(&self, owner: UserId, title: &Title) -> Result<Option<Project>>;

    /// The project of that id, if it is this owner's and the owner has not been removed.
    async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Option<Project>>;

    /// The media of some project of this owner that has this digest.
    async fn find_owned_media(&self, owner: UserId, digest: Digest) -> Result<Option<MediaRef>>;

    /// A page of an owner's projects, read at one instant. Without a limit it is all that follow.
    ///
    /// Following the cursors meets each project that is neither saved nor deleted meanwhile exactly once.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) where the cursor was made for another sort.
    async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page>;

    /// Commits a save: reads [`SaveReads`], asks [`plan_save`], writes the plan, all in one transaction.
    ///
    /// The live media of one namespace and digest is one row, whoever commits at the same moment.
    ///
    /// # Errors
    /// Those of [`plan_save`]: nothing is committed, and what was written for it may be deleted. After
    /// any other error it may be committed all the same, and what was written is the sweep's business.
    /// So a backend that tries again must know that its earlier try has not succeeded.
    ///
    /// [`SaveReads`]: crate::protocol::SaveReads
    /// [`plan_save`]: crate::protocol::plan_save
    async fn commit_save(&self, commit: &SaveCommit) -> Result<SaveOutcome>;

    /// Deletes a project that meets a precondition: reads [`DeleteReads`](crate::protocol::DeleteReads), evaluates
    /// the precondition, asks [`plan_delete`](crate::protocol::plan_delete), and writes the plan, all in one
    /// transaction. So a project that is saved at the same moment is not deleted on a condition that it no longer
    /// meets.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`](crate::Error::SessionEnded) where the caller's session has ended.
    /// - [`Error::NotFound`](crate::Error::NotFound) where the owner has no such project, whatever the precondition.
    /// - [`Error::PreconditionFailed`](crate::Error::PreconditionFailed) where the project does not meet it.
    async fn delete_project_if(
        &self,
        caller: Caller,
        title: &Title,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Deleted>;

    /// Deletes a project of any revision: [`delete_project_if`](Self::delete_project_if) without a precondition.
    async fn delete_project(&self, caller: Caller, title: &Title, now: Timestamp) -> Result<Deleted> {
        self.delete_project_if(caller, title, &Precondition::None, now).await
    }
}

/// What came of the commit of a save.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaveOutcome {
    /// It is committed.
    Saved {
        /// The project as it is now.
        project: Box<Project>,
        /// The objects that it doomed.
        doomed: Vec<Object>,
    },
    /// Nothing is changed: the offered media is not here, and must be completed first.
    BytesNeeded,
    /// Nothing is changed: somebody must look first whether the bytes of this media are here.
    LookNeeded(MediaRef),
}

/// What a deletion has left to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deleted {
    /// The objects that it doomed.
    pub doomed: Vec<Object>,
}
