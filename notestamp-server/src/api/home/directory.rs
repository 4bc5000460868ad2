//! The updated list of projects, the response to every change in this dialect.

use std::sync::Arc;

use notestamp_store::{ListQuery, Project, Revision};
use poem_openapi::ApiResponse;

use super::media_url;
use crate::api::whole_list::WholeList;
use crate::auth::CurrentUser;
use crate::entity_tags;
use crate::error::ApiError;
use crate::middleware::base_url::BaseUrl;
use crate::state::State;
use crate::transport::HeldMemory;
use crate::wire::json::StreamedJson;
use crate::wire::metadata::ProjectMetadata;

pub(super) type Directory = StreamedJson<Vec<ProjectMetadata>>;

#[derive(ApiResponse)]
pub(super) enum SaveResponse {
    /// The updated directory.
    #[oai(status = 200)]
    Saved(
        Directory,
        /// The revision that this save created, for `If-Match` of the next save. The directory in the body may already
        /// show a later revision.
        #[oai(header = "ETag")]
        String,
    ),
}

/// The response to a save that created this revision.
pub(super) async fn saved(
    state: &Arc<State>,
    user: &CurrentUser,
    memory: &HeldMemory,
    base: &BaseUrl,
    revision: Revision,
) -> Result<SaveResponse, ApiError> {
    let revision = entity_tags::of_revision(revision).to_string();
    Ok(SaveResponse::Saved(directory(state, user, memory, base).await?, revision))
}

pub(super) async fn directory(
    state: &Arc<State>,
    user: &CurrentUser,
    memory: &HeldMemory,
    base: &BaseUrl,
) -> Result<Directory, ApiError> {
    let list = WholeList::read(state, user, memory, &ListQuery::default(), &Vec::new(), entry(base)).await?;
    Ok(list.into_body())
}

/// Makes the entry of a project in a list.
pub(super) fn entry(base: &BaseUrl) -> impl Fn(Project) -> ProjectMetadata + Send + use<> {
    let media_url = media_url(base);
    move |project| ProjectMetadata::new(project, &media_url)
}
