//! Deleting a project, whatever the form of the answer.

use super::requested_title::requested_title;
use crate::auth::CurrentUser;
use crate::error::{ApiError, failures};
use crate::state::State;

failures! {
    /// Of deleting.
    DeleteFailures: 400 401 403 404 507;
}

/// Deletes the user's project of that title.
///
/// # Errors
/// [`DeleteFailures`].
pub async fn delete(state: &State, user: &CurrentUser, title: &str) -> Result<(), ApiError> {
    state.store.delete_project(user, &requested_title(title)?).await?;
    tracing::info!(user = %user.id, "project deleted");
    Ok(())
}
