//! Deletes a project, for both dialects.

use notestamp_store::ProjectKey;
use poem::http::HeaderMap;

use crate::auth::CurrentUser;
use crate::entity_tags;
use crate::error::{ApiError, failures};
use crate::state::State;

failures! {
    /// The error statuses of deleting a project.
    DeleteFailures: 400 401 403 404 412 507;
}

/// Deletes a project of the user, if the request's preconditions hold: to the trash, or permanently.
///
/// # Errors
/// [`DeleteFailures`].
pub(crate) async fn delete(
    state: &State,
    user: &CurrentUser,
    headers: &HeaderMap,
    key: ProjectKey,
    permanently: bool,
) -> Result<(), ApiError> {
    let precondition = entity_tags::precondition(headers)?;
    match permanently {
        true => state.store.delete_project_permanently_if(user, key, &precondition).await?,
        false => state.store.delete_project_if(user, key, &precondition).await?,
    }
    tracing::info!(user = %user.id, permanently, "project deleted");
    Ok(())
}
