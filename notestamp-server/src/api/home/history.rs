use std::sync::Arc;

use notestamp_store::Revision;
use poem::http::HeaderMap;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Query};

use super::directory::{SaveResponse, saved};
use crate::api::conditional::{Conditional, Linked};
use crate::api::list_memory::ListMemory;
use crate::api::requested_project::requested_project;
use crate::api::tag::Tag;
use crate::auth::CurrentUser;
use crate::entity_tags;
use crate::error::{ApiError, Failed, failures};
use crate::middleware::base_url::BaseUrl;
use crate::middleware::request_deadline::RequestDeadline;
use crate::state::State;
use crate::transport::HeldMemory;
use crate::wire::history::{HistoryParameters, VersionEntry};
use crate::wire::json::StreamedJson;

/// The versions of projects.
pub(crate) struct History;

failures! {
    /// The error statuses of listing a history.
    HistoryFailures: 400 401 404 412;
    /// The error statuses of restoring a version.
    RestoreFailures: 400 401 403 404 409 412 413 429 507;
}

#[OpenApi(tag = "Tag::History")]
impl History {
    /// List the versions of a project
    ///
    /// The newest first; the first is the current state. `GET /home/open` with the parameter `revision` opens one of
    /// them. Without `limit`, a page has at most 1,000 versions.
    #[oai(path = "/home/history", method = "get", operation_id = "listHistory")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        memory: HeldMemory,
        headers: &HeaderMap,
        /// Entity tags, or `*`: the response is 412 unless one of them is the current `ETag`.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Entity tags, or `*`: the response is 304 if one of them is the current `ETag`.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// The project's title.
        name: Query<Option<String>>,
        /// The project's id, instead of its title.
        id: Query<Option<String>>,
        /// The maximum number of versions, 1 to 1,000, else 400.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<usize>>,
        /// The start of the page: the `cursor` in the `Link` header of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Linked<Conditional<StreamedJson<Vec<VersionEntry>>>>, Failed<HistoryFailures>> {
        let key = requested_project(name.as_deref(), id.as_deref())?;
        let parameters = HistoryParameters { name: name.0, id: id.0, limit: limit.0, cursor: cursor.0 };
        let (before, limit) = (parameters.before()?, parameters.limit()?);
        let page = state.store.list_history(&user, &key, before, limit).await?;
        ListMemory::new(&state.store, (&user).into(), &memory).hold_page(&page.states).await?;
        let link = page.next.map(|next| parameters.next_link(base.as_str(), next));
        let entries = page.states.iter().map(VersionEntry::of).collect();
        Ok(Linked::new(Conditional::page(headers, entries, link.as_deref())?, link))
    }

    /// Restore a version of a project
    ///
    /// Saves the project again as it was then: its notes, its metadata and its media, or the absence of media. The
    /// title stays, and `lastModified` becomes the present time. The state that this replaces becomes a version, so
    /// this can be undone too. The response is the updated directory.
    #[oai(path = "/home/restore", method = "post", operation_id = "restoreVersion")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn restore(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        memory: HeldMemory,
        deadline: RequestDeadline,
        headers: &HeaderMap,
        /// Revisions, or `*`: the request is refused with 412 unless the project has one of these revisions.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Revisions: the request is refused with 412 if the project has one of these revisions.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// The project's title.
        name: Query<Option<String>>,
        /// The project's id, instead of its title.
        id: Query<Option<String>>,
        /// The revision to restore.
        revision: Query<u64>,
    ) -> Result<SaveResponse, Failed<RestoreFailures>> {
        let key = requested_project(name.as_deref(), id.as_deref())?;
        let precondition = entity_tags::precondition(headers).map_err(ApiError::from)?;
        let revision = Revision::new(revision.0);
        let restored = state
            .store
            .restore_revision_unless(&user, &key, revision, precondition, deadline.is_up())
            .await?;
        tracing::info!(user = %user.id, project = %restored.id, %revision, "version restored");
        Ok(saved(&state, &user, &memory, &base, restored.revision).await?)
    }
}
