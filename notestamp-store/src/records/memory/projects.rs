use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;

use super::{MemoryRecords, State};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, Cursor, Digest, InvalidValue, ListQuery, MediaRef, Object, ObjectId, Order, Page, Precondition,
    Project, ProjectId, Sort, Title, UserId,
};
use crate::error::{Error, Result};
use crate::protocol::{DeleteReads, SaveCommit, SaveDecision, SaveReads, plan_delete, plan_save};
use crate::records::{Deleted, ProjectStore, SaveOutcome};

#[async_trait]
impl ProjectStore for MemoryRecords {
    async fn find_project(&self, owner: UserId, title: &Title) -> Result<Option<Project>> {
        Ok(self.lock()?.library(owner).and_then(|library| library.titled(title)).cloned())
    }

    async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Option<Project>> {
        Ok(self.lock()?.library(owner).and_then(|library| library.projects.get(&id)).cloned())
    }

    async fn find_owned_media(&self, owner: UserId, digest: Digest) -> Result<Option<MediaRef>> {
        Ok(self.lock()?.library(owner).and_then(|library| library.media_of(digest)))
    }

    async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page> {
        if query.after.as_ref().is_some_and(|cursor| cursor.sort() != query.sort) {
            return Err(InvalidValue::new("cursor", "was made for another sort").into());
        }
        let state = self.lock()?;
        let page = state.library(owner).map(|library| library.page(query));
        Ok(page.unwrap_or(Page { projects: Vec::new(), next: None }))
    }

    async fn commit_save(&self, commit: &SaveCommit) -> Result<SaveOutcome> {
        let mut state = self.lock()?;
        let plan = match plan_save(&state.save_reads(commit), commit)? {
            SaveDecision::Save(plan) => *plan,
            SaveDecision::BytesNeeded => return Ok(SaveOutcome::BytesNeeded),
            SaveDecision::LookNeeded(media) => return Ok(SaveOutcome::LookNeeded(media)),
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
        let absent = Error::NotFound { what: "project" };
        let mut state = self.lock()?;
        state.admit(caller, now)?;
        let owner = caller.user;
        let found = state.library(owner).and_then(|library| library.titled(title));
        let Some((id, revision)) = found.map(|project| (project.id, project.revision)) else {
            return Err(absent);
        };
        precondition.check(Some(revision))?;
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
        let kept = project.and_then(|project| project.media).filter(|kept| Some(kept.digest) == digest);
        let named = [kept, owned].into_iter().flatten().filter_map(|media| self.ledger.get(media.object));
        let live = digest.and_then(|digest| self.ledger.live_media(commit.namespace, digest));
        let mut rows: Vec<Object> = Vec::new();
        for row in named.chain(live) {
            if rows.iter().all(|known| known.id != row.id) {
                rows.push(row.clone());
            }
        }
        let offered = commit.media.as_ref().and_then(|offer| offer.object());
        SaveReads {
            session: commit.caller.session.and_then(|id| self.session(id)).cloned(),
            user: self.users.get(&commit.caller.user).cloned(),
            project: project.cloned(),
            notes: self.ledger.get(commit.notes.object).cloned(),
            old_notes: project.and_then(|project| self.ledger.get(project.notes.object)).cloned(),
            media: offered.and_then(|object| self.ledger.get(object)).cloned(),
            owned,
            rows,
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

/// The projects of one account, with an index for each way to find them.
#[derive(Debug, Default)]
pub(super) struct Library {
    projects: BTreeMap<ProjectId, Project>,
    titles: HashMap<Title, ProjectId>,
    media: BTreeSet<(Digest, ProjectId)>,
    /// For each [`Sort`], the projects in its order.
    places: [BTreeMap<Cursor, ProjectId>; SORTS.len()],
}

/// In the order of their declaration, so that a sort's discriminant is its index in this array.
const SORTS: [Sort; 3] = [Sort::Saved, Sort::LastModified, Sort::Title];

impl Library {
    pub(super) fn ids(&self) -> impl Iterator<Item = ProjectId> {
        self.projects.keys().copied()
    }

    fn titled(&self, title: &Title) -> Option<&Project> {
        self.titles.get(title).and_then(|id| self.projects.get(id))
    }

    fn media_of(&self, digest: Digest) -> Option<MediaRef> {
        let first = (digest, ProjectId::from_bytes([0; 16]));
        let (found, id) = self.media.range(first..).next()?;
        self.projects.get(id).filter(|_| *found == digest).and_then(|project| project.media)
    }

    /// Adds a project, or replaces the one of its id.
    fn put(&mut self, project: Project) {
        self.remove(project.id);
        self.titles.insert(project.metadata.title.clone(), project.id);
        self.media.extend(project.media.map(|media| (media.digest, project.id)));
        for (places, sort) in self.places.iter_mut().zip(SORTS) {
            places.insert(Cursor::of(&project, sort), project.id);
        }
        self.projects.insert(project.id, project);
    }

    /// Repoints the projects that refer to lost media to other media of the same bytes.
    fn repoint(&mut self, lost: &[ObjectId], media: MediaRef) {
        for project in self.projects.values_mut() {
            if project.media.is_some_and(|media| lost.contains(&media.object)) {
                project.media = Some(media);
            }
        }
    }

    fn remove(&mut self, id: ProjectId) -> Option<Project> {
        let project = self.projects.remove(&id)?;
        self.titles.remove(&project.metadata.title);
        if let Some(media) = project.media {
            self.media.remove(&(media.digest, id));
        }
        for (places, sort) in self.places.iter_mut().zip(SORTS) {
            places.remove(&Cursor::of(&project, sort));
        }
        Some(project)
    }

    fn page(&self, query: &ListQuery) -> Page {
        let after = query.after.clone().map_or(Unbounded, Excluded);
        let places = &self.places[query.sort as usize];
        let following: Box<dyn Iterator<Item = _>> = match query.order() {
            Order::Ascending => Box::new(places.range((after, Unbounded))),
            Order::Descending => Box::new(places.range((Unbounded, after)).rev()),
        };
        let following = following.filter_map(|(_, id)| self.projects.get(id));
        let mut admitted = following.filter(|project| query.admits(project)).skip(query.skip).peekable();

        let limit = query.limit.map_or(usize::MAX, |limit| limit.get());
        let projects: Vec<Project> = admitted.by_ref().take(limit).cloned().collect();
        let more = admitted.peek().is_some();
        let next = projects.last().filter(|_| more).map(|last| Cursor::of(last, query.sort));
        Page { projects, next }
    }
}
