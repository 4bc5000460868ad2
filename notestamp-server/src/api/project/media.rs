use std::sync::Arc;

use notestamp_store::{Caller, ProjectId};
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::media_url;
use crate::api::media_response::{MediaResult, media_by_title, media_response, no_media};
use crate::api::open_project::OpenFailures;
use crate::api::requested_project::requested_title;
use crate::api::tag::Tag;
use crate::auth::{CurrentUser, MediaGrant, SessionJar};
use crate::error::{ApiError, Code, Failed};
use crate::http::content_disposition::Disposition;
use crate::middleware::base_url::BaseUrl;
use crate::state::State;
use crate::wire::json::Json;
use crate::wire::project::StreamUrl;

/// The bytes of a project's media, in the `/project` dialect.
pub(crate) struct ProjectMedia;

#[OpenApi(tag = "Tag::ProjectDialect")]
impl ProjectMedia {
    /// Read a project's media by a signed URL
    ///
    /// `src` in the metadata of a project with media is a URL of this operation, with all its parameters. It needs no
    /// cookies for 10 to 15 minutes. After that, or when its session has ended, or if a parameter is missing or
    /// changed, the signature is ignored, and the request needs the session's cookies.
    #[oai(path = "/media/:id", method = "get", operation_id = "readGrantedMedia")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn granted(
        &self,
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
        jar: SessionJar,
        /// The project's id.
        id: Path<String>,
        /// The id of the session for which the URL was made.
        session: Query<Option<String>>,
        /// The expiry of the signature, in seconds since 1970.
        expires: Query<Option<String>>,
        /// The signature over the project, the session and the expiry.
        signature: Query<Option<String>>,
    ) -> MediaResult {
        let project: Option<ProjectId> = id.0.parse().ok();
        let grant = || {
            let (session, expires) = (session.0?.parse().ok()?, expires.0?.parse().ok()?);
            Some(MediaGrant { project: project?, session, expires, signature: signature.0? })
        };
        let granted = match grant() {
            Some(grant) => state.auth.grantor(&grant).await?,
            None => None,
        };
        let caller = match granted {
            Some(caller) => caller,
            None => Caller::from(&state.auth.authenticate(&jar).await?),
        };
        // A text that is not an id names no project.
        let project = project.ok_or_else(|| ApiError::new(Code::NotFound, "project not found"))?;
        let project = state.store.find_project_by_id(caller.user, project).await?;
        media_response(&state, caller, request, project, Disposition::Inline).await
    }

    /// Read a project's media by its title, to show it in the page
    #[oai(path = "/project/media/:title", method = "get", operation_id = "readProjectMedia")]
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

    /// Read a project's media by its title, to save it as a file
    #[oai(path = "/media/download/:title", method = "get", operation_id = "downloadMedia")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn download(
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
        media_by_title(&state, &user, request, &title.0, Disposition::Attachment).await
    }

    /// Get a URL for a project's media by its title
    #[oai(path = "/media/stream/:title", method = "get", operation_id = "mediaStreamUrl")]
    async fn stream(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        /// The project's title, percent-encoded as one segment of the path.
        title: Path<String>,
    ) -> Result<Json<StreamUrl>, Failed<OpenFailures>> {
        let project = state.store.find_project(user.id, &requested_title(&title.0)?).await?;
        if project.media.is_none() {
            return Err(no_media().into());
        }
        Ok(Json(StreamUrl { stream_url: media_url(&state, &user, &base)(project.id) }))
    }
}
