use std::sync::Arc;

use notestamp_store::ProjectId;
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

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
    async fn by_id(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's id.
        id: Path<String>,
    ) -> MediaResult {
        // A text that is not an id names no project.
        let id: ProjectId = id.0.parse().map_err(|_| ApiError::new(Code::NotFound, "project not found"))?;
        let project = state.store.find_project_by_id(user.id, id).await?;
        media_response(&state, &user, request, project, Disposition::Inline).await
    }

    /// Read a project's media by its title
    #[oai(path = "/home/media-file/:title", method = "get", operation_id = "readMediaFile")]
    async fn by_title(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's title, percent-encoded as one segment of the path.
        title: Path<String>,
    ) -> MediaResult {
        media_by_title(&state, &user, request, &title.0, Disposition::Inline).await
    }

    /// Read a project's media by its title, at the path that older clients use
    #[oai(path = "/home/stream-audio/:title", method = "get", operation_id = "streamAudio")]
    async fn stream_audio(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's title, percent-encoded as one segment of the path.
        title: Path<String>,
    ) -> MediaResult {
        media_by_title(&state, &user, request, &title.0, Disposition::Inline).await
    }

    /// Read a project's media by the title in the query
    #[oai(path = "/home/stream-media", method = "get", operation_id = "streamMedia")]
    async fn stream_media(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's title.
        name: Query<String>,
    ) -> MediaResult {
        media_by_title(&state, &user, request, &name.0, Disposition::Inline).await
    }
}
