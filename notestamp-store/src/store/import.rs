//! Imports the projects of an archive. What is there already is found by its content, so an import can be repeated.

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

use crate::archive::ArchivedMetadata;
use crate::clock::Timestamp;
use crate::domain::{Caller, Digest, Notes, Precondition, Project, ProjectKey, Title, TrashCursor, UserId};
use crate::error::{Error, Result};

use super::{SaveRequest, Store};

/// How many projects in the trash are read at once.
const STEP: usize = 64;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A state of a project in an archive, without its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchivedState {
    /// What its files tell about it.
    pub metadata: ArchivedMetadata,
    /// The digest of its notes.
    pub notes: Digest,
    /// The digest of its media; `None` if the archive has no media of it.
    pub media: Option<Digest>,
}

/// A project in an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchivedProject {
    /// Its states, the oldest first; at least one.
    pub states: Vec<ArchivedState>,
    /// Whether it is in the trash of the archive.
    pub is_trashed: bool,
}

/// What is to be imported of a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportPlan {
    /// The title under which it is imported.
    pub title: Title,
    /// The states that are to be imported, in this order; none if they are there already.
    pub steps: Vec<ImportStep>,
    /// When the project is deleted after the last step: it is moved to the trash.
    pub deleted: Option<Timestamp>,
    /// What is not imported, and why.
    pub left_out: Option<&'static str>,
}

/// A state that is to be imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImportStep {
    /// The index of the state among those of the project.
    pub state: usize,
    /// When it counts as saved; `None` means at the time of the import.
    pub saved: Option<Timestamp>,
}

/// How a state is to be imported.
#[derive(Clone, Debug)]
pub struct StateImport {
    /// The state; its title is the one under which it is imported.
    pub state: ArchivedState,
    /// Its notes.
    pub notes: Notes,
    /// When it counts as saved; `None` means now.
    pub saved: Option<Timestamp>,
    /// When the project is deleted afterwards, if it goes to the trash.
    pub deleted: Option<Timestamp>,
}

impl Store {
    /// Decides what is to be imported of a project, by comparing its states with those that the account has.
    ///
    /// - A project whose latest state the account has is not imported, whatever its history.
    /// - Where an earlier import was interrupted, only the states after it are imported.
    /// - A title that has other content gets the imported states as saves, so what it has now becomes a version.
    /// - A project of the trash is imported if neither the trash nor the account has it; under another title if the
    ///   account has a project of its title.
    /// - The times are kept. If versions have expired by them, the times of the project are moved by whole days, so that
    ///   its latest state is less than a day old.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are no states; those of the backends.
    pub async fn plan_import(
        &self,
        caller: impl Into<Caller>,
        project: &ArchivedProject,
    ) -> Result<ImportPlan> {
        let owner = caller.into().user;
        let Some(last) = project.states.last() else {
            return Err(Error::Corrupt("an archived project without states".to_owned()));
        };
        let title = last.metadata.metadata.title.clone();
        match project.is_trashed {
            false => self.plan_project(owner, project, title).await,
            true => self.plan_trashed(owner, project, title).await,
        }
    }

    async fn plan_project(
        &self,
        owner: UserId,
        project: &ArchivedProject,
        title: Title,
    ) -> Result<ImportPlan> {
        let states = &project.states;
        let wanted = match self.shared.records.find_project(owner, &title).await? {
            None => (0..states.len()).collect(),
            Some(current) => self.missing_states(owner, states, &current).await?,
        };
        Ok(self.plan_of(project, title, wanted))
    }

    /// The states that a project does not have, if it does not have the latest one.
    async fn missing_states(
        &self,
        owner: UserId,
        states: &[ArchivedState],
        current: &Project,
    ) -> Result<Vec<usize>> {
        for (index, state) in states.iter().enumerate().rev() {
            if self.has_state(state, current).await? {
                return Ok((index + 1..states.len()).collect());
            }
        }
        let mut versions = Vec::new();
        let mut before = Some(current.revision);
        while before.is_some() {
            let page = self.shared.records.list_versions(owner, current.id, before, STEP).await?;
            before = page.last().map(|version| version.project.revision);
            versions.extend(page);
        }
        let mut missing = Vec::new();
        for (index, state) in states.iter().enumerate() {
            let mut is_there = false;
            for version in versions.iter().take_while(|_| index + 1 < states.len()) {
                is_there = is_there || self.has_state(state, &version.project).await?;
            }
            if !is_there {
                missing.push(index);
            }
        }
        Ok(missing)
    }

