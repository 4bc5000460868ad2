//! Saves a project, for both dialects.

use notestamp_store::Project;
use poem::http::HeaderMap;

use super::receive_upload::receive;
use crate::auth::CurrentUser;
use crate::entity_tags;
use crate::error::{ApiError, failures};
use crate::middleware::request_deadline::RequestDeadline;
use crate::state::State;
use crate::wire::upload::{Upload, UploadLimits};

failures! {
    /// The error statuses of saving a project.
    SaveFailures: 400 401 403 408 409 412 413 415 507;
}

/// Receives a save and commits it, if the request's preconditions hold.
///
/// # Errors
/// [`SaveFailures`].
pub(crate) async fn save(
    state: &State,
    user: &CurrentUser,
    deadline: &RequestDeadline,
    headers: &HeaderMap,
    body: impl Into<Upload>,
) -> Result<Project, ApiError> {
    let precondition = entity_tags::precondition(headers)?;
    let limits = UploadLimits::new(state.store.settings().notes_bytes_max);
    let mut save = state.store.begin_save(user);
    let texts = receive(body.into(), &mut save, limits).await?;
    let request = texts.into_request(precondition, state.clock.now())?;
    let project = save.commit_unless(request, deadline.is_up()).await?;
    tracing::info!(user = %user.id, project = %project.id, revision = %project.revision, "project saved");
    Ok(project)
}
