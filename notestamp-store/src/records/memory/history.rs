use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryRecords;
use crate::clock::Timestamp;
use crate::domain::{ProjectId, Revision, UserId, Version};
use crate::error::Result;
use crate::protocol::Holding;
use crate::protocol::thinning::surplus;
use crate::records::{HistoryStore, ReplacedAt, ThinnedHistory};

#[async_trait]
impl HistoryStore for MemoryRecords {
    async fn find_version(
        &self,
        owner: UserId,
        project: ProjectId,
        revision: Revision,
    ) -> Result<Option<Version>> {
        let state = self.lock()?;
        Ok(state.library(owner).and_then(|library| library.kept.versions.get(&(project, revision))).cloned())
    }

    async fn list_versions(
        &self,
        owner: UserId,
        project: ProjectId,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Version>> {
        let state = self.lock()?;
        let versions =
            state.library(owner).into_iter().flat_map(|library| library.kept.versions_of(project).rev());
        let older = versions.filter(|version| before.is_none_or(|before| version.project.revision < before));
        Ok(older.take(limit).cloned().collect())
    }

    async fn list_replaced(
        &self,
        span: Range<Timestamp>,
        after: Option<ReplacedAt>,
        limit: usize,
    ) -> Result<Vec<ReplacedAt>> {
        let state = self.lock()?;
        let versions = state.libraries.iter().flat_map(|(owner, library)| {
            library.kept.versions.iter().map(|((project, revision), version)| ReplacedAt {
                replaced: version.replaced,
                project: *project,
                revision: *revision,
                owner: *owner,
            })
        });
        let mut places: Vec<_> = versions
            .filter(|place| span.contains(&place.replaced) && after.is_none_or(|after| *place > after))
            .collect();
        places.sort_unstable();
        places.truncate(limit);
        Ok(places)
    }

    async fn thin_history(
        &self,
        owner: UserId,
        project: ProjectId,
        history: Option<Duration>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ThinnedHistory> {
        let mut state = self.lock()?;
        let Some(library) = state.library(owner) else { return Ok(ThinnedHistory::default()) };
        let times: Vec<_> = library.kept.versions_of(project).rev().map(Version::times).collect();
        let surplus = surplus(&times, history, now).into_iter().rev().take(limit);
        let versions = surplus.filter_map(|revision| library.kept.versions.get(&(project, revision)));
        let states: Vec<_> = versions.map(|version| (Holding::Version, version.project.clone())).collect();
        Ok(ThinnedHistory { purged: states.len(), doomed: state.purge(owner, states, now) })
    }
}