    async fn plan_trashed(
        &self,
        owner: UserId,
        project: &ArchivedProject,
        title: Title,
    ) -> Result<ImportPlan> {
        let nothing =
            |left_out| ImportPlan { title: title.clone(), steps: Vec::new(), deleted: None, left_out };
        if self.settings().trash.is_none() {
            return Ok(nothing(Some("the store keeps no trash")));
        }
        if self.is_in_account(owner, project).await? {
            return Ok(nothing(None));
        }
        let states = &project.states;
        let Some(current) = self.shared.records.find_project(owner, &title).await? else {
            return Ok(self.plan_of(project, title, (0..states.len()).collect()));
        };
        // An interrupted import of this project has left one of its earlier states under its title, saved at that time.
        for (index, state) in states.iter().enumerate().take(states.len() - 1) {
            let saved = state.metadata.details.as_ref().and_then(|details| details.saved);
            if saved == Some(current.saved) && self.has_state(state, &current).await? {
                return Ok(self.plan_of(project, title, (index + 1..states.len()).collect()));
            }
        }
        let title = self.free_title(owner, &title).await?;
        Ok(self.plan_of(project, title, (0..states.len()).collect()))
    }

    /// Whether the trash or the account has a project of the archive's trash, which may have been restored since.
    async fn is_in_account(&self, owner: UserId, project: &ArchivedProject) -> Result<bool> {
        let Some(last) = project.states.last() else { return Ok(true) };
        let id = last.metadata.details.as_ref().and_then(|details| details.id);
        if let Some(id) = id
            && self.shared.records.find_project_by_id(owner, id).await?.is_some()
        {
            return Ok(true);
        }
        let mut after = None;
        loop {
            let page = self.shared.records.list_trash(owner, after, STEP).await?;
            for trashed in &page {
                if Some(trashed.project.id) == id || self.has_state(last, &trashed.project).await? {
                    return Ok(true);
                }
            }
            let Some(last) = page.last() else { return Ok(false) };
            after = Some(TrashCursor::of(last));
        }
    }

    /// A title that no project of the account has: `TITLE (2)`, or the next number.
    async fn free_title(&self, owner: UserId, title: &Title) -> Result<Title> {
        let mut number = 2_u64;
        loop {
            let numbered = title.numbered(number);
            if self.shared.records.find_project(owner, &numbered).await?.is_none() {
                return Ok(numbered);
            }
            number += 1;
        }
    }

    /// Whether a project is in this state; titles are not compared.
    async fn has_state(&self, state: &ArchivedState, project: &Project) -> Result<bool> {
        if !state.describes(project) {
            return Ok(false);
        }
        let row = self.shared.records.find_object(project.notes.object).await?;
        Ok(row.and_then(|row| row.content).is_some_and(|(digest, _)| digest == state.notes))
    }

    /// The plan to import these states.
    fn plan_of(&self, project: &ArchivedProject, title: Title, mut wanted: Vec<usize>) -> ImportPlan {
        let (now, states) = (self.shared.clock.now(), &project.states);
        let last = states.len() - 1;
        let mut left_out = None;
        if self.settings().history.is_none() && wanted.iter().any(|index| *index < last) {
            wanted.retain(|index| *index == last);
            left_out = Some("its history: the store keeps none");
        }
        let saved = |state: &ArchivedState| state.metadata.details.as_ref().and_then(|it| it.saved);
        let shift = self.shift_of(&states.iter().map(saved).collect::<Vec<_>>(), now);
        let steps = wanted.into_iter().map(|state| {
            let saved = saved(&states[state]).map(|at| at.after(shift).min(now));
            ImportStep { state, saved }
        });
        let deleted = project.is_trashed.then(|| {
            let details = states[last].metadata.details.as_ref();
            let deleted = details.and_then(|details| details.deleted).unwrap_or(now).min(now);
            let is_expired = self.settings().trash.is_some_and(|keep| now.since(deleted) >= keep);
            if is_expired { now } else { deleted }
        });
        ImportPlan { title, steps: steps.collect(), deleted, left_out }
    }

