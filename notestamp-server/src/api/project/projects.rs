use std::sync::Arc;

use notestamp_store::{Error as StoreError, ListQuery, ProjectId, Title};
use poem::http::HeaderMap;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::media_url;
use crate::api::conditional::Conditional;
use crate::api::delete_project::{DeleteFailures, delete};
use crate::api::list_memory::ListMemory;
use crate::api::open_project::{OpenFailures, open};
use crate::api::requested_project::requested_title;
use crate::api::save_project::{SaveFailures, save};
use crate::api::tag::Tag;
use crate::api::whole_list::WholeList;
use crate::auth::CurrentUser;
use crate::error::{ApiError, Failed, failures};
use crate::middleware::base_url::BaseUrl;
use crate::middleware::request_deadline::RequestDeadline;
use crate::state::State;
use crate::transport::HeldMemory;
use crate::wire::json::{Json, RawJson, StreamedJson};
use crate::wire::json_with_text::JsonWithText;
use crate::wire::metadata::ProjectMetadata;
use crate::wire::project::{Directory, Duplicate, ProjectWithNotes, SavedProject};
use crate::wire::project_list::{PageParameters, ProjectList, ProjectListEntry};
use crate::wire::upload::project_form::ProjectSaveBody;

/// Projects, in the `/project` dialect.
pub(crate) struct ProjectDialect;

failures! {
    /// The error statuses of listing projects.
    ListFailures: 400 401 412;
    /// The error statuses of checking whether a title is taken.
    DuplicateFailures: 400 401;
}

