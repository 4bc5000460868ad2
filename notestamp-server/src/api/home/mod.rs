//! The dialect of the clients of 2023 and 2024: `/home/*`.

mod directory;
mod history;
mod media;
mod projects;
mod trash;

pub(crate) use history::History;
pub(crate) use media::MediaFiles;
pub(crate) use projects::Projects;
pub(crate) use trash::Trash;

use notestamp_store::ProjectId;

use crate::middleware::base_url::BaseUrl;

/// The URL of a project's media in this dialect: it needs the session's cookies.
pub(crate) fn media_url(base: &BaseUrl) -> impl Fn(ProjectId) -> String + Send + use<> {
    let base = base.clone();
    move |project| format!("{}/home/media/{project}", base.as_str())
}