    /// By how much the times of a history are moved: by whole days, if a version of it has expired.
    fn shift_of(&self, saved: &[Option<Timestamp>], now: Timestamp) -> Duration {
        let (Some(history), Some(Some(last))) = (self.settings().history, saved.last()) else {
            return Duration::ZERO;
        };
        // A version was replaced when the next state was saved.
        let replaced = saved.iter().skip(1).flatten().min();
        match replaced {
            Some(replaced) if now.since(*replaced) >= history => {
                let days = now.since(*last).as_secs() / DAY.as_secs();
                DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX))
            }
            _ => Duration::ZERO,
        }
    }

    /// Imports a state of a project: saves it under its title, unless that has this state already, and then moves the
    /// project to the trash if it belongs there. Media without bytes is media that the account has already.
    ///
    /// # Errors
    /// - [`Error::MediaNeeded`] if no bytes were given, and the account does not have the media.
    /// - Those of [`Save::write_media`](super::Save::write_media) and [`Save::commit`](super::Save::commit).
    pub async fn import_state<S, E>(
        &self,
        caller: impl Into<Caller>,
        import: StateImport,
        media: Option<S>,
    ) -> Result<()>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (caller, StateImport { state, notes, saved, deleted }) = (caller.into(), import);
        let title = state.metadata.metadata.title.clone();
        let current = self.shared.records.find_project(caller.user, &title).await?;
        let is_there = match &current {
            Some(current) => self.has_state(&state, current).await?,
            None => false,
        };
        let saving = match is_there {
            true => None,
            false => Some(self.begin_import(caller, current, state, notes, saved, media).await?),
        };
        let store = self.clone();
        // Both steps are done, even if the caller is gone: a deleted project must not come back because of an interruption.
        let finishing = self.shared.tasks.spawn(async move {
            if let Some((save, request)) = saving {
                save.commit(request).await?;
            }
            match deleted {
                Some(deleted) => store.trash_imported(caller, &title, deleted).await,
                None => Ok(()),
            }
        });
        finishing.await.map_err(|ended| Error::Unavailable { backend: "runtime", source: ended.into() })?
    }

    /// Begins the save of an imported state.
    async fn begin_import<S, E>(
        &self,
        caller: Caller,
        current: Option<Project>,
        state: ArchivedState,
        notes: Notes,
        saved: Option<Timestamp>,
        media: Option<S>,
    ) -> Result<(super::Save, SaveRequest)>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut save = self.begin_save(caller).await?;
        let ArchivedMetadata { mut metadata, details, .. } = state.metadata;
        match (current, details) {
            // What the archive leaves out is taken away, as by a restored version.
            (Some(current), Some(_)) => {
                save = save.restoring(current.id).at(saved.map(|at| at.max(current.saved)))
            }
            (Some(current), None) => metadata.extra = current.metadata.extra,
            (None, _) => save = save.at(saved),
        }
        if let Some(bytes) = media {
            save.write_media(bytes).await?;
        }
        let request = SaveRequest {
            media_digest: state.media,
            precondition: Precondition::None,
            ..SaveRequest::new(metadata, notes)
        };
        Ok((save, request))
    }

    async fn trash_imported(&self, caller: Caller, title: &Title, deleted: Timestamp) -> Result<()> {
        let key = ProjectKey::from(title);
        let max = self.settings().projects_max;
        let trashed =
            self.shared.records.trash_project_if(caller, &key, &Precondition::None, max, deleted).await?;
        self.delete_doomed_later(trashed.doomed);
        Ok(())
    }
}

impl ArchivedState {
    /// Whether this may be the state of a project: all but the title and the notes are compared.
    fn describes(&self, project: &Project) -> bool {
        let ArchivedMetadata { metadata, has_last_modified, details } = &self.metadata;
        let (is_exact, there) = (details.is_some(), &project.metadata);
        let media = project.media.map(|media| media.digest);
        // Without details, a save keeps what the archive leaves out.
        let keeps = |is_left_out: bool| !is_exact && is_left_out;
        (self.media == media || keeps(self.media.is_none()))
            && metadata.kind == there.kind
            && metadata.label == there.label
            && (media.is_some() || metadata.src == there.src || keeps(metadata.src.is_empty()))
            && (metadata.mimetype == there.mimetype || keeps(media.is_some()))
            && (!has_last_modified || metadata.last_modified == there.last_modified)
            && (!is_exact || metadata.extra == there.extra)
    }
}
