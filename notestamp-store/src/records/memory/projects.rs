use std::num::NonZeroUsize;

use async_trait::async_trait;

use super::library::Library;
use super::{MemoryRecords, State};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ListQuery, MediaRef, Object, Page, Precondition, Project, ProjectId, ProjectKey,
    Revision, Title, UserId, Version,
};
use crate::error::{Error, Result};
use crate::protocol::thinning::EXAMINED_MAX;
use crate::protocol::{
    Holding, PURGED_FOR_QUOTA_MAX, SaveCommit, SaveDecision, SaveReads, check_precondition, exceeds_quota,
    plan_save,
};
use crate::records::{Deleted, ListStart, ProjectStore, SaveOutcome};

#[async_trait]
impl ProjectStore for MemoryRecords {
    async fn find_project(&self, owner: UserId, title: &Title) -> Result<Option<Project>> {
        Ok(self.lock()?.library(owner).and_then(|library| library.titled(title)).cloned())
    }

    async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Option<Project>> {
        Ok(self.lock()?.library(owner).and_then(|library| library.get(id)).cloned())
    }

    async fn find_owned_media(&self, owner: UserId, digest: Digest) -> Result<Option<MediaRef>> {
        Ok(self.lock()?.library(owner).and_then(|library| library.media_of(digest)))
    }

    async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page> {
        let state = self.lock()?;
        let page = state.library(owner).map(|library| library.page(query));
        Ok(page.unwrap_or_else(Page::empty))
    }

    async fn start_list(&self, owner: UserId, query: &ListQuery, len: NonZeroUsize) -> Result<ListStart> {
        let state = self.lock()?;
        Ok(state.library(owner).map(|library| library.start(query, len.get())).unwrap_or_default())
    }

    async fn find_projects_by_ids(&self, owner: UserId, ids: &[ProjectId]) -> Result<Vec<Project>> {
        let state = self.lock()?;
        let library = state.library(owner);
        Ok(ids.iter().filter_map(|id| library?.get(*id)).cloned().collect())
    }

    async fn commit_save(&self, commit: &SaveCommit) -> Result<SaveOutcome> {
        let mut state = self.lock()?;
        let plan = match plan_save(&state.save_reads(commit), commit)? {
            SaveDecision::Save(plan) => *plan,
            SaveDecision::BytesNeeded => return Ok(SaveOutcome::BytesNeeded),
            SaveDecision::CheckNeeded(media) => return Ok(SaveOutcome::CheckNeeded(media)),
        };
        let mut doomed: Vec<_> = plan.doomed().cloned().collect();
        if let (Some(row), Some(bytes)) = (plan.inline, commit.notes.inline_bytes()) {
            state.ledger.put_inline(row, bytes.clone());
        }
        plan.rows.into_iter().for_each(|row| state.ledger.put(row));
        let (owner, id) = (commit.caller.user, plan.project.id);
        let library = state.libraries.entry(owner).or_default();
        library.kept.versions.extend(plan.version.map(|version| ((id, version.project.revision), version)));
        if let Some(media) = plan.project.media.filter(|_| !plan.lost.is_empty()) {
            state.libraries.values_mut().for_each(|library| library.repoint(&plan.lost, media));
        }
        state.libraries.entry(owner).or_default().put(plan.project.clone());
        state.users.insert(owner, plan.user);
        doomed.extend(state.purge_surplus(commit, id, &plan.thinned));
        Ok(SaveOutcome::Saved { project: Box::new(plan.project), doomed })
    }

    async fn delete_project_if(
        &self,
        caller: Caller,
        key: &ProjectKey,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Deleted> {
        let mut state = self.lock()?;
        state.admit(caller, now)?;
        let owner = caller.user;
        let found = state.library(owner).and_then(|library| library.find(key)).cloned();
        let project = found.ok_or(Error::NoSuchProject)?;
        check_precondition(precondition, Some(project.revision))?;
        let states = state.with_versions(Holding::Current, project, owner);
        Ok(Deleted { doomed: state.purge(owner, states, now) })
    }
}

impl State {
    /// The projects of an account; absent if the account has been removed.
    pub(super) fn library(&self, owner: UserId) -> Option<&Library> {
        self.libraries.get(&owner).filter(|_| self.users.contains_key(&owner))
    }

    fn save_reads(&self, commit: &SaveCommit) -> SaveReads {
        let library = self.library(commit.caller.user);
        let project = library.and_then(|library| library.titled(&commit.metadata.title));
        let digest = commit.media.as_ref().map(|offer| offer.digest());
        let owned = library.zip(digest).and_then(|(library, digest)| library.media_of(digest));
        let named = [commit.kept_media(project), owned].into_iter().flatten();
        let named = named.filter_map(|media| self.ledger.get(media.object));
        let live = digest.and_then(|digest| self.ledger.live_media(commit.namespace, digest));
        let offered = commit.media.as_ref().and_then(|offer| offer.object());
        let old_media = project.and_then(|project| project.media);
        let id = project.map(|project| project.id);
        let others = |digest: Option<Digest>| {
            library.zip(digest).map(|(library, digest)| library.media_use(digest, id)).unwrap_or_default()
        };
        let versions = library.zip(id).into_iter().flat_map(|(library, id)| library.kept.versions_of(id));
        SaveReads {
            session: commit.caller.session.and_then(|id| self.session(id)),
            user: self.users.get(&commit.caller.user).cloned(),
            project: project.cloned(),
            notes: self.ledger.get(commit.notes.written().object).cloned(),
            old_notes: project.and_then(|project| self.ledger.get(project.notes.object)).cloned(),
            media: offered.and_then(|object| self.ledger.get(object)).cloned(),
            old_media: old_media.and_then(|media| self.ledger.get(media.object)).cloned(),
            old_media_others: others(old_media.map(|media| media.digest)),
            owned,
            new_media_others: others(digest),
            versions: versions.rev().take(EXAMINED_MAX).map(Version::times).collect(),
            rows: SaveReads::distinct(named.chain(live).cloned()),
        }
    }

    /// Purges the versions that a save has thinned out and, while the account exceeds its quota, the oldest of what it
    /// keeps.
    fn purge_surplus(&mut self, commit: &SaveCommit, id: ProjectId, thinned: &[Revision]) -> Vec<Object> {
        let (owner, now) = (commit.caller.user, commit.now);
        let kept = self.libraries.get(&owner).map(|library| &library.kept);
        let thinned = thinned.iter().filter_map(|revision| kept?.versions.get(&(id, *revision)));
        let thinned = thinned.map(|version| (Holding::Version, version.project.clone())).collect();
        let mut doomed = self.purge(owner, thinned, now);
        for _ in 0..PURGED_FOR_QUOTA_MAX {
            if !self.users.get(&owner).is_some_and(|user| exceeds_quota(user, commit)) {
                break;
            }
            let Some(oldest) = self.oldest_kept(owner) else { break };
            doomed.extend(self.purge(owner, oldest, now));
        }
        doomed
    }
}
