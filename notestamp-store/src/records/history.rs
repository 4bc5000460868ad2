use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{Object, ProjectId, Revision, UserId, Version};
use crate::error::Result;

/// Keeps the versions of projects, under the ids of the projects, also while these are in the trash.
///
/// A version is added only by [`commit_save`](super::ProjectStore::commit_save).
#[async_trait]
pub trait HistoryStore: fmt::Debug + Send + Sync {
    /// The version of this project with this revision; absent if the project is not this owner's, or if the owner's
    /// account has been removed.
    async fn find_version(
        &self,
        owner: UserId,
        project: ProjectId,
        revision: Revision,
    ) -> Result<Option<Version>>;

    /// Up to `limit` versions of a project, the newest first: those before the revision `before`, or from the newest
    /// on if it is absent.
    async fn list_versions(
        &self,
        owner: UserId,
        project: ProjectId,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Version>>;

    /// Up to `limit` places of versions that were replaced in this span of time, of all accounts, in their order: those
    /// after the place `after`, or from the first on if it is absent.
    async fn list_replaced(
        &self,
        span: Range<Timestamp>,
        after: Option<ReplacedAt>,
        limit: usize,
    ) -> Result<Vec<ReplacedAt>>;

    /// Purges up to `limit` versions of a project that are no longer kept
    /// ([`surplus`](crate::protocol::thinning::surplus)). Nothing to purge is left of a project in a removed account.
    async fn thin_history(
        &self,
        owner: UserId,
        project: ProjectId,
        history: Option<Duration>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ThinnedHistory>;
}

/// The place of a version in the order of [`HistoryStore::list_replaced`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ReplacedAt {
    /// When the version was replaced.
    pub replaced: Timestamp,
    /// Its project.
    pub project: ProjectId,
    /// Its revision.
    pub revision: Revision,
    /// The owner of the project.
    pub owner: UserId,
}

/// The outcome of [`HistoryStore::thin_history`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ThinnedHistory {
    /// How many versions were purged.
    pub purged: usize,
    /// The objects that were doomed: their bytes can be deleted.
    pub doomed: Vec<Object>,
}
