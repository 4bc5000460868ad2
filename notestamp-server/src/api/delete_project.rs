//! Deletes a project, for both dialects.

use poem::http::HeaderMap;

use super::requested_title::requested_title;
use crate::auth::CurrentUser;
use crate::entity_tags;
use crate::error::{ApiError, failures};
use crate::state::State;

failures! {
    /// The error statuses of deleting a project.
    DeleteFailures: 400 401 403 404 412 507;
}

/// Deletes the user's project of this title, if the request's preconditions hold.
///
/// # Errors
/// [`DeleteFailures`].
pub(crate) async fn delete(
    state: &State,
    user: &CurrentUser,
    headers: &HeaderMap,
    title: &str,
) -> Result<(), ApiError> {
    let precondition = entity_tags::precondition(headers)?;
    state.store.delete_project_if(user, &requested_title(title)?, &precondition).await?;
    tracing::info!(user = %user.id, "project deleted");
    Ok(())
}
