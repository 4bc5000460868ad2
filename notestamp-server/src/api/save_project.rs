//! Saves a project, for both dialects.

use notestamp_store::Project;
use poem::http::HeaderMap;

use super::background::in_background;
use super::body_memory::BodyMemory;
use super::receive_upload::receive;
use crate::auth::CurrentUser;
use crate::entity_tags;
use crate::error::{ApiError, failures};
use crate::middleware::request_deadline::RequestDeadline;
use crate::state::State;
use crate::wire::upload::{Upload, UploadLimits};

failures! {
    /// The error statuses of saving a project.
    SaveFailures: 400 401 403 408 409 412 413 415 429 507;
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
    let mut save = state.store.begin_save(user).await?;
    let mut memory = BodyMemory::new(save.memory().clone());
    let texts = receive(body.into(), &mut save, limits, &mut memory).await?;
    let now = state.clock.now();
    let request = in_background(texts.notes_len(), move || texts.into_request(precondition, now)).await?;
    if let Some(memory) = memory.into_share() {
        save.hold(memory);
    }
    let project = save.commit_unless(request, deadline.is_up()).await?;
    tracing::info!(user = %user.id, project = %project.id, revision = %project.revision, "project saved");
    Ok(project)
}
