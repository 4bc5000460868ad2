//! Project titles in requests.

use notestamp_store::Title;

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
