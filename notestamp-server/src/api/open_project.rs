//! Opening a project, whatever the form of the answer.

use notestamp_store::Project;
use poem::http::HeaderMap;

use super::conditional::is_not_modified;
use super::requested_title::requested_title;
use crate::auth::CurrentUser;
use crate::error::{ApiError, Code, failures};
use crate::http::entity_tag::EntityTag;
use crate::state::State;

failures! {
    /// Of opening.
    OpenFailures: 400 401 404 412;
}

/// What comes of opening.
pub enum Opening {
    /// The project.
    Opened(OpenedText),
    /// The client has the revision that this `ETag` names.
    NotModified(String),
}

/// A project with its notes, both of one revision.
pub struct OpenedText {
    pub project: Project,
    /// The notes: a JSON text, exactly as it was saved.
    pub notes: String,
    /// The revision as an `ETag`.
    pub revision: String,
}

/// Opens the user's project of that title, unless the request's preconditions are against it.
///
/// # Errors
/// [`OpenFailures`].
pub async fn open(
    state: &State,
    user: &CurrentUser,
    headers: &HeaderMap,
    title: &str,
) -> Result<Opening, ApiError> {
    let opened = state.store.open_project(user.id, &requested_title(title)?).await?;
    let tag = EntityTag::of_revision(opened.project.revision);
    if is_not_modified(headers, &tag)? {
        return Ok(Opening::NotModified(tag.to_string()));
    }
    let notes = String::from_utf8(opened.notes.into())
        .map_err(|e| ApiError::new(Code::Internal, "the notes are damaged").caused_by(e))?;
    Ok(Opening::Opened(OpenedText { project: opened.project, notes, revision: tag.to_string() }))
}
