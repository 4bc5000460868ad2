//! Requests with preconditions, whatever they read.

use poem::http::HeaderMap;

use crate::error::ApiError;
use crate::http::entity_tag::{EntityTag, ReadCondition, read_condition};

/// Whether a request that reads what `current` names gets 304. Ask before ranges are looked at.
///
/// # Errors
/// 400 where `If-Match` cannot be read, 412 where it demands something else.
pub fn is_not_modified(headers: &HeaderMap, current: &EntityTag) -> Result<bool, ApiError> {
    match read_condition(headers, current)? {
        ReadCondition::Met => Ok(false),
        ReadCondition::NotModified => Ok(true),
        ReadCondition::Failed => Err(ApiError::precondition_failed(Some(current))),
    }
}
