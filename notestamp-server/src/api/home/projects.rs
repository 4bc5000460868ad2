use std::sync::Arc;

use notestamp_store::Revision;
use poem::http::HeaderMap;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Query};

use super::directory::{Directory, SaveResponse, directory, entry, saved};
use super::media_url;
use crate::api::conditional::{Conditional, Linked};
use crate::api::delete_project::{DeleteFailures, delete};
use crate::api::list_memory::ListMemory;
use crate::api::open_project::{OpenFailures, open};
use crate::api::requested_project::requested_project;
use crate::api::save_project::{SaveFailures, save};
use crate::api::tag::Tag;
use crate::api::whole_list::WholeList;
use crate::auth::CurrentUser;
use crate::error::{ApiError, Failed, failures};
use crate::middleware::base_url::BaseUrl;
use crate::middleware::request_deadline::RequestDeadline;
use crate::state::State;
use crate::transport::HeldMemory;
use crate::wire::json_with_text::JsonWithText;
use crate::wire::metadata::ProjectMetadata;
use crate::wire::project::{ListParameters, OpenedProject, SortBy, SortOrder};
use crate::wire::upload::UploadBody;

/// Saving, listing, opening and deleting projects.
pub(crate) struct Projects;

failures! {
    /// The error statuses of listing projects.
    ListFailures: 400 401 412;
}

#[OpenApi(tag = "Tag::Projects")]
impl Projects {
    /// Save a project
    ///
    /// Creates the project with this title, or replaces its notes and metadata. A save without a file keeps the
    /// project's media; a file with other bytes replaces it. The state that the save replaces becomes a version of the
    /// project. Without a history (`--history off`), a file with other bytes is refused with 409 `media_differs`. Equal
    /// files are stored once. The response is the updated directory, the latest save first.
    #[oai(path = "/home/upload", method = "post", operation_id = "saveProject")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn save(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        deadline: RequestDeadline,
        memory: HeldMemory,
        headers: &HeaderMap,
        /// Revisions, or `*`: the save is refused with 412 unless the project has one of these revisions.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// `*`, or revisions: the save is refused with 412 if the project exists, or if it has one of these revisions.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        body: UploadBody,
    ) -> Result<SaveResponse, Failed<SaveFailures>> {
        let project = save(&state, &user, &deadline, headers, body).await?;
        Ok(saved(&state, &user, &memory, &base, project.revision).await?)
    }

    /// Open a project
    #[oai(path = "/home/open", method = "get", operation_id = "openProject")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn open(
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
        /// The revision of a version, to open it instead of the current state. The `src` of its metadata leads to its own
        /// media.
        revision: Query<Option<u64>>,
    ) -> Result<Conditional<JsonWithText<OpenedProject>>, Failed<OpenFailures>> {
        let key = requested_project(name.as_deref(), id.as_deref())?;
        let revision = revision.0.map(Revision::new);
        let opened = open(&state, &user, &memory, &key, revision).await?;
        let media_url = media_url(&base);
        let metadata = ProjectMetadata::new(opened.project, |id| match revision {
            None => media_url(id),
            Some(revision) => format!("{}?revision={revision}", media_url(id)),
        });
        let project = JsonWithText::new(&OpenedProject { metadata, content: "" }, opened.notes)
            .map_err(ApiError::unserializable)?;
        Ok(Conditional::new(headers, &opened.revision, project)?)
    }

    /// List projects
    ///
    /// Without parameters, the response is the complete list, the latest save first.
    #[oai(path = "/home/list", method = "get", operation_id = "listProjects")]
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
        /// Only projects whose title contains this text; letter case is ignored.
        search: Query<Option<String>>,
        /// Only projects of this type.
        r#type: Query<Option<String>>,
        /// The sort key; by default, the time of the latest save.
        sort: Query<Option<SortBy>>,
        /// The sort order; by default, titles ascend and times descend.
        order: Query<Option<SortOrder>>,
        /// The maximum number of projects, 1 to 1,000, else 400; without it, the list is complete.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<usize>>,
        /// The start of the page: the `cursor` in the `Link` header of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Linked<Conditional<Directory>>, Failed<ListFailures>> {
        let parameters = ListParameters {
            search: search.0,
            kind: r#type.0,
            sort: sort.0,
            order: order.0,
            limit: limit.0,
            cursor: cursor.0,
        };
        let query = parameters.to_query().map_err(notestamp_store::Error::from)?;
        let entry = entry(&base);
        if query.limit.is_none() {
            let list = WholeList::read(&state, &user, &memory, &query, &Vec::new(), entry).await?;
            return Ok(Linked::new(list.conditional(headers, base.as_str()).await?, None));
        }
        let page = state.store.list_projects(&user, &query).await?;
        ListMemory::new(&state.store, (&user).into(), &memory).hold_page(&page.projects).await?;
        let link = page.next.map(|next| parameters.next_link(base.as_str(), &next));
        let projects = page.projects.into_iter().map(entry).collect();
        Ok(Linked::new(Conditional::page(headers, projects, link.as_deref())?, link))
    }

    /// Delete a project
    ///
    /// The project moves to the trash, with its versions, from where it can be restored. The response is the updated
    /// directory.
    #[oai(path = "/home/delete", method = "delete", operation_id = "deleteProject")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn delete(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        memory: HeldMemory,
        headers: &HeaderMap,
        /// Revisions, or `*`: the deletion is refused with 412 unless the project has one of these revisions.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Revisions: the deletion is refused with 412 if the project has one of these revisions.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// The project's title.
        name: Query<Option<String>>,
        /// The project's id, instead of its title.
        id: Query<Option<String>>,
        /// Whether the project is deleted for good, without the trash; by default `false`.
        permanently: Query<Option<bool>>,
    ) -> Result<Directory, Failed<DeleteFailures>> {
        let key = requested_project(name.as_deref(), id.as_deref())?;
        delete(&state, &user, headers, key, permanently.0.unwrap_or(false)).await?;
        Ok(directory(&state, &user, &memory, &base).await?)
    }
}
