use std::sync::Arc;

use notestamp_store::{Error as StoreError, Title, TrashPage};
use poem::Request;
use poem::http::HeaderMap;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Query};

use super::directory::{Directory, directory};
use crate::api::conditional::{Conditional, Linked};
use crate::api::list_memory::ListMemory;
use crate::api::requested_project::requested_id;
use crate::api::tag::Tag;
use crate::auth::CurrentUser;
use crate::error::{ApiError, Failed, failures};
use crate::middleware::base_url::BaseUrl;
use crate::state::State;
use crate::transport::HeldMemory;
use crate::wire::json::{Json, StreamedJson};
use crate::wire::trash::{TrashParameters, TrashedMetadata};

/// Deleted projects that can be restored.
pub(crate) struct Trash;

failures! {
    /// The error statuses of listing the trash.
    ListTrashFailures: 400 401 412;
    /// The error statuses of restoring a project from the trash.
    RestoreFailures: 400 401 403 404 409 507;
    /// The error statuses of deleting a project in the trash for good.
    PurgeFailures: 400 401 403 404 507;
}

#[OpenApi(tag = "Tag::History")]
impl Trash {
    /// List the projects in the trash
    ///
    /// The last deleted first. Without `limit`, a page has at most 1,000 projects.
    #[oai(path = "/home/trash", method = "get", operation_id = "listTrash")]
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
        /// The maximum number of projects, 1 to 1,000, else 400.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<usize>>,
        /// The start of the page: the `cursor` in the `Link` header of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Linked<Conditional<StreamedJson<Vec<TrashedMetadata>>>>, Failed<ListTrashFailures>> {
        let parameters = TrashParameters { limit: limit.0, cursor: cursor.0 };
        let page = state.store.list_trash(&user, parameters.after()?, parameters.limit()?).await?;
        hold(&state, &user, &memory, &page).await?;
        let link = page.next.map(|next| parameters.next_link(base.as_str(), next));
        Ok(Linked::new(Conditional::page(headers, entries(&state, page), link.as_deref())?, link))
    }

    /// Restore a project from the trash
    ///
    /// With its history, as the latest save of the account. The response is the updated directory; 409 `title_taken` if
    /// another project has the title.
    #[oai(path = "/home/trash/restore", method = "post", operation_id = "restoreTrashed")]
    async fn restore(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        memory: HeldMemory,
        base: BaseUrl,
        /// The project's id.
        id: Query<String>,
        /// Another title for the project.
        title: Query<Option<String>>,
    ) -> Result<Directory, Failed<RestoreFailures>> {
        let id = requested_id(&id.0)?;
        let title = title.0.map(|title| Title::parse(&title)).transpose().map_err(StoreError::from)?;
        let restored = state.store.restore_from_trash(&user, id, title).await?;
        tracing::info!(user = %user.id, project = %restored.id, "project restored from the trash");
        Ok(directory(&state, &user, &memory, &base).await?)
    }

    /// Delete a project in the trash for good, or all of them
    ///
    /// Without any parameter, everything in the trash is deleted. The response is the remaining trash.
    #[oai(path = "/home/trash", method = "delete", operation_id = "purgeTrash")]
    async fn purge(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        memory: HeldMemory,
        request: &Request,
        /// The project's id.
        id: Query<Option<String>>,
    ) -> Result<Json<Vec<TrashedMetadata>>, Failed<PurgeFailures>> {
        match (id.0, request.uri().query()) {
            (Some(id), _) => state.store.purge_from_trash(&user, requested_id(&id)?).await?,
            (None, None) => state.store.empty_trash(&user).await?,
            // A parameter that is misspelled must not delete everything.
            (None, Some(_)) => return Err(ApiError::bad_request("the only parameter is `id`").into()),
        }
        tracing::info!(user = %user.id, "deleted from the trash");
        let limit = TrashParameters::default().limit()?;
        let page = state.store.list_trash(&user, None, limit).await?;
        hold(&state, &user, &memory, &page).await?;
        Ok(Json(entries(&state, page)))
    }
}

/// Holds the bytes of a page before it is written.
async fn hold(
    state: &State,
    user: &CurrentUser,
    memory: &HeldMemory,
    page: &TrashPage,
) -> Result<(), StoreError> {
    let projects = page.trashed.iter().map(|trashed| &trashed.project);
    ListMemory::new(&state.store, user.into(), memory).hold_page(projects).await
}

fn entries(state: &State, page: TrashPage) -> Vec<TrashedMetadata> {
    page.trashed.into_iter().map(|it| TrashedMetadata::new(state.store.purge_time(&it), it)).collect()
}
