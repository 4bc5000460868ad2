//! Exports an account, file by file, in the layout of [`archive`](crate::archive).

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::vec;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::archive::{AmbiguousNames, Folder, FolderName, Place};
use crate::blob::ByteStream;
use crate::clock::Timestamp;
use crate::domain::{
    Caller, ListQuery, MediaRef, Project, ProjectId, ProjectKey, Revision, TrashCursor, Trashed, Version,
};
use crate::error::{Error, Result, error_chain};
use crate::memory_budget::MemoryShare;

use super::uploads::{EXPORTS_AT_ONCE_MAX, UploadPlace};
use super::{Opened, Store};

/// How many records one step reads.
const STEP: usize = 64;

/// Which states of an account's projects are exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ExportScope {
    /// The current states.
    #[default]
    Current,
    /// The history and the trash too.
    All,
}

/// A file of an export.
pub struct ExportedFile {
    /// Its path in the archive: names of files and folders that are valid on every system, separated by `/`.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// When its state of the project was saved.
    pub modified: Timestamp,
    /// The bytes: as many as `size`, or an error.
    pub bytes: ByteStream,
    /// The memory that the bytes take, if they are in memory: keep it as long as them.
    pub memory: Option<MemoryShare>,
}

/// A step of an export.
pub enum Exported {
    /// A file.
    File(ExportedFile),
    /// Something that cannot be exported, because it is damaged; the export goes on.
    Damaged {
        /// The title of the project; `None` if that cannot be read either.
        title: Option<String>,
        /// What is damaged, and how.
        detail: String,
    },
}

/// An export of an account in progress; see [`Store::export`].
pub struct Export {
    store: Store,
    caller: Caller,
    scope: ExportScope,
    ambiguous: AmbiguousNames,
    /// The places in the trash of the projects that are left to export, with the first deleted first.
    trash: vec::IntoIter<TrashCursor>,
    /// The projects that are left to export, with the first saved first.
    projects: vec::IntoIter<ProjectId>,
    /// What is next, of the project that is being exported.
    steps: VecDeque<Step>,
    /// Among the exports in progress of the account.
    _place: UploadPlace,
}

/// A part of a project.
enum Step {
    Damaged { title: Option<String>, detail: String },
    File(Small),
    State(Box<State>),
    Media { project: Box<Project>, media: MediaRef, path: String },
}

/// A file that is in memory.
struct Small {
    path: String,
    bytes: Bytes,
    modified: Timestamp,
    memory: Option<MemoryShare>,
}

/// A state that is to be read.
struct State {
    place: Place,
    name: FolderName,
    project: Project,
    replaced: Option<Timestamp>,
    deleted: Option<Timestamp>,
}

impl Store {
    /// Begins to export an account: its projects, the first saved first, so that an import in the same order keeps the
    /// order. With [`ExportScope::All`], the trash comes first, and each project comes after its versions.
    ///
    /// Each state of a project is consistent in itself: its metadata, notes and media belong together. The export is
    /// that of the projects that exist when it begins, each as it is when its turn comes.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`] if the caller's session has ended.
    /// - [`Error::TooManyExports`] if two of the account are in progress for a few seconds.
    pub async fn export(&self, caller: impl Into<Caller>, scope: ExportScope) -> Result<Export> {
        let caller = caller.into();
        let max = EXPORTS_AT_ONCE_MAX;
        let begun = self.shared.exports.begin(caller.user).await;
        let place = begun.map_err(|_| Error::TooManyExports { max })?;
        let (mut ambiguous, mut projects) = (AmbiguousNames::default(), Vec::new());
        let mut listed = self.stream_projects(caller, &ListQuery::default()).await?;
        while let Some(chunk) = listed.next_chunk().await? {
            for project in chunk {
                ambiguous.add(&project.metadata.title);
                projects.push(project.id);
            }
        }
        projects.reverse();
        let trash = match scope {
            ExportScope::Current => Vec::new(),
            ExportScope::All => self.places_in_trash(caller).await?,
        };
        Ok(Export {
            store: self.clone(),
            caller,
            scope,
            ambiguous,
            trash: trash.into_iter(),
            projects: projects.into_iter(),
            steps: VecDeque::new(),
            _place: place,
        })
    }

