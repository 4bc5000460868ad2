use std::sync::Arc;

use notestamp_store::{ProjectId, Revision};
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use crate::api::media_response::{MediaResult, media_by_title, media_response};
use crate::api::tag::Tag;
use crate::auth::CurrentUser;
use crate::error::{ApiError, Code};
use crate::http::content_disposition::Disposition;
use crate::state::State;

/// The bytes of a project's media.
pub(crate) struct MediaFiles;

#[OpenApi(tag = "Tag::Media")]
impl MediaFiles {
    /// Read a project's media by the project's id
    ///
    /// `src` in the metadata of a project with media is the URL of this operation.
    #[oai(path = "/home/media/:id", method = "get", operation_id = "readMedia")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn by_id(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// Tags, or `*`: the response is 412 unless one of them is the `ETag` of the media.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Tags, or `*`: the response is 304 if one of them is the `ETag` of the media.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`: the response is 206 with these bytes.
        #[oai(name = "Range")]
        _range: Header<Option<String>>,
        /// A tag: the `Range` counts only if it is the `ETag` of the media.
        #[oai(name = "If-Range")]
        _if_range: Header<Option<String>>,
        /// The project's id.
        id: Path<String>,
        /// The revision of a version: its media instead of the current media.
        revision: Query<Option<u64>>,
    ) -> MediaResult {
        // A text that is not an id names no project.
        let id: ProjectId = id.0.parse().map_err(|_| ApiError::new(Code::NotFound, "project not found"))?;
        let project = match revision.0 {
            None => state.store.find_project_by_id(user.id, id).await?,
            Some(number) => state.store.find_revision(user.id, &id.into(), Revision::new(number)).await?,
        };
        media_response(&state, &user, request, project, Disposition::Inline).await
    }

    /// Read a project's media by its title
    #[oai(path = "/home/media-file/:title", method = "get", operation_id = "readMediaFile")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn by_title(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// Tags, or `*`: the response is 412 unless one of them is the `ETag` of the media.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Tags, or `*`: the response is 304 if one of them is the `ETag` of the media.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`: the response is 206 with these bytes.
        #[oai(name = "Range")]
        _range: Header<Option<String>>,
        /// A tag: the `Range` counts only if it is the `ETag` of the media.
        #[oai(name = "If-Range")]
        _if_range: Header<Option<String>>,
        /// The project's title, percent-encoded as one segment of the path.
        title: Path<String>,
    ) -> MediaResult {
        media_by_title(&state, &user, request, &title.0, Disposition::Inline).await
    }

    /// Read a project's media by its title, at the path that older clients use
    #[oai(path = "/home/stream-audio/:title", method = "get", operation_id = "streamAudio")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn stream_audio(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// Tags, or `*`: the response is 412 unless one of them is the `ETag` of the media.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Tags, or `*`: the response is 304 if one of them is the `ETag` of the media.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`: the response is 206 with these bytes.
        #[oai(name = "Range")]
        _range: Header<Option<String>>,
        /// A tag: the `Range` counts only if it is the `ETag` of the media.
        #[oai(name = "If-Range")]
        _if_range: Header<Option<String>>,
        /// The project's title, percent-encoded as one segment of the path.
        title: Path<String>,
    ) -> MediaResult {
        media_by_title(&state, &user, request, &title.0, Disposition::Inline).await
    }

    /// Read a project's media by the title in the query
    #[oai(path = "/home/stream-media", method = "get", operation_id = "streamMedia")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn stream_media(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// Tags, or `*`: the response is 412 unless one of them is the `ETag` of the media.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Tags, or `*`: the response is 304 if one of them is the `ETag` of the media.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`: the response is 206 with these bytes.
        #[oai(name = "Range")]
        _range: Header<Option<String>>,
        /// A tag: the `Range` counts only if it is the `ETag` of the media.
        #[oai(name = "If-Range")]
        _if_range: Header<Option<String>>,
        /// The project's title.
        name: Query<String>,
    ) -> MediaResult {
        media_by_title(&state, &user, request, &name.0, Disposition::Inline).await
    }
}
