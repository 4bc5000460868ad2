//! How requests name a project.

use notestamp_store::{ProjectId, ProjectKey, Title};

use crate::error::{ApiError, Code};

/// Parses the title by which a request names a project. No project can have an invalid title, hence 404.
///
/// # Errors
/// 400 if it is empty, 404 if it is not a valid title.
pub(crate) fn requested_title(name: &str) -> Result<Title, ApiError> {
    if name.is_empty() {
        return Err(ApiError::bad_request("the parameter `name` is missing"));
    }
    Title::parse(name).map_err(|_| ApiError::new(Code::NotFound, "project not found"))
}

/// Parses the id by which a request names a project.
///
/// # Errors
/// 400 if it is not an id.
pub(crate) fn requested_id(id: &str) -> Result<ProjectId, ApiError> {
    id.parse().map_err(|_| ApiError::bad_request("the parameter `id` is not the id of a project"))
}

/// The project that a request names by the parameter `name` or by `id`.
///
/// # Errors
/// 400 if the request has neither or both, and those of [`requested_title`] and [`requested_id`].
pub(crate) fn requested_project(name: Option<&str>, id: Option<&str>) -> Result<ProjectKey, ApiError> {
    match (name, id) {
        (Some(name), None) => Ok(requested_title(name)?.into()),
        (None, Some(id)) => Ok(requested_id(id)?.into()),
        (None, None) => Err(ApiError::bad_request("the parameter `name` is missing")),
        (Some(_), Some(_)) => Err(ApiError::bad_request("a request has one of `name` and `id`, not both")),
    }
}