#[OpenApi(tag = "Tag::ProjectDialect")]
impl ProjectDialect {
    /// Save a project, with media and notes as files
    ///
    /// Creates the project with this title, or replaces its notes and metadata. A save without a file keeps the
    /// project's media; a file with other bytes replaces it, or is refused with 409 `media_differs` without a history
    /// (`--history off`). The metadata may be that of an earlier response, with the notes in it; these are used only if
    /// the body has no `notesFile`.
    #[oai(path = "/project/save", method = "post", operation_id = "saveProjectFiles")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn save(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        deadline: RequestDeadline,
        headers: &HeaderMap,
        /// Revisions, or `*`: the save is refused with 412 unless the project has one of these revisions.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// `*`, or revisions: the save is refused with 412 if the project exists, or if it has one of these revisions.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        body: ProjectSaveBody,
    ) -> Result<Json<SavedProject>, Failed<SaveFailures>> {
        let project = save(&state, &user, &deadline, headers, body).await?;
        let metadata = ProjectMetadata::new(project, media_url(&state, &user, &base));
        Ok(Json(SavedProject { metadata }))
    }

    /// Get a project: its metadata and notes in one object
    #[oai(path = "/project/get/:title", method = "get", operation_id = "getProject")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn get(
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
        /// The project's title, percent-encoded as one segment of the path.
        title: Path<String>,
    ) -> Result<Conditional<JsonWithText<ProjectWithNotes>>, Failed<OpenFailures>> {
        let opened = open(&state, &user, &memory, &requested_title(&title.0)?.into(), None).await?;
        let metadata = ProjectMetadata::new(opened.project, media_url(&state, &user, &base));
        let project = JsonWithText::new(&ProjectWithNotes { metadata, notes: "" }, opened.notes)
            .map_err(ApiError::unserializable)?;
        Ok(Conditional::new(headers, &opened.revision, project)?)
    }

    /// List projects, in pages by offset
    ///
    /// Without parameters, the response is the complete list, the latest save first. With any parameter, it is a page
    /// of 20 projects, sorted by the `lastModified` of their metadata, the latest first.
    ///
    /// In this list, `src` is always an absolute URL or empty, because clients reject the whole list otherwise. A `src`
    /// that was saved without a scheme gets `https://`; any other text that is not a URL becomes empty.
    #[oai(path = "/project/list", method = "get", operation_id = "listProjectPages")]
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
        /// The offset of the page: 0, or the `nextOffset` of the previous page.
        #[oai(name = "pageParam")]
        page_param: Query<Option<usize>>,
        /// Only projects whose title contains this text; letter case matters.
        #[oai(name = "searchParam")]
        search_param: Query<Option<String>>,
        /// JSON: `[{"id": "type", "value": "audio"}]` selects the projects of this type.
        #[oai(name = "columnFilters")]
        column_filters: Query<Option<String>>,
        /// JSON: `[{"id": "lastModified", "desc": false}]` reverses the order: the earliest first.
        sorting: Query<Option<String>>,
    ) -> Result<Conditional<StreamedJson<ProjectList>>, Failed<ListFailures>> {
        let parameters = PageParameters {
            page_param: page_param.0,
            search_param: search_param.0,
            column_filters: column_filters.0,
            sorting: sorting.0,
        };
        let query = parameters.to_query().map_err(StoreError::from)?;
        let (media_url, entries) = (media_url(&state, &user, &base), state.project_list);
        // All signatures change together, whichever projects have media.
        let variant = format!("{entries:?} {}", media_url(ProjectId::from_bytes([0; 16])));
        let entry = move |project| ProjectListEntry::new(project, entries, &media_url);
        if query.limit.is_none() {
            let empty = ProjectList::new(Vec::new(), None);
            let list = WholeList::read(&state, &user, &memory, &query, &empty, entry).await?;
            return Ok(list.conditional(headers, &variant).await?);
        }
        let session = user.session.id;
        let page = state.store.list_projects(&user, &state.offset_cursors.resume(session, &query)).await?;
        let next_offset = page.next.is_some().then(|| query.skip + page.projects.len());
        if let (Some(offset), Some(place)) = (next_offset, page.next) {
            state.offset_cursors.remember(session, &query, offset, place);
        }
        ListMemory::new(&state.store, (&user).into(), &memory).hold_page(&page.projects).await?;
        let list = ProjectList::new(page.projects.into_iter().map(entry).collect(), next_offset);
        Ok(Conditional::page(headers, list, None)?)
    }

    /// Delete a project
    ///
    /// The project moves to the trash, with its versions. The response is the updated directory.
    #[oai(path = "/project/delete/:title", method = "delete", operation_id = "deleteProjectByTitle")]
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
        /// The project's title, percent-encoded as one segment of the path.
        title: Path<String>,
        /// Whether the project is deleted for good, without the trash; by default `false`.
        permanently: Query<Option<bool>>,
    ) -> Result<StreamedJson<Directory>, Failed<DeleteFailures>> {
        let key = requested_title(&title.0)?.into();
        delete(&state, &user, headers, key, permanently.0.unwrap_or(false)).await?;
        let media_url = media_url(&state, &user, &base);
        let entry = move |project| ProjectMetadata::new(project, &media_url);
        let empty = Directory { directory: Vec::new() };
        let list = WholeList::read(&state, &user, &memory, &ListQuery::default(), &empty, entry).await?;
        Ok(list.into_body())
    }

    /// Get the notes of a project
    #[oai(path = "/project/notes/:title", method = "get", operation_id = "readNotes")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn notes(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        memory: HeldMemory,
        headers: &HeaderMap,
        /// Entity tags, or `*`: the response is 412 unless one of them is the current `ETag`.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Entity tags, or `*`: the response is 304 if one of them is the current `ETag`.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// The project's title, percent-encoded as one segment of the path.
        title: Path<String>,
    ) -> Result<Conditional<RawJson>, Failed<OpenFailures>> {
        let opened = open(&state, &user, &memory, &requested_title(&title.0)?.into(), None).await?;
        Ok(Conditional::new(headers, &opened.revision, RawJson(opened.notes))?)
    }

    /// Check whether a title is taken
    #[oai(path = "/project/duplicate/:title", method = "get", operation_id = "isDuplicate")]
    async fn duplicate(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        /// The title, percent-encoded as one segment of the path.
        title: Path<String>,
    ) -> Result<Json<Duplicate>, Failed<DuplicateFailures>> {
        let is_duplicate = match Title::parse(&title.0) {
            Ok(title) => match state.store.find_project(user.id, &title).await {
                Ok(_) => true,
                Err(StoreError::NoSuchProject) => false,
                Err(error) => return Err(error.into()),
            },
            // No project can have an invalid title.
            Err(_) => false,
        };
        Ok(Json(Duplicate { is_duplicate }))
    }
}
