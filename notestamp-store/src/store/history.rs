//! The history of a project: its versions, and how it gets one of them back.

use std::num::NonZeroUsize;

use futures_util::future;

use crate::domain::{Caller, LastModified, Notes, Precondition, Project, ProjectKey, Revision};
use crate::error::{Error, Result};

use super::{SaveRequest, Store};

/// A page of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPage {
    /// The states of the project, the newest first: its current state, and its versions.
    pub states: Vec<Project>,
    /// The revision before which the next page begins; `None` on the last page.
    pub next: Option<Revision>,
}

impl Store {
    /// A page of the history of a project: its current state first, then its versions. It begins before the revision
    /// `before`, or with the current state if that is absent.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`] if the caller's session has ended.
    /// - [`Error::NoSuchProject`] if the account has no such project.
    pub async fn list_history(
        &self,
        caller: impl Into<Caller>,
        key: &ProjectKey,
        before: Option<Revision>,
        limit: NonZeroUsize,
    ) -> Result<HistoryPage> {
        let caller = caller.into();
        let current = self.find_project_by_key(caller.user, key).await?;
        let (id, is_first) = (current.id, before.is_none_or(|before| current.revision < before));
        // A save meanwhile turns the current state into a version, which must not be listed twice.
        let before = if is_first { Some(current.revision) } else { before };
        let wanted = limit.get().saturating_add(1) - usize::from(is_first);
        let versions = self.shared.records.list_versions(caller.user, id, before, wanted).await?;
        self.admit(caller).await?;
        let mut states: Vec<Project> = is_first.then_some(current).into_iter().collect();
        states.extend(versions.into_iter().map(|version| version.project));
        let has_more = states.len() > limit.get();
        states.truncate(limit.get());
        let next = states.last().filter(|_| has_more).map(|last| last.revision);
        Ok(HistoryPage { states, next })
    }

    /// Restores a state of a project: saves its notes, its metadata and its media again, or the absence of media. The
    /// state that this replaces becomes a version. The project keeps its title, and `lastModified` is the present time.
    ///
    /// # Errors
    /// Those of [`Save::commit`](super::Save::commit), [`Error::NoSuchProject`] and [`Error::NoSuchVersion`].
    pub async fn restore_revision(
        &self,
        caller: impl Into<Caller>,
        key: &ProjectKey,
        revision: Revision,
        precondition: Precondition,
    ) -> Result<Project> {
        self.restore_revision_unless(caller, key, revision, precondition, future::pending()).await
    }

    /// Restores like [`restore_revision`](Self::restore_revision), unless the future `cancelled` completes first; see
    /// [`Save::commit_unless`](super::Save::commit_unless).
    ///
    /// # Errors
    /// Those of [`restore_revision`](Self::restore_revision); [`Error::Unavailable`] if it was cancelled.
    pub async fn restore_revision_unless(
        &self,
        caller: impl Into<Caller>,
        key: &ProjectKey,
        revision: Revision,
        precondition: Precondition,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Project> {
        let caller = caller.into();
        let current = self.find_project_by_key(caller.user, key).await?;
        let opened = self.open_revision(caller, &ProjectKey::Id(current.id), revision).await?;
        let notes = Notes::parse(opened.notes).map_err(|error| Error::Corrupt(error.to_string()))?;
        let mut metadata = opened.project.metadata;
        metadata.title = current.metadata.title;
        metadata.last_modified = LastModified::at(self.shared.clock.now());
        let request = SaveRequest {
            media_digest: opened.project.media.map(|media| media.digest),
            precondition,
            ..SaveRequest::new(metadata, notes)
        };
        let mut save = self.begin_save(caller).await?;
        save.hold(opened.memory);
        match save.restoring(current.id).commit_unless(request, cancelled).await {
            // The version was thinned out after it had been opened, and its media with it.
            Err(Error::MediaNeeded) => Err(Error::NoSuchVersion),
            restored => restored,
        }
    }
}