    async fn places_in_trash(&self, caller: Caller) -> Result<Vec<TrashCursor>> {
        const LIMIT: NonZeroUsize = NonZeroUsize::new(STEP).expect("it is not 0");
        let (mut places, mut after) = (Vec::new(), None);
        loop {
            let page = self.list_trash(caller, after, LIMIT).await?;
            places.extend(page.trashed.iter().map(TrashCursor::of));
            after = page.next;
            if after.is_none() {
                places.reverse();
                return Ok(places);
            }
        }
    }
}

impl Export {
    /// How many projects are left to export, besides the one that is being exported.
    pub fn projects_left(&self) -> usize {
        self.projects.len() + self.trash.len()
    }

    /// The next file; `None` at the end. All bytes of a file must be taken before the next call.
    ///
    /// The session of the caller is checked for each state of a project, but not while its media is read.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`] if the caller's session has ended.
    /// - [`Error::OutOfMemory`] if other requests hold too much memory.
    /// - Those of the backends.
    pub async fn next(&mut self) -> Result<Option<Exported>> {
        loop {
            match self.steps.pop_front() {
                Some(Step::Damaged { title, detail }) => {
                    return Ok(Some(Exported::Damaged { title, detail }));
                }
                Some(Step::File(file)) => return Ok(Some(Exported::File(file.into()))),
                Some(Step::State(state)) => self.read_state(*state).await?,
                Some(Step::Media { project, media, path }) => {
                    if let Some(exported) = self.read_media(&project, &media, path).await? {
                        return Ok(Some(exported));
                    }
                }
                None if !self.begin_project().await? => return Ok(None),
                None => {}
            }
        }
    }

