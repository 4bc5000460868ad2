//! Saves a project, for both dialects.

use notestamp_store::Project;
use poem::http::HeaderMap;

use crate::auth::CurrentUser;
use crate::error::{ApiError, failures};
use crate::http::entity_tag::precondition;
use crate::middleware::request_deadline::RequestDeadline;
use crate::state::State;
use crate::wire::upload::SaveBody;

failures! {
    /// The error statuses of saving a project.
    SaveFailures: 400 401 403 408 409 412 413 415 507;
}

/// Receives a save and commits it, if the request's preconditions hold.
///
/// # Errors
/// [`SaveFailures`].
pub async fn save(
    state: &State,
    user: &CurrentUser,
    time: &RequestDeadline,
    headers: &HeaderMap,
    body: impl SaveBody,
) -> Result<Project, ApiError> {
    let precondition = precondition(headers)?;
    let mut save = state.store.begin_save(user);
    let mut request = body.receive(&mut save, state).await?;
    request.precondition = precondition;
    let project = save.commit_unless(request, time.is_up()).await?;
    tracing::info!(user = %user.id, project = %project.id, revision = %project.revision, "project saved");
    Ok(project)
}
