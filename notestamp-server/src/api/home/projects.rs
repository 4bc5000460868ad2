use std::sync::Arc;

use notestamp_store::{ListQuery, Project};
use poem::http::HeaderMap;
use poem::web::Data;
use poem_openapi::param::{Header, Query};
use poem_openapi::{ApiResponse, OpenApi};

use super::media_url;
use crate::api::Tag;
use crate::api::conditional::{Conditional, Linked};
use crate::api::delete_project::{DeleteFailures, delete};
use crate::api::open_project::{OpenFailures, open};
use crate::api::save_project::{SaveFailures, save};
use crate::auth::CurrentUser;
use crate::error::{ApiError, Failed, failures};
use crate::http::base_url::BaseUrl;
use crate::http::entity_tag::EntityTag;
use crate::middleware::request_deadline::RequestDeadline;
use crate::state::State;
use crate::wire::json::{Json, WrittenJson};
use crate::wire::metadata::ProjectMetadata;
use crate::wire::project::{ListParameters, OpenedProject, SortBy, SortOrder};
use crate::wire::upload::UploadBody;

/// Projects: saved, listed, opened, deleted.
pub struct Projects;

failures! {
    /// The error statuses of listing projects.
    ListFailures: 400 401 412;
}

type Directory = Json<Vec<ProjectMetadata>>;

#[derive(ApiResponse)]
enum SaveAnswer {
    /// The updated directory.
    #[oai(status = 200)]
    Saved(
        Directory,
        /// The revision that this save made, for `If-Match` on the next one. The directory may show a later one already.
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(tag = "Tag::Projects")]
impl Projects {
    /// Save a project
    ///
    /// Creates the project of that title, or replaces its notes and metadata. A save without
    /// a file keeps the project's media; another file is refused with 409 `media_differs`. Equal files are stored once. The answer
    /// is the updated directory, the latest save first.
    #[oai(path = "/home/upload", method = "post", operation_id = "saveProject")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn save(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        time: RequestDeadline,
        headers: &HeaderMap,
        /// Revisions, or `*`: the save is refused unless the project is of one of them.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// `*`, or revisions: the save is refused if the project exists, or is of one of them.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        body: UploadBody,
    ) -> Result<SaveAnswer, Failed<SaveFailures>> {
        let saved = save(&state, &user, &time, headers, body).await?;
        let revision = EntityTag::of_revision(saved.revision).to_string();
        Ok(SaveAnswer::Saved(directory(&state, &user, &base).await?, revision))
    }

    /// Open a project
    #[oai(path = "/home/open", method = "get", operation_id = "openProject")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn open(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        headers: &HeaderMap,
        /// Tags, or `*`: the answer is 412 unless one of them is the `ETag` of what is there.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Tags, or `*`: the answer is 304 if one of them is the `ETag` of what is there.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// The project's title.
        name: Query<String>,
    ) -> Result<Conditional<Json<OpenedProject>>, Failed<OpenFailures>> {
        let opened = open(&state, &user, &name.0).await?;
        let metadata = ProjectMetadata::new(opened.project, media_url(&base));
        let project = Json(OpenedProject { metadata, content: opened.notes });
        Ok(Conditional::new(headers, &opened.revision, project)?)
    }

    /// List projects
    ///
    /// All of them, the latest save first, unless the parameters say otherwise. A `limit` is 1 to 1,000, else
    /// the answer is 400.
    #[oai(path = "/home/list", method = "get", operation_id = "listProjects")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        headers: &HeaderMap,
        /// Tags, or `*`: the answer is 412 unless one of them is the `ETag` of what is there.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Tags, or `*`: the answer is 304 if one of them is the `ETag` of what is there.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// Only titles that contain this text; letter case does not count.
        search: Query<Option<String>>,
        /// Only projects of this type.
        r#type: Query<Option<String>>,
        /// By what to sort; by the latest save where it is left out.
        sort: Query<Option<SortBy>>,
        /// Which way round; titles ascend and times descend where it is left out.
        order: Query<Option<SortOrder>>,
        /// How many at most, 1 to 1,000; all where it is left out.
        limit: Query<Option<usize>>,
        /// Where the page before ended: taken from its `Link`.
        cursor: Query<Option<String>>,
    ) -> Result<Linked<Conditional<WrittenJson<Vec<ProjectMetadata>>>>, Failed<ListFailures>> {
        let parameters = ListParameters {
            search: search.0,
            kind: r#type.0,
            sort: sort.0,
            order: order.0,
            limit: limit.0,
            cursor: cursor.0,
        };
        let query = parameters.to_query().map_err(notestamp_store::Error::from)?;
        let page = state.store.list_projects(user.id, &query).await?;
        let link = page.next.map(|next| parameters.next_link(base.as_str(), &next));
        let Json(projects) = answer(page.projects, &base);
        Ok(Linked::new(Conditional::list(headers, projects, link.as_deref())?, link))
    }

    /// Delete a project
    ///
    /// The answer is the updated directory.
    #[oai(path = "/home/delete", method = "delete", operation_id = "deleteProject")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn delete(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        headers: &HeaderMap,
        /// Revisions, or `*`: the project is not deleted unless it is of one of them.
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        /// Revisions: the project is not deleted if it is of one of them.
        #[oai(name = "If-None-Match")]
        _if_none_match: Header<Option<String>>,
        /// The project's title.
        name: Query<String>,
    ) -> Result<Directory, Failed<DeleteFailures>> {
        delete(&state, &user, headers, &name.0).await?;
        Ok(directory(&state, &user, &base).await?)
    }
}

async fn directory(state: &State, user: &CurrentUser, base: &BaseUrl) -> Result<Directory, ApiError> {
    let all = state.store.list_projects(user, &ListQuery::default()).await?;
    Ok(answer(all.projects, base))
}

fn answer(projects: Vec<Project>, base: &BaseUrl) -> Directory {
    Json(projects.into_iter().map(|project| ProjectMetadata::new(project, media_url(base))).collect())
}
