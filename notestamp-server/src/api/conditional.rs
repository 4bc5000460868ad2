//! Responses with an entity tag, and the preconditions of the requests for them.

use std::marker::PhantomData;

use notestamp_store::Hasher;
use poem::http::header::{ETAG, HeaderName, LINK};
use poem::http::{HeaderMap, HeaderValue, StatusCode};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use crate::entity_tags;
use crate::error::ApiError;
use crate::http::entity_tag::{EntityTag, ReadCondition, read_condition};
use crate::wire::json::{Json, StreamedJson};

/// Returns whether the response is 304: whether the client already has the representation that `current` names.
/// Preconditions are evaluated before ranges (RFC 9110, 13.2.2).
///
/// # Errors
/// 400 if `If-Match` is malformed, 412 if it does not match `current`.
pub(crate) fn is_not_modified(headers: &HeaderMap, current: &EntityTag) -> Result<bool, ApiError> {
    match read_condition(headers, current)? {
        ReadCondition::Met => Ok(false),
        ReadCondition::NotModified => Ok(true),
        ReadCondition::Failed => Err(ApiError::precondition_failed(Some(current))),
    }
}

/// A payload with its entity tag, or 304 if the client has it already.
pub(crate) struct Conditional<P> {
    response: Response,
    of: PhantomData<fn() -> P>,
}

impl<P: IntoResponse> Conditional<P> {
    /// Responds with `payload`, whose entity tag is `tag`, or with 304.
    ///
    /// # Errors
    /// Those of [`is_not_modified`].
    pub(crate) fn new(headers: &HeaderMap, tag: &EntityTag, payload: P) -> Result<Self, ApiError> {
        let mut response = match is_not_modified(headers, tag)? {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => payload.into_response(),
        };
        response.headers_mut().insert(ETAG, tag.to_header());
        Ok(Self { response, of: PhantomData })
    }
}

impl<T: Type + Serialize> Conditional<StreamedJson<T>> {
    /// Responds with a page of a list, or with 304. `link` names the next page.
    ///
    /// Its entity tag is strong: the digest of the response's bytes and of the link, since a page may stay the same
    /// while a later page appears or disappears. So the tag changes exactly when the response does; newly signed media
    /// URLs are a change too.
    ///
    /// # Errors
    /// Those of [`is_not_modified`].
    pub(crate) fn page(headers: &HeaderMap, page: T, link: Option<&str>) -> Result<Self, ApiError> {
        let written = Json(page).write().map_err(ApiError::unserializable)?;
        let mut hasher = Hasher::new();
        hasher.update(written.as_bytes());
        hasher.update(link.unwrap_or_default().as_bytes());
        Self::new(headers, &entity_tags::of_digest(&hasher.finish().0), written.into())
    }
}

impl<P: IntoResponse> IntoResponse for Conditional<P> {
    fn into_response(self) -> Response {
        self.response
    }
}

impl<P: Payload> ApiResponse for Conditional<P> {
    fn meta() -> MetaResponses {
        let response = |status, description, content| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers: vec![header(
                &ETAG,
                "The entity tag of the response, for `If-Match` and `If-None-Match` in later requests.",
                true,
            )],
        };
        let content = vec![MetaMediaType { content_type: P::CONTENT_TYPE, schema: P::schema_ref() }];
        MetaResponses {
            responses: vec![
                response(200, "The current representation.", content),
                response(304, "The client already has the current representation.", Vec::new()),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        P::register(registry);
    }
}

/// A response that may name the page that follows it (RFC 8288).
pub(crate) struct Linked<R> {
    response: R,
    next: Option<String>,
}

impl<R> Linked<R> {
    /// A response, and the `Link` to the next page.
    pub(crate) fn new(response: R, next: Option<String>) -> Self {
        Self { response, next }
    }
}

impl<R: IntoResponse> IntoResponse for Linked<R> {
    fn into_response(self) -> Response {
        let mut response = self.response.into_response();
        let next =
            self.next.map(|next| HeaderValue::try_from(next).expect("a link is made of visible ASCII"));
        response.headers_mut().extend(next.map(|next| (LINK, next)));
        response
    }
}

impl<R: ApiResponse> ApiResponse for Linked<R> {
    fn meta() -> MetaResponses {
        let mut meta = R::meta();
        for response in &mut meta.responses {
            response.headers.push(header(
                &LINK,
                "The URL of the next page, with `rel=\"next\"` (RFC 8288); absent on the last page.",
                false,
            ));
        }
        meta
    }

    fn register(registry: &mut Registry) {
        R::register(registry);
    }
}

fn header(name: &HeaderName, description: &str, required: bool) -> MetaHeader {
    MetaHeader {
        name: name.as_str().to_uppercase(),
        description: Some(description.to_owned()),
        required,
        deprecated: false,
        schema: String::schema_ref(),
    }
}
