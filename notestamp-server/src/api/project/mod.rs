//! The dialect of the clients since October 2024: `/project/*`, and media by URLs that need no cookies.

mod media;
mod projects;

use std::sync::Arc;

use notestamp_store::ProjectId;

use crate::auth::CurrentUser;
use crate::middleware::base_url::BaseUrl;
use crate::state::State;

pub(crate) use media::ProjectMedia;
pub(crate) use projects::ProjectDialect;

/// The URL of a project's media in this dialect: it is signed, and so needs no cookies.
fn media_url(
    state: &Arc<State>,
    user: &CurrentUser,
    base: &BaseUrl,
) -> impl Fn(ProjectId) -> String + Send + use<> {
    let (state, session, base, now) = (Arc::clone(state), user.session.id, base.clone(), state.clock.now());
    move |project| state.auth.media_urls.url(&base, project, session, now)
}
