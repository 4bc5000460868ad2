//! The dialect of the clients since October 2024: `/project/*`, and media by URLs that need no cookies.

mod media;
mod projects;

use notestamp_store::ProjectId;

use crate::auth::CurrentUser;
use crate::middleware::base_url::BaseUrl;
use crate::state::State;

pub(crate) use media::ProjectMedia;
pub(crate) use projects::ProjectDialect;

/// The URL of a project's media in this dialect: it is signed, and so needs no cookies.
fn media_url<'a>(
    state: &'a State,
    user: &'a CurrentUser,
    base: &'a BaseUrl,
) -> impl Fn(ProjectId) -> String + 'a {
    let now = state.clock.now();
    move |project| state.auth.media_urls.url(base, project, user.session.id, now)
}