    /// Finds the states of the next project; returns whether there is one.
    async fn begin_project(&mut self) -> Result<bool> {
        if let Some(place) = self.trash.next() {
            if let Some(Trashed { project, deleted }) = self.find_trashed(place).await? {
                self.push_states(project, Some(deleted)).await?;
            }
            return Ok(true);
        }
        let Some(id) = self.projects.next() else { return Ok(false) };
        match self.store.find_project_by_id(self.caller.user, id).await {
            Ok(project) => self.push_states(project, None).await?,
            // It has been deleted meanwhile.
            Err(Error::NoSuchProject) => {}
            Err(Error::Corrupt(detail)) => {
                let detail = format!("the record {id} is damaged: {detail}");
                self.push_damaged(None, detail);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// The project at a place in the trash, if it is still there.
    async fn find_trashed(&self, place: TrashCursor) -> Result<Option<Trashed>> {
        // The list begins after a place, so it begins at this one if it begins after the place with the next id.
        let next = u128::from_be_bytes(*place.id.as_bytes()).saturating_add(1);
        let before = TrashCursor { id: ProjectId::from_bytes(next.to_be_bytes()), ..place };
        let found = self.store.shared.records.list_trash(self.caller.user, Some(before), 1).await?;
        Ok(found.into_iter().find(|trashed| trashed.project.id == place.id))
    }

    /// Adds the versions of a project, the oldest first, and then its latest state.
    async fn push_states(&mut self, project: Project, deleted: Option<Timestamp>) -> Result<()> {
        let title = &project.metadata.title;
        // Names in the trash end in a part of the id, so they are not ambiguous.
        let name = FolderName::of(title, deleted.is_none() && self.ambiguous.contains(title));
        let id = project.id;
        if self.scope == ExportScope::All {
            for version in self.versions(id, project.revision).await? {
                let revision = version.project.revision;
                let place = match deleted {
                    None => Place::Version(revision),
                    Some(_) => Place::TrashedVersion(id, revision),
                };
                let (name, project, replaced) = (name.clone(), version.project, Some(version.replaced));
                let state = State { place, name, project, replaced, deleted: None };
                self.steps.push_back(Step::State(Box::new(state)));
            }
        }
        let place = if deleted.is_some() { Place::Trashed(id) } else { Place::Current };
        let state = State { place, name, project, replaced: None, deleted };
        self.steps.push_back(Step::State(Box::new(state)));
        Ok(())
    }

    /// The versions of a project before this revision, the oldest first. Thinning keeps a history short.
    async fn versions(&self, id: ProjectId, before: Revision) -> Result<Vec<Version>> {
        let (mut versions, mut before) = (Vec::new(), before);
        loop {
            let records = &self.store.shared.records;
            let page = records.list_versions(self.caller.user, id, Some(before), STEP).await?;
            let Some(last) = page.last() else { break };
            before = last.project.revision;
            versions.extend(page);
        }
        versions.reverse();
        Ok(versions)
    }

    /// Reads the notes of a state, and adds its files.
    async fn read_state(&mut self, state: State) -> Result<()> {
        let State { place, name, project, replaced, deleted } = state;
        let title = project.metadata.title.as_str().to_owned();
        let opened = match self.open(place, project.id, deleted).await {
            Ok(opened) => opened,
            // It has been deleted, thinned out or restored meanwhile.
            Err(Error::NoSuchProject | Error::NoSuchVersion) => return Ok(()),
            Err(Error::Corrupt(detail)) => {
                self.push_damaged(Some(title), detail);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.store.admit(self.caller).await?;
        let Opened { project, notes, memory } = opened;
        let (folder, saved) = (Folder::of(place, &name), project.saved);
        let metadata = folder.metadata_file(&project);
        let details = folder.details_file(&project, replaced, deleted);
        // From the last to the first: they come before the next state.
        if let Some(media) = project.media {
            let path = folder.media_path(&project);
            self.steps.push_front(Step::Media { project: Box::new(project), media, path });
        }
        let path = folder.notes_path();
        self.steps.push_front(Step::File(Small {
            path,
            bytes: notes,
            modified: saved,
            memory: Some(memory),
        }));
        for (path, text) in [details, metadata] {
            let file = Small { path, bytes: text.into(), modified: saved, memory: None };
            self.steps.push_front(Step::File(file));
        }
        Ok(())
    }

    /// Reads the notes of a state as it is now. A version never changes, but the current state does.
    async fn open(&self, place: Place, id: ProjectId, deleted: Option<Timestamp>) -> Result<Opened> {
        let (store, owner) = (&self.store, self.caller.user);
        match place {
            Place::Current => store.open_project(self.caller, ProjectKey::Id(id)).await,
            Place::Version(revision) | Place::TrashedVersion(_, revision) => {
                let find = async || {
                    let version = store.shared.records.find_version(owner, id, revision).await?;
                    version.map(|version| version.project).ok_or(Error::NoSuchVersion)
                };
                store.read_state(self.caller, find).await
            }
            Place::Trashed(_) => {
                let place = TrashCursor { deleted: deleted.unwrap_or(Timestamp::MAX), id };
                let find = async || {
                    let trashed = self.find_trashed(place).await?;
                    trashed.map(|trashed| trashed.project).ok_or(Error::NoSuchProject)
                };
                store.read_state(self.caller, find).await
            }
        }
    }

    async fn read_media(
        &mut self,
        project: &Project,
        media: &MediaRef,
        path: String,
    ) -> Result<Option<Exported>> {
        let title = || Some(project.metadata.title.as_str().to_owned());
        match self.store.read_media(project, media, None).await {
            Ok(bytes) => {
                let (size, modified) = (media.size, project.saved);
                Ok(Some(Exported::File(ExportedFile { path, size, modified, bytes, memory: None })))
            }
            Err(error @ Error::Corrupt(_)) => {
                let detail = format!("the media is left out: {}", error_chain(&error));
                Ok(Some(Exported::Damaged { title: title(), detail }))
            }
            // The project has been deleted since its notes were read, and the bytes are gone, or it is in the trash.
            Err(Error::NoSuchProject) => {
                let detail = "the media is left out: its bytes are missing".to_owned();
                Ok(Some(Exported::Damaged { title: title(), detail }))
            }
            Err(error) => Err(error),
        }
    }

    fn push_damaged(&mut self, title: Option<String>, detail: String) {
        self.steps.push_front(Step::Damaged { title, detail });
    }
}

impl From<Small> for ExportedFile {
    fn from(Small { path, bytes, modified, memory }: Small) -> Self {
        let size = bytes.len() as u64;
        Self { path, size, modified, bytes: stream::iter([Ok(bytes)]).boxed(), memory }
    }
}
