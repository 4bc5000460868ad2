//! The response with the bytes of a project's media, the same for every route that serves media.

use notestamp_store::{Caller, MediaRef, PresignedHeaders, Project};
use poem::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION,
};
use poem::http::{Method, StatusCode};
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::{Binary, Payload as _};
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;

use super::conditional::is_not_modified;
use super::media_headers::{content_disposition, content_type, is_played};
use super::requested_project::requested_title;
use super::session_watch::SessionWatch;
use crate::auth::CurrentUser;
use crate::config::MediaDelivery;
use crate::entity_tags;
use crate::error::{ApiError, Code, Failed, failures};
use crate::http::byte_range::Selection;
use crate::http::content_disposition::Disposition;
use crate::http::fetch_metadata::is_player;
use crate::middleware::original_method::OriginalMethod;
use crate::state::State;
use crate::transport::Pace;

failures! {
    /// The error statuses of reading media.
    MediaFailures: 400 401 404 412 416;
}

/// A response of 200, 206, 304 or 307, with the same headers on every route that serves media.
pub(crate) struct MediaResponse(Response);

impl IntoResponse for MediaResponse {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for MediaResponse {
    fn meta() -> MetaResponses {
        let header = |name: &HeaderName, description: &str| MetaHeader {
            name: name.as_str().to_uppercase(),
            description: Some(description.to_owned()),
            required: true,
            deprecated: false,
            schema: String::schema_ref(),
        };
        let kept = || {
            vec![
                header(&ETAG, "The digest of the media, as an entity tag."),
                header(&CACHE_CONTROL, "Allows only the user's own browser to cache the response."),
            ]
        };
        let of_bytes = || {
            let mut headers = kept();
            headers.extend([
                header(&CONTENT_LENGTH, "The number of bytes in the body."),
                header(&ACCEPT_RANGES, "`bytes`: range requests are supported."),
                header(&CONTENT_DISPOSITION, "The name for the file when the browser saves it."),
            ]);
            headers
        };
        let mut of_range = of_bytes();
        of_range.push(header(&CONTENT_RANGE, "The position of the range, and the size of the media."));
        let response = |status, description, headers, content| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers,
        };
        let bytes = || vec![MetaMediaType { content_type: "*/*", schema: Binary::<Body>::schema_ref() }];
        MetaResponses {
            responses: vec![
                response(200, "The whole media.", of_bytes(), bytes()),
                response(206, "The requested range.", of_range, bytes()),
                response(304, "The client already has the current representation.", kept(), Vec::new()),
                response(
                    307,
                    "A media player reads the media directly from the bucket; only with `--media-delivery redirect`.",
                    vec![header(&LOCATION, "A presigned URL, valid for 15 minutes.")],
                    Vec::new(),
                ),
            ],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// What an operation that reads media returns.
pub(crate) type MediaResult = Result<MediaResponse, Failed<MediaFailures>>;

/// Responds with the media of the user's project of this title.
pub(crate) async fn media_by_title(
    state: &State,
    user: &CurrentUser,
    request: &Request,
    title: &str,
    disposition: Disposition,
) -> MediaResult {
    let project = state.store.find_project(user.id, &requested_title(title)?).await?;
    media_response(state, user, request, project, disposition).await
}

/// The sandbox for audio and video (CSP Level 3). A player in a separate tab requests its URL a second time, and the
/// browser sends the user's cookies only if the page keeps this origin. Scripts, forms, popups and plugins stay
/// forbidden.
const PLAYED_IN_A_TAB: &str = "sandbox allow-same-origin";

/// Responds to a request for media: evaluates the preconditions, then the range (RFC 9110, 13.2.2).
///
/// The bytes are sent only while the session of the caller is open.
pub(crate) async fn media_response(
    state: &State,
    caller: impl Into<Caller>,
    request: &Request,
    project: Project,
    disposition: Disposition,
) -> MediaResult {
    let Some(media) = project.media else {
        return Err(no_media().into());
    };
    let watch = SessionWatch::new(state, caller.into());
    let tag = entity_tags::of_digest(&media.digest);
    let media_type = project.media_type();
    // A browser caches the media and revalidates it on each use: a project's media may be replaced, and a session may
    // end.
    let mut response = Response::builder()
        .header(ETAG, tag.to_header())
        .header(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if is_played(&media_type) {
        // On a 304 too: a browser replaces the cached headers by those of the 304.
        response = response.header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PLAYED_IN_A_TAB));
    }
    if is_not_modified(request.headers(), &tag)? {
        return Ok(MediaResponse(response.status(StatusCode::NOT_MODIFIED).finish()));
    }
    if let Some(redirect) = redirect(state, request, &project, &media, disposition).await? {
        return Ok(redirect);
    }

    let method = OriginalMethod::of(request);
    let selection = Selection::of(method, request.headers(), media.size, &tag);
    let range = match &selection {
        Selection::Whole => 0..media.size,
        Selection::Part(range) => range.clone(),
        Selection::Unsatisfiable => {
            let error = ApiError::new(Code::RangeNotSatisfiable, "the range is beyond the end of the media");
            return Err(error.with_header(CONTENT_RANGE, &format!("bytes */{}", media.size)).into());
        }
    };
    let mut response = response
        .header(CONTENT_TYPE, content_type(&project.metadata.mimetype))
        .header(CONTENT_LENGTH, range.end - range.start)
        .header(ACCEPT_RANGES, HeaderValue::from_static("bytes"))
        .header(CONTENT_DISPOSITION, content_disposition(disposition, &project.metadata.title, &media_type));
    if let Some(content_range) = selection.content_range(media.size) {
        response = response.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, content_range);
    }
    if method == Method::HEAD {
        return Ok(MediaResponse(response.finish()));
    }
    let bytes = state.store.read_media(&project, &media, Some(range)).await?;
    let response = response.extension(Pace::OfReader);
    Ok(MediaResponse(response.body(Body::from_bytes_stream(watch.over(bytes)))))
}

/// Redirects a media player to a presigned URL, if the operator has chosen that and the blob store can presign.
///
/// Only media players: a script's request with credentials would fail the bucket's CORS check.
async fn redirect(
    state: &State,
    request: &Request,
    project: &Project,
    media: &MediaRef,
    disposition: Disposition,
) -> Result<Option<MediaResponse>, Failed<MediaFailures>> {
    let is_wanted = state.media_delivery == MediaDelivery::Redirect;
    if !is_wanted || OriginalMethod::of(request) != Method::GET || !is_player(request.headers()) {
        return Ok(None);
    }
    let media_type = project.media_type();
    let text = |value: HeaderValue| value.to_str().expect("these are made of ASCII").to_owned();
    let headers = PresignedHeaders {
        content_type: text(content_type(&project.metadata.mimetype)),
        content_disposition: text(content_disposition(disposition, &project.metadata.title, &media_type)),
    };
    let Some(url) = state.store.media_url(media, &headers).await? else { return Ok(None) };
    let redirect = Response::builder()
        .status(StatusCode::TEMPORARY_REDIRECT)
        .header(LOCATION, url.as_str())
        // The redirect is not cached, so that each later request is authorized again.
        .header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Some(MediaResponse(redirect.finish())))
}

/// 404 for a project that has no media, or whose media is stored elsewhere.
pub(crate) fn no_media() -> ApiError {
    ApiError::new(Code::NotFound, "the project has no media on this server")
}
