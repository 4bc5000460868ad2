//! Projects as requests name them.

use notestamp_store::Title;

use crate::error::{ApiError, Code};

/// The title in a request that names a project: a text that cannot be a title is no project's.
///
/// # Errors
/// 400 where it is missing, 404 where no project can have it.
pub fn requested_title(name: &str) -> Result<Title, ApiError> {
    if name.is_empty() {
        return Err(ApiError::bad_request("the project's name is missing"));
    }
    Title::parse(name).map_err(|_| ApiError::new(Code::NotFound, "project not found"))
}
