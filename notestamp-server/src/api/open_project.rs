//! Opens a project, for both dialects.

use bytes::Bytes;
use notestamp_store::{Project, ProjectKey, Revision};

use super::background::in_background;
use crate::auth::CurrentUser;
use crate::entity_tags;
use crate::error::{ApiError, Code, failures};
use crate::http::entity_tag::EntityTag;
use crate::state::State;
use crate::transport::HeldMemory;

failures! {
    /// The error statuses of opening a project.
    OpenFailures: 400 401 404 412;
}

/// A project with its notes, both of the same revision.
pub(crate) struct OpenedText {
    pub(crate) project: Project,
    /// The notes: a JSON text, exactly as it was saved.
    pub(crate) notes: Bytes,
    /// The revision as an entity tag.
    pub(crate) revision: EntityTag,
}

/// Opens a project of the user: its current state, or the version of this revision.
///
/// # Errors
/// [`OpenFailures`].
pub(crate) async fn open(
    state: &State,
    user: &CurrentUser,
    memory: &HeldMemory,
    key: &ProjectKey,
    revision: Option<Revision>,
) -> Result<OpenedText, ApiError> {
    let opened = match revision {
        None => state.store.open_project(user, key.clone()).await?,
        Some(revision) => state.store.open_revision(user, key, revision).await?,
    };
    memory.hold(opened.memory);
    let notes = opened.notes;
    let notes = in_background(notes.len(), move || match str::from_utf8(&notes) {
        Ok(_) => Ok(notes),
        Err(e) => Err(ApiError::new(Code::Damaged, "the notes are damaged").caused_by(e)),
    })
    .await?;
    let revision = entity_tags::of_revision(opened.project.revision);
    Ok(OpenedText { project: opened.project, notes, revision })
}
