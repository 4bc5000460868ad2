use std::sync::Arc;

use notestamp_store::ProjectId;
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::media_url;
use crate::api::Tag;
use crate::api::media_response::{MediaResult, media_by_title, media_response, no_media};
use crate::api::open_project::OpenFailures;
use crate::api::requested_title::requested_title;
use crate::auth::{CurrentUser, MediaGrant, SessionJar};
use crate::error::{ApiError, Code, Failed};
use crate::http::base_url::BaseUrl;
use crate::http::content_disposition::Disposition;
use crate::state::State;
use crate::wire::json::Json;
use crate::wire::project::StreamUrl;

/// The bytes of a project's media, in the words of the `/project` dialect.
pub struct ProjectMedia;

#[OpenApi(tag = "Tag::ProjectDialect")]
impl ProjectMedia {
    /// The media that a URL grants
    ///
    /// This is where the `src` of metadata points, made by the server with all its parameters. It needs no
    /// cookies for 10 to 15 minutes. After that, once its session has ended, or with a parameter missing or changed,
    /// it grants nothing, and the cookies alone decide.
    #[oai(path = "/media/:id", method = "get", operation_id = "readGrantedMedia")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn granted(
        &self,
        state: Data<&Arc<State>>,
        request: &Request,
        jar: SessionJar,
        /// The project's id.
        id: Path<String>,
        /// The id of the session on whose behalf it was made.
        session: Query<Option<String>>,
        /// Until when it needs no cookies, in seconds since 1970.
        expires: Query<Option<String>>,
        /// What vouches for the project, the session and the time.
        signature: Query<Option<String>>,
    ) -> MediaResult {
        let project: Option<ProjectId> = id.0.parse().ok();
        let grant = || {
            let (session, expires) = (session.0?.parse().ok()?, expires.0?.parse().ok()?);
            Some(MediaGrant { project: project?, session, expires, signature: signature.0? })
        };
        let granted = match grant() {
            Some(grant) => state.grantor(&grant).await?,
            None => None,
        };
        let user = match granted {
            Some(user) => user,
            None => state.authenticate(&jar).await?.id,
        };
        // A text that is not an id names no project.
        let project = project.ok_or_else(|| ApiError::new(Code::NotFound, "project not found"))?;
        let project = state.store.find_project_by_id(user, project).await?;
        media_response(&state, request, project, Disposition::Inline).await
    }

    /// The media of the project of that title, in place
    #[oai(path = "/project/media/:title", method = "get", operation_id = "readProjectMedia")]
    async fn by_title(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's title, percent-encoded as one segment.
        title: Path<String>,
    ) -> MediaResult {
        media_by_title(&state, &user, request, &title.0, Disposition::Inline).await
    }

    /// The media of the project of that title, as a file to save
    #[oai(path = "/media/download/:title", method = "get", operation_id = "downloadMedia")]
    async fn download(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// The project's title, percent-encoded as one segment.
        title: Path<String>,
    ) -> MediaResult {
        media_by_title(&state, &user, request, &title.0, Disposition::Attachment).await
    }

    /// A URL for the media of the project of that title
    #[oai(path = "/media/stream/:title", method = "get", operation_id = "mediaStreamUrl")]
    async fn stream(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        /// The project's title, percent-encoded as one segment.
        title: Path<String>,
    ) -> Result<Json<StreamUrl>, Failed<OpenFailures>> {
        let project = state.store.find_project(user.id, &requested_title(&title.0)?).await?;
        if project.media.is_none() {
            return Err(no_media().into());
        }
        Ok(Json(StreamUrl { stream_url: media_url(&state, &user, &base)(project.id) }))
    }
}
