use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use crate::domain::{
    Cursor, Digest, ListQuery, MediaRef, ObjectId, Order, Page, Project, ProjectId, Sort, Title,
};
use crate::records::ListStart;

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

    pub(super) fn get(&self, id: ProjectId) -> Option<&Project> {
        self.projects.get(&id)
    }

    pub(super) fn titled(&self, title: &Title) -> Option<&Project> {
        self.titles.get(title).and_then(|id| self.projects.get(id))
    }

    pub(super) fn media_of(&self, digest: Digest) -> Option<MediaRef> {
        let first = (digest, ProjectId::from_bytes([0; 16]));
        let (found, id) = self.media.range(first..).next()?;
        self.projects.get(id).filter(|_| *found == digest).and_then(|project| project.media)
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

    /// Repoints the projects that refer to lost media to other media of the same bytes.
    pub(super) fn repoint(&mut self, lost: &[ObjectId], media: MediaRef) {
        for project in self.projects.values_mut() {
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
