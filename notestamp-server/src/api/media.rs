use std::sync::Arc;

use futures_util::TryStreamExt as _;
use notestamp_store::{Project, ProjectId};
use poem::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue,
};
use poem::http::{Method, StatusCode};
use poem::web::Data;
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Binary, Payload as _};
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;
use poem_openapi::{ApiResponse, OpenApi};

use super::Tag;
use super::projects::title;
use crate::auth::CurrentUser;
use crate::error::{ApiError, Code, Failed, failures};
use crate::http::asked_method::AskedMethod;
use crate::http::byte_range::Selection;
use crate::http::content_disposition::{content_disposition, content_type};
use crate::http::entity_tag::{EntityTag, is_not_modified};
use crate::state::State;

/// The bytes of a project's media.
pub struct MediaFiles;

failures! {
    /// Of reading media.
    MediaFailures: 400 401 404 416;
}

/// 200, 206 or 304: an answer of bytes, with headers that are the same for every way in.
struct MediaAnswer(Response);

impl IntoResponse for MediaAnswer {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for MediaAnswer {
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
                header(&ETAG, "The digest of the media."),
                header(&CACHE_CONTROL, "That only the user's own browser may keep it."),
            ]
        };
        let of_bytes = || {
            let mut headers = kept();
            headers.extend([
                header(&CONTENT_TYPE, "The media type, where it is one that browsers show safely."),
                header(&CONTENT_LENGTH, "How many bytes follow."),
                header(&ACCEPT_RANGES, "That ranges can be asked for: `bytes`."),
                header(&CONTENT_DISPOSITION, "The file name to save it under."),
            ]);
            headers
        };
        let mut of_range = of_bytes();
        of_range.push(header(&CONTENT_RANGE, "Which bytes of how many these are."));
        let answer = |status, description, headers, content| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers,
        };
        let bytes = || vec![MetaMediaType { content_type: "*/*", schema: Binary::<Body>::schema_ref() }];
        MetaResponses {
            responses: vec![
                answer(200, "All of the media.", of_bytes(), bytes()),
                answer(206, "The range that was asked for.", of_range, bytes()),
                answer(304, "The client has it already.", kept(), Vec::new()),
            ],
        }
    }

    fn register(_registry: &mut Registry) {}
}

type MediaResult = Result<MediaAnswer, Failed<MediaFailures>>;

#[OpenApi(tag = "Tag::Media")]
impl MediaFiles {
    /// The media of the project of that id
    ///
    /// This is where the `src` of metadata points.
    #[oai(path = "/home/media/:id", method = "get", operation_id = "readMedia")]
    async fn by_id(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's id.
        id: Path<String>,
    ) -> MediaResult {
        // What cannot be an id is no project's.
        let id: ProjectId = id.0.parse().map_err(|_| ApiError::new(Code::NotFound, "project not found"))?;
        let project = state.store.find_project_by_id(user.id, id).await?;
        answer(&state, request, project).await
    }

    /// The media of the project of that title
    #[oai(path = "/home/media-file/:title", method = "get", operation_id = "readMediaFile")]
    async fn by_title(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's title, percent-encoded as one segment.
        title: Path<String>,
    ) -> MediaResult {
        by_title(&state, &user, request, &title.0).await
    }

    /// The media of the project of that title, by the name that older clients know
    #[oai(path = "/home/stream-audio/:title", method = "get", operation_id = "streamAudio")]
    async fn stream_audio(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's title, percent-encoded as one segment.
        title: Path<String>,
    ) -> MediaResult {
        by_title(&state, &user, request, &title.0).await
    }

    /// The media of the project of that title, named in the query
    #[oai(path = "/home/stream-media", method = "get", operation_id = "streamMedia")]
    async fn stream_media(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's title.
        name: Query<String>,
    ) -> MediaResult {
        by_title(&state, &user, request, &name.0).await
    }
}

async fn by_title(state: &State, user: &CurrentUser, request: &Request, name: &str) -> MediaResult {
    let project = state.store.find_project(user.id, &title(name)?).await?;
    answer(state, request, project).await
}

/// Answers a request for media: conditions first, then the range (RFC 9110, 13.2.2).
async fn answer(state: &State, request: &Request, project: Project) -> MediaResult {
    let Some(media) = project.media else {
        return Err(ApiError::new(Code::NotFound, "the project has no media here").into());
    };
    let tag = EntityTag::of_digest(&media.digest);
    let answer = Response::builder()
        .header(ETAG, tag.to_header())
        .header(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if is_not_modified(request.headers(), &tag) {
        return Ok(MediaAnswer(answer.status(StatusCode::NOT_MODIFIED).finish()));
    }

    let method = AskedMethod::of(request);
    let selection = Selection::of(method, request.headers(), media.size, &tag);
    let range = match &selection {
        Selection::Whole => 0..media.size,
        Selection::Part(range) => range.clone(),
        Selection::Unsatisfiable => {
            let error = ApiError::new(Code::RangeNotSatisfiable, "no byte of the range is there");
            return Err(error.with_header(CONTENT_RANGE, &format!("bytes */{}", media.size)).into());
        }
    };
    let media_type = project.media_type();
    let mut answer = answer
        .header(CONTENT_TYPE, content_type(&media_type))
        .header(CONTENT_LENGTH, range.end - range.start)
        .header(ACCEPT_RANGES, HeaderValue::from_static("bytes"))
        .header(CONTENT_DISPOSITION, content_disposition(&project.metadata.title, &media_type));
    if let Some(content_range) = selection.content_range(media.size) {
        answer = answer.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, content_range);
    }
    if method == Method::HEAD {
        return Ok(MediaAnswer(answer.finish()));
    }
    let bytes = state.store.read_media(&project, &media, Some(range)).await?;
    Ok(MediaAnswer(answer.body(Body::from_bytes_stream(bytes.map_err(std::io::Error::other)))))
}
