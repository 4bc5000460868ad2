//! The operations: thin routes over the store.

mod accounts;
pub mod conditional;
mod delete_project;
mod health;
mod home;
mod media_response;
mod open_project;
mod project;
mod requested_title;
mod save_project;
mod sign_in;

use poem_openapi::{OpenApiService, Tags};

/// All operations.
type Api = (
    accounts::Accounts,
    sign_in::SignIn,
    home::Projects,
    home::MediaFiles,
    project::ProjectDialect,
    project::ProjectMedia,
    health::HealthApi,
);

#[derive(Tags)]
enum Tag {
    /// Accounts: created, looked at, removed.
    Accounts,
    /// Signing in and out. The session's two cookies cannot be read by scripts.
    #[oai(rename = "Sign-in")]
    SignIn,
    /// Projects: saved, listed, opened, deleted.
    Projects,
    /// The bytes of a project's media, whole or by ranges.
    Media,
    /// The same projects and media in the dialect of the clients since October 2024, which name a project by a
    /// segment of the path, and read media by URLs that need no cookies.
    #[oai(rename = "Project dialect")]
    ProjectDialect,
    /// The server itself.
    Service,
}

/// The operations and their OpenAPI description.
pub fn service() -> OpenApiService<Api, ()> {
    let api = (
        accounts::Accounts,
        sign_in::SignIn,
        home::Projects,
        home::MediaFiles,
        project::ProjectDialect,
        project::ProjectMedia,
        health::HealthApi,
    );
    OpenApiService::new(api, "notestamp", env!("CARGO_PKG_VERSION"))
        .description(include_str!("../../description.md"))
        // Relative to the URL of the description, so that it is right behind a reverse proxy's path too.
        .server(".")
}
