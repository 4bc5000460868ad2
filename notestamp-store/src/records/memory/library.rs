use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use super::kept::Kept;
use crate::domain::{
    Cursor, Digest, ListQuery, MediaRef, ObjectId, Order, Page, Project, ProjectId, ProjectKey, Sort, Title,
};
use crate::protocol::MediaUse;
use crate::records::ListStart;

/// The projects of one account, with an index for each way to find them, their versions and the trash.
#[derive(Debug, Default)]
pub(super) struct Library {
    projects: BTreeMap<ProjectId, Project>,
    titles: HashMap<Title, ProjectId>,
    media: BTreeSet<(Digest, ProjectId)>,
    /// For each [`Sort`], the projects in its order.
    places: [BTreeMap<Cursor, ProjectId>; SORTS.len()],
    pub(super) kept: Kept,
}

/// In the order of their declaration, so that a sort's discriminant is its index in this array.
const SORTS: [Sort; 3] = [Sort::Saved, Sort::LastModified, Sort::Title];

impl Library {
    pub(super) fn ids(&self) -> impl Iterator<Item = ProjectId> {
        self.projects.keys().copied()
    }

    pub(super) fn get(&self, id: ProjectId) -> Option<&Project> {
        self.projects.get(&id)
    }

    pub(super) fn find(&self, key: &ProjectKey) -> Option<&Project> {
        match key {
            ProjectKey::Title(title) => self.titled(title),
            ProjectKey::Id(id) => self.get(*id),
        }
    }

    pub(super) fn titled(&self, title: &Title) -> Option<&Project> {
        self.titles.get(title).and_then(|id| self.projects.get(id))
    }

    /// The media with this digest of a project, a version, or a project in the trash.
    pub(super) fn media_of(&self, digest: Digest) -> Option<MediaRef> {
        let mut shown = self.with_media(digest).filter_map(|project| project.media);
        shown.next().or_else(|| self.kept.media_of(digest))
    }

    /// How the records of the account use media with this digest, apart from the project `except`.
    pub(super) fn media_use(&self, digest: Digest, except: Option<ProjectId>) -> MediaUse {
        MediaUse {
            shown: self.with_media(digest).any(|project| Some(project.id) != except),
            kept: self.kept.media_of(digest).is_some(),
        }
    }

    fn with_media(&self, digest: Digest) -> impl Iterator<Item = &Project> {
        let first = (digest, ProjectId::from_bytes([0; 16]));
        let found = self.media.range(first..).take_while(move |(found, _)| *found == digest);
        found.filter_map(|(_, id)| self.projects.get(id))
    }

    /// Adds a project, or replaces the one of its id.
    pub(super) fn put(&mut self, project: Project) {
        self.remove(project.id);
        self.titles.insert(project.metadata.title.clone(), project.id);
        self.media.extend(project.media.map(|media| (media.digest, project.id)));
        for (places, sort) in self.places.iter_mut().zip(SORTS) {
            places.insert(Cursor::of(&project, sort), project.id);
        }
        self.projects.insert(project.id, project);
    }

    /// Repoints all records that refer to lost media to other media of the same bytes.
    pub(super) fn repoint(&mut self, lost: &[ObjectId], media: MediaRef) {
        for project in self.projects.values_mut().chain(self.kept.states_mut()) {
            if project.media.is_some_and(|media| lost.contains(&media.object)) {
                project.media = Some(media);
            }
        }
    }

    pub(super) fn remove(&mut self, id: ProjectId) -> Option<Project> {
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

    pub(super) fn page(&self, query: &ListQuery) -> Page {
        let found = self.selected(query).take(query.wanted().unwrap_or(usize::MAX));
        Page::of(found.cloned().collect(), query)
    }

    /// The first `len` projects that a query selects, and the ids of the others.
    pub(super) fn start(&self, query: &ListQuery, len: usize) -> ListStart {
        let mut selected = self.selected(query);
        let projects = selected.by_ref().take(len).cloned().collect();
        ListStart { projects, rest: selected.map(|project| project.id).collect() }
    }

    /// What a query selects, without its limit.
    fn selected<'a>(&'a self, query: &'a ListQuery) -> impl Iterator<Item = &'a Project> {
        let after = query.after().map_or(Unbounded, |cursor| Excluded(cursor.clone()));
        let places = &self.places[query.sort() as usize];
        let following: Box<dyn Iterator<Item = _>> = match query.order() {
            Order::Ascending => Box::new(places.range((after, Unbounded))),
            Order::Descending => Box::new(places.range((Unbounded, after)).rev()),
        };
        let following = following.filter_map(|(_, id)| self.projects.get(id));
        following.filter(|project| query.admits(project)).skip(query.skip)
    }
}
