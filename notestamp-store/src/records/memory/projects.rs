use std::num::NonZeroUsize;

use async_trait::async_trait;

use super::library::Library;
use super::{MemoryRecords, State};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ListQuery, MediaRef, Page, Precondition, Project, ProjectId, Title, UserId,
};
use crate::error::{Error, Result};
use crate::protocol::{
    DeleteReads, SaveCommit, SaveDecision, SaveReads, check_precondition, plan_delete, plan_save,
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
        let doomed = plan.doomed().cloned().collect();
        plan.rows.into_iter().for_each(|row| state.ledger.put(row));
        if let Some(media) = plan.project.media.filter(|_| !plan.lost.is_empty()) {
            state.libraries.values_mut().for_each(|library| library.repoint(&plan.lost, media));
        }
        state.libraries.entry(commit.caller.user).or_default().put(plan.project.clone());
        state.users.insert(plan.user.id, plan.user);
        Ok(SaveOutcome::Saved { project: Box::new(plan.project), doomed })
    }

    async fn delete_project_if(
        &self,
        caller: Caller,
        title: &Title,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Deleted> {
        let absent = Error::NoSuchProject;
        let mut state = self.lock()?;
        state.admit(caller, now)?;
        let owner = caller.user;
        let found = state.library(owner).and_then(|library| library.titled(title));
        let Some((id, revision)) = found.map(|project| (project.id, project.revision)) else {
            return Err(absent);
        };
        check_precondition(precondition, Some(revision))?;
        state.delete_project(owner, id, now).ok_or(absent)
    }
}

impl State {
    /// The projects of an account; absent if the account has been removed.
    fn library(&self, owner: UserId) -> Option<&Library> {
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
        SaveReads {
            session: commit.caller.session.and_then(|id| self.session(id)),
            user: self.users.get(&commit.caller.user).cloned(),
            project: project.cloned(),
            notes: self.ledger.get(commit.notes.object).cloned(),
            old_notes: project.and_then(|project| self.ledger.get(project.notes.object)).cloned(),
            media: offered.and_then(|object| self.ledger.get(object)).cloned(),
            owned,
            rows: SaveReads::distinct(named.chain(live).cloned()),
        }
    }

    /// Deletes a project, even if its owner's account has been removed.
    pub(super) fn delete_project(&mut self, owner: UserId, id: ProjectId, now: Timestamp) -> Option<Deleted> {
        let library = self.libraries.get_mut(&owner)?;
        let project = library.remove(id)?;
        let media = project.media;
        let plan = plan_delete(
            &DeleteReads {
                user: self.users.get(&owner).cloned(),
                notes: self.ledger.get(project.notes.object).cloned(),
                media: media.and_then(|media| self.ledger.get(media.object)).cloned(),
                media_shared: media.is_some_and(|media| library.media_of(media.digest).is_some()),
                project,
            },
            now,
        );
        let doomed = plan.doomed().cloned().collect();
        plan.rows.into_iter().for_each(|row| self.ledger.put(row));
        self.users.extend(plan.user.map(|user| (owner, user)));
        Some(Deleted { doomed })
    }
}
