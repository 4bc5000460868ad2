//! Listings as answers: each has an entity tag.

use notestamp_store::Hasher;
use poem::http::HeaderMap;
use poem_openapi::types::Type;
use serde::Serialize;

use super::conditional::is_not_modified;
use crate::error::{ApiError, Code};
use crate::http::entity_tag::EntityTag;
use crate::wire::json::{Json, WrittenJson};

/// What comes of listing.
pub enum Listing<T> {
    /// The list and its `ETag`.
    Listed(WrittenJson<T>, String),
    /// The client has the list that this `ETag` names.
    NotModified(String),
}

/// Answers with a list, unless the request's preconditions are against it.
///
/// Its tag is strong: it is a digest of the very bytes of the response, and of the link to the next page. So it
/// changes when the response does and only then, whatever a list is made of; URLs of media that are signed anew
/// every five minutes are a change.
///
/// # Errors
/// 400 where `If-Match` cannot be read, 412 where it demands something else.
pub fn listed<T: Type + Serialize>(
    headers: &HeaderMap,
    list: T,
    link: Option<&str>,
) -> Result<Listing<T>, ApiError> {
    let written = Json(list).write().map_err(|e| ApiError::new(Code::Internal, "a list").caused_by(e))?;
    let mut hasher = Hasher::new();
    hasher.update(written.as_bytes());
    hasher.update(link.unwrap_or_default().as_bytes());
    let tag = EntityTag::of_digest(&hasher.finish().0);
    Ok(match is_not_modified(headers, &tag)? {
        true => Listing::NotModified(tag.to_string()),
        false => Listing::Listed(written, tag.to_string()),
    })
}
